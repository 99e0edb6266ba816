"""Whoever runs a statement may. PostgreSQL judges plans as it judges runs."""

import re
from importlib.resources import files

import asyncpg
import pytest

from tests.support.embedded import DatabaseUrls, fresh_database
from vault.embedded import EmbeddedInstance
from vault.store.migrate import migrate
from vault.store.queries import QUERIES

LOGINS = {
    "accepted": "custodian",
    "acts": "custodian",
    "archives": "sequencer",
    "audit": "audit_reader",
    "backups": "custodian",
    "cases": "service",
    "checks": "sequencer",
    "cosignatures": "sequencer",
    "erasures": "custodian",
    "jobs": "custodian",
    "keys": "custodian",
    "proofs": "audit_reader",
    "rotation": "custodian",
    "subjects": "service",
    "successions": "sequencer",
    "tokens": "service",
    "tree": "sequencer",
    "writes": "service",
}
"""By file of statements."""
OTHERS = {
    "add_entry": "service",
    "drop_archived_partition": "owner",
    "dump_facts": "owner",
    "end_log": "owner",
    "newest_entry_time": "audit_reader",
    "place_entry": "sequencer",
}
NO_PLAN = {
    "analyze_all",
    "commit_without_waiting",
    "lock_dumped",
    "make_restore_functions",
    "restore_begin",
    "restore_end",
    "restore_month",
}
"""No plans are made for these, or not before a restore has made its functions."""


@pytest.fixture(scope="module")
async def urls(instance: EmbeddedInstance):
    with fresh_database(instance) as made:
        await migrate(made.owner)
        yield made


@pytest.mark.parametrize("file", sorted(LOGINS))
async def test_who_runs_a_statement_may(file: str, urls: DatabaseUrls) -> None:
    text = (files("vault.store") / "sql" / "queries" / f"{file}.sql").read_text(encoding="utf-8")
    names = re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)
    assert names
    connections: dict[str, asyncpg.Connection] = {}
    try:
        for name in sorted({*names} - NO_PLAN):
            login = OTHERS.get(name, LOGINS[file])
            if login not in connections:
                connections[login] = await asyncpg.connect(getattr(urls, login))
            try:
                await connections[login].execute(f"explain (generic_plan) {QUERIES[name]}")
            except asyncpg.InsufficientPrivilegeError as error:
                pytest.fail(f"{name}, run by {login}: {error}")
    finally:
        for connection in connections.values():
            await connection.close()


def test_every_file_has_a_login() -> None:
    names = {file.name for file in (files("vault.store") / "sql" / "queries").iterdir()}
    assert {f"{name}.sql" for name in LOGINS} == names
