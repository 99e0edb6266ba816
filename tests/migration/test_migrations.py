"""Migrations: from zero, again, in a race, edited, ahead; and what the roles may do afterwards."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from tests.support.embedded import DatabaseUrls, fresh_database
from vault.embedded import EmbeddedInstance
from vault.errors import VaultError
from vault.store.checks import database_faults
from vault.store.database import Database, PoolSettings
from vault.store.migrate import migrate, migrations

TABLES = {
    "audit_archive_counts",
    "audit_archives",
    "audit_checkpoints",
    "audit_cosignatures",
    "audit_ended_logs",
    "audit_entries",
    "audit_key_successions",
    "audit_leaves",
    "audit_past_checkpoints",
    "audit_pending",
    "audit_tiles",
    "backup_roots",
    "backups",
    "case_refs",
    "custody_request_keys",
    "custody_requests",
    "erasure_repeats",
    "erasures",
    "key_job_parts",
    "key_jobs",
    "ledger_applied",
    "ledger_intents",
    "policy_accepted",
    "schema_migrations",
    "subject_keys",
    "subject_refs",
    "subjects",
    "tenant_keys",
    "tokens",
    "writes",
}

# What the service may do to each table; everything else must be refused.
SERVICE_RIGHTS = {
    "audit_ended_logs": {"select"},
    "audit_entries": {"insert"},
    "case_refs": {"select", "insert"},
    "erasures": {"select"},
    "ledger_applied": {"select"},
    "policy_accepted": {"select"},
    "schema_migrations": {"select"},
    "subject_keys": {"select", "insert"},
    "subject_refs": {"select", "insert"},
    "subjects": {"select", "insert"},
    "tenant_keys": {"select", "insert"},
    "tokens": {"select", "insert"},
    "writes": {"select", "insert", "delete"},
}
AUDIT_READER_RIGHTS = {
    "audit_archive_counts": {"select"},
    "audit_archives": {"select"},
    "audit_checkpoints": {"select"},
    "audit_cosignatures": {"select"},
    "audit_ended_logs": {"select"},
    "audit_entries": {"select"},
    "audit_key_successions": {"select"},
    "audit_leaves": {"select"},
    "audit_past_checkpoints": {"select"},
    "audit_pending": {"select"},
    "audit_tiles": {"select"},
}
SEQUENCER_RIGHTS = {
    "audit_archives": {"select"},
    "audit_checkpoints": {"select", "insert"},
    "audit_cosignatures": {"select", "insert"},
    "audit_ended_logs": {"select"},
    "audit_entries": {"select"},
    "audit_key_successions": {"select", "insert"},
    "audit_leaves": {"select", "insert"},
    "audit_past_checkpoints": {"select"},
    "audit_pending": {"select", "delete"},
    "audit_tiles": {"select", "insert"},
    "schema_migrations": {"select"},
}
CUSTODIAN_RIGHTS = {
    "audit_entries": {"insert"},
    "erasure_repeats": {"select", "insert", "update", "delete"},
    "erasures": {"select", "insert"},
    "ledger_applied": {"select", "insert"},
    "ledger_intents": {"select", "insert", "delete"},
    "key_job_parts": {"select", "insert", "update"},
    "key_jobs": {"select", "insert", "update"},
    "audit_ended_logs": {"select"},
    "audit_key_successions": {"select", "insert"},
    "custody_request_keys": {"select", "insert"},
    "custody_requests": {"select", "insert"},
    "policy_accepted": {"select", "insert"},
    "subjects": {"select"},
    "subject_refs": {"select", "insert", "delete"},
    "subject_keys": {"select", "insert", "delete"},
    "tenant_keys": {"select", "insert", "delete"},
    "tokens": {"select"},
    "writes": {"select", "insert", "delete"},
    "case_refs": {"select", "insert", "delete"},
    "schema_migrations": {"select"},
    "backups": {"select", "insert", "update"},
    "backup_roots": {"select", "insert", "delete"},
}
"""Beside these it may update some columns: see the migrations."""
RIGHTS = ("select", "insert", "update", "delete", "truncate", "references", "trigger")


@pytest.fixture
def urls(instance: EmbeddedInstance) -> Iterator[DatabaseUrls]:
    with fresh_database(instance) as database:
        yield database


async def fetch(url: str, sql: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


async def test_from_zero_gives_the_tables_and_a_second_time_changes_nothing(urls):
    names = [migration.name for migration in migrations()]
    assert names == await migrate(urls.owner, dry_run=True)
    assert [] == await tables(urls)
    assert names == await migrate(urls.owner)
    assert TABLES == set(await tables(urls))
    assert [] == await migrate(urls.owner)


async def tables(urls: DatabaseUrls) -> list[str]:
    rows = await fetch(
        urls.owner,
        "select relname from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'p') and not relispartition",
    )
    return [row["relname"] for row in rows]


async def test_the_log_has_partitions_ahead_and_more_can_be_made(urls):
    await migrate(urls.owner)
    parts = (
        "select relname from pg_class where relispartition and relkind = 'r'"
        " and relname like 'audit_entries_%' order by relname"
    )
    before = [row["relname"] for row in await fetch(urls.owner, parts)]
    assert 15 == len(before)  # this month, 13 more, and the rest
    await fetch(urls.owner, "select ensure_audit_partitions(14)")
    await fetch(urls.owner, "select ensure_audit_partitions(14)")
    assert 16 == len(await fetch(urls.owner, parts))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(urls.service, "select ensure_audit_partitions(1)")


async def test_two_at_the_same_time_apply_each_migration_once(urls):
    applied = await asyncio.gather(migrate(urls.owner), migrate(urls.owner))
    assert sorted([[], [migration.name for migration in migrations()]]) == sorted(applied)


async def test_an_applied_migration_that_was_edited_stops_everything(urls):
    await migrate(urls.owner)
    await fetch(urls.owner, "update schema_migrations set checksum = 'other'")
    with pytest.raises(VaultError, match="is not the one that was applied"):
        await migrate(urls.owner)


async def test_a_database_of_a_newer_release_is_left_alone(urls):
    await migrate(urls.owner)
    await fetch(urls.owner, "insert into schema_migrations values ('9999_pre_x.sql', 'x')")
    with pytest.raises(VaultError, match="ahead of this release"):
        await migrate(urls.owner)


@pytest.mark.parametrize("table", sorted(TABLES))
async def test_roles_have_the_least_rights(urls, table):
    await migrate(urls.owner)
    for role, wanted in (
        ("pdvault_service", SERVICE_RIGHTS.get(table, set())),
        ("pdvault_audit_reader", AUDIT_READER_RIGHTS.get(table, set())),
        ("pdvault_sequencer", SEQUENCER_RIGHTS.get(table, set())),
        ("pdvault_custodian", CUSTODIAN_RIGHTS.get(table, set())),
    ):
        rows = await fetch(
            urls.owner,
            "select r from unnest($1::text[]) as r where has_table_privilege($2, $3, r)",
            RIGHTS,
            role,
            f"public.{table}",
        )
        assert wanted == {row["r"] for row in rows}


async def test_the_service_can_neither_read_nor_change_the_log_nor_create(urls):
    await migrate(urls.owner)
    for sql in (
        "select entry from audit_entries",
        "update audit_entries set tenant = ''",
        "delete from audit_entries",
        "truncate audit_entries",
        "drop table audit_entries",
        "create table mine (x int)",
        "alter table tokens add column plain text",
        "update tokens set envelope = ''",
        "delete from subject_keys",
        "insert into audit_pending values (gen_random_uuid(), now())",
        "alter table audit_entries disable trigger audit_entries_pending",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fetch(urls.service, sql)


async def test_no_foreign_key_and_no_sequence_so_that_citus_takes_the_tables(urls):
    await migrate(urls.owner)
    assert [] == await fetch(urls.owner, "select conname from pg_constraint where contype = 'f'")
    assert [] == await fetch(
        urls.owner, "select sequencename from pg_sequences where schemaname = 'public'"
    )


ENTRY = """
insert into audit_entries (
    entry_id, tenant, recorded_at, rpc, caller, purpose, verdicts, views, field_types, policies,
    bundle_digest, trace_id, entry, leaf_hash
) values (
    gen_random_uuid(), 't', now(), 'r', 'c', 'p', 0, 0, '{}', '{}',
    sha256(''), decode(repeat('00', 16), 'hex'), '', sha256('\\x00')
)
"""


async def test_entries_of_before_the_tree_become_pending(urls):
    first, tree = migrations()[:2]
    connection = await asyncpg.connect(urls.owner)
    await connection.execute("create table schema_migrations (name text, checksum text)")
    await connection.execute(first.sql)
    await connection.execute(ENTRY)
    await connection.execute(ENTRY)
    await connection.execute(tree.sql)
    await connection.close()
    assert 2 == (await fetch(urls.owner, "select count(*) as n from audit_pending"))[0]["n"]


async def test_an_entry_becomes_pending_in_its_own_transaction(urls):
    await migrate(urls.owner)
    connection = await asyncpg.connect(urls.service)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(ENTRY)
    await transaction.rollback()
    assert 0 == (await fetch(urls.owner, "select count(*) as n from audit_pending"))[0]["n"]
    await connection.execute(ENTRY)
    await connection.close()
    assert 1 == (await fetch(urls.owner, "select count(*) as n from audit_pending"))[0]["n"]


async def faults_of(url: str) -> list[str]:
    database = Database(
        PoolSettings(url=url, max_connections=1, connect_timeout=5, statement_timeout=5)
    )
    await database.open()
    try:
        return await database_faults(database)
    finally:
        await database.close()


async def test_a_sound_database_has_no_faults(urls):
    await migrate(urls.owner)
    assert [] == await faults_of(urls.service)


async def test_a_database_without_its_migrations_is_refused_by_name(urls):
    with pytest.raises(VaultError, match="lacks migration 0001_"):
        await faults_of(urls.service)


@pytest.mark.parametrize(
    ("sql", "undo", "fault"),
    [
        (
            "grant update on audit_entries to pdvault_service",
            "select 1",
            "may change or delete audit entries",
        ),
        ("grant select on audit_entries to pdvault_service", "select 1", "may read the audit log"),
        ("revoke insert on audit_entries from pdvault_service", "select 1", "can't add audit"),
        (
            "grant delete on audit_pending to pdvault_service",
            "select 1",
            "rights on the log's tree",
        ),
        (
            "alter table audit_entries disable trigger audit_entries_pending",
            "select 1",
            "would never be sequenced",
        ),
        ("grant create on schema public to pdvault_service", "select 1", "may create tables"),
        (
            "alter role pdvault_service set synchronous_commit = 'off'",
            "alter role pdvault_service reset synchronous_commit",
            "synchronous_commit is off",
        ),
        (
            "alter role pdvault_service createdb",
            "alter role pdvault_service nocreatedb",
            "superuser or may create",
        ),
    ],
)
async def test_unsafe_rights_and_settings_are_found(instance, urls, sql, undo, fault):
    await migrate(urls.owner)
    instance.postgres.execute(sql, database=urls.name)
    try:
        faults = await faults_of(urls.service)
    finally:
        instance.postgres.execute(undo, database=urls.name)
    assert 1 == len(faults)
    assert fault in faults[0]
