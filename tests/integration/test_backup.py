"""Backup, restore and drill over a real service, PostgreSQL and OpenBao."""

import asyncio
import json
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import asyncpg
import pytest

from tests.support.backups import Commands, empty_database, moved_to, rename_log
from tests.support.database import DatabaseEyes
from tests.support.embedded import fresh_database
from tests.support.erasures import VALUES, consumer, erased, found, reason, reveal, traces
from tests.support.service import StartService, VaultService, start_service, wait_until
from vault.app.drill_log import verify_log
from vault.app.restored_log import RPC
from vault.audit.checkpoint import open_checkpoint
from vault.audit.entry import decode
from vault.audit.note import VerifierKey
from vault.backup.read import BackupReader
from vault.backup.write import BackupFile
from vault.embedded.config_file import ORIGIN
from vault.errors import Reason
from vault.store.database import Database, PoolSettings
from vault.store.tree import TreeReader

__all__ = ["start_service"]
NEXT = "pdvault.example/audit/2"


@pytest.fixture(scope="module")
def vault(start_service: StartService) -> Iterator[VaultService]:
    """Lives through the tests that do not stop it."""
    with start_service() as started:
        for _ in range(5):
            consumer(started)
        yield started


@pytest.fixture
def own(start_service: StartService) -> Iterator[VaultService]:
    with start_service() as started:
        yield started


@pytest.fixture
def commands(vault, capsys) -> Commands:
    return Commands(vault, capsys)


def relations(url: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            sql = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
            return int(await connection.fetchval(sql))
        finally:
            await connection.close()

    return asyncio.run(count())


def published(service: VaultService) -> int:
    """Waits until the log is signed to its end, outside the database too; how long it is."""

    def is_signed() -> bool:
        sql = (
            "select (select count(*) from audit_pending) = 0 and"
            " (select count(*) from audit_leaves) = coalesce((select max(size) from"
            " audit_checkpoints), 0)"
        )
        return bool(service.database.value(sql))

    def is_witnessed() -> bool:
        # A restore believes this file: the log goes on if the backup holds as much as it says.
        file = service.folder / "witness" / "checkpoint"
        return file.exists() and int(file.read_text().splitlines()[1]) >= size

    wait_until(is_signed, seconds=20, text="the log is not signed")
    size = int(service.database.value("select count(*) from audit_leaves"))
    wait_until(is_witnessed, seconds=20, text="the witness file is not written")
    return size


def log_keys(commands: Commands, file: Path, folder: Path) -> list[VerifierKey]:
    """The log's public keys, as a backup brings them."""
    target = folder / "files"
    where = ("--config", commands.config, "--dry-run", "--files-to", target)
    assert 0 == commands.run("restore", file, *where).code
    for name in ("policies/callers.yaml", "transit/service.hcl", "manifest.json"):
        assert (target / name).stat().st_size
    return [VerifierKey.parse(line) for line in (target / "audit.vkey").read_text().splitlines()]


class Writers:
    """Threads that tokenise until told to stop; what was acknowledged, and when."""

    def __init__(self, service: VaultService, count: int = 3) -> None:
        self.service = service
        self.done: list[tuple[float, str]] = []
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(count)]

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                token = self.service.tokenize(VALUES)["phone"]
                self.done.append((time.monotonic(), token))
        except BaseException as error:
            self.errors.append(error)
            raise

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_while_writers_run_a_backup_is_one_moment_of_everything(own, capsys, tmp_path):
    commands, file = Commands(own, capsys), tmp_path / "b.pdb"
    with Writers(own) as writers:
        wait_until(lambda: len(writers.done) > 50, seconds=30, text="no writes")
        signed = "select count(*) from audit_checkpoints"
        wait_until(lambda: own.database.value(signed) > 0, seconds=30, text="no checkpoint")
        began = time.monotonic()
        made = commands.backup(file)
        ended = time.monotonic()
        wait_until(lambda: writers.done[-1][0] > ended, seconds=30, text="no writes")
    assert ([], 0) == (writers.errors, made.code), made.err
    published(own)  # more than the backup holds, so that this log can't go on
    before = {token for at, token in writers.done if at < began}
    after = {token for at, token in writers.done if at > ended}
    keys = log_keys(commands, file, tmp_path)
    with empty_database(own) as urls:
        restored = commands.restore(file, urls, "--next-log", NEXT)
        assert 0 == restored.code, restored.err

        async def look() -> None:
            connection = await asyncpg.connect(urls.owner)
            tokens = {row[0] for row in await connection.fetch("select token from tokens")}
            assert before <= tokens
            assert not after & tokens
            orphans = await connection.fetchval(
                "select count(*) from tokens as t where not exists (select from subject_keys as k"
                " where k.subject_id = t.subject_id and k.key_version = t.key_version)"
            )
            assert 0 == orphans
            unrecorded = await connection.fetchval(
                "select count(*) from tokens as t where not exists"
                " (select from audit_entries as e where e.subject_id = t.subject_id)"
            )
            assert 0 == unrecorded
            # Each entry is sequenced or waits for it, and none is both.
            sums = await connection.fetchrow(
                "select (select count(*) from audit_entries) as entries,"
                " (select count(*) from audit_leaves) + (select count(*) from audit_pending) as two"
            )
            assert sums["entries"] == sums["two"]
            trigger = await connection.fetchval(
                "select tgenabled from pg_trigger where tgname = 'audit_entries_pending'"
                " and tgrelid = 'audit_entries'::regclass"
            )
            assert b"O" == trigger
            await connection.close()

        asyncio.run(look())
        verify(urls.owner, keys)


def verify(url: str, keys: list[VerifierKey]) -> None:
    """What was signed of the log before the backup is whole, or nothing was."""

    async def look() -> None:
        database = Database(PoolSettings(url, 2, 5.0, 20.0))
        await database.open()
        try:
            async with database.connection() as connection:
                past = await connection.fetch(
                    "select size, root, note from audit_past_checkpoints order by size desc limit 1"
                )
                await connection.execute(
                    "insert into audit_checkpoints (size, root, note, signed_at)"
                    " select size, root, note, signed_at from audit_past_checkpoints"
                )
            assert past
            found = await verify_log(TreeReader(database), keys, ORIGIN, lambda *_: None)
            assert found.is_sound, found.text
        finally:
            await database.close()

    asyncio.run(look())


def test_an_erased_consumer_stays_erased_and_before_the_replay_nothing_is_served(
    own, capsys, tmp_path
):
    """Backup, erase, restore."""
    commands, file = Commands(own, capsys), tmp_path / "b.pdb"
    one, other = consumer(own), consumer(own)
    old = traces(own.database, one.token)
    published(own)
    assert 0 == commands.backup(file).code
    certificate = erased(own, subject_ref=one.ref)
    kept = own.database.value("select keep_until from backups")
    assert abs(certificate.complete_at.ToSeconds() - kept.timestamp()) < 2
    published(own)
    own.stop()
    with empty_database(own) as urls:
        assert 1 == (refused := commands.restore(file, urls)).code
        assert "can't go on" in refused.err
        assert 0 == relations(urls.owner)
        done = commands.restore(file, urls, "--next-log", NEXT).json
        assert (False, NEXT) == (done["log"]["goes_on"], done["log"]["origin"])
        assert done["log"]["lost_entries"] > 0
        with moved_to(own, urls):
            # Not replayed: nothing is served, although the values are in there.
            assert found(own.database, old)
            log = own.log.stat().st_size
            assert own._try_start(own.port) is None
            assert "pdvault erasures replay" in own.log.read_text()[log:]
            replayed = commands.replay()
            assert (0, 1, 1) == (
                replayed.code,
                replayed.json["erasures"],
                replayed.json["backups"],
            ), replayed.err
            assert [] == found(own.database, old)
            # The log has ended: its name is refused.
            log = own.log.stat().st_size
            assert own._try_start(own.port) is None
            assert "set audit.origin" in own.log.read_text()[log:]
            rename_log(own, ORIGIN, NEXT)
            own.start()
            for token in one.tokens.values():
                assert Reason.ERASED == reason(own, token)
            assert VALUES["phone"] in reveal(own, other.token).value
            new_log(own, log_keys(commands, file, tmp_path))
            assert "kept" == own.database.value("select state from backups")


def new_log(own: VaultService, keys: list[VerifierKey]) -> None:
    """The log that follows begins with the old one's leaves and says so."""
    size = published(own)
    kept, old_size, old_root = own.database.fetch(
        "select kept, size, root from audit_ended_logs where origin = $1", ORIGIN
    )[0]
    assert kept < old_size
    assert kept < size
    note = own.database.value("select note from audit_checkpoints order by size desc limit 1")
    assert note.startswith(f"{NEXT}\n")
    entry = decode(
        own.database.value(
            "select e.entry from audit_leaves as l join audit_entries as e using (entry_id)"
            " where l.leaf_index = $1",
            kept,
        )
    )
    assert RPC == entry.rpc
    assert f"log={ORIGIN} ended kept={kept} next={NEXT}" in entry.field
    assert f"checkpoint={old_size}:{old_root.hex()}" in entry.field
    aside = own.folder / "witness" / f"checkpoint.ended-{old_size}"
    signed = open_checkpoint(aside.read_bytes(), keys, origin=ORIGIN).checkpoint
    assert (old_size, old_root) == (signed.size, signed.root)
    past = own.database.value(
        "select count(*) from audit_past_checkpoints where origin = $1", ORIGIN
    )
    assert past > 0


def test_a_log_that_lost_nothing_goes_on_under_its_name(own, capsys, tmp_path):
    commands, file = Commands(own, capsys), tmp_path / "b.pdb"
    one = consumer(own)
    published(own)
    own.stop()
    assert 0 == commands.backup(file).code
    with empty_database(own) as urls:
        done = commands.restore(file, urls, "--next-log", NEXT).json["log"]
        assert (True, ORIGIN, 0) == (done["goes_on"], done["origin"], done["lost_entries"])
        with moved_to(own, urls):
            assert 0 == commands.replay().code
            own.start()
            assert VALUES["phone"] in reveal(own, one.token).value
            published(own)
            entries = own.database.value("select count(*) from audit_entries where rpc = $1", RPC)
            assert 1 == entries


def test_a_database_that_other_tools_restored_is_adopted_and_replayed(own, capsys):
    """A copy of the files stands for any of them: the vault was not asked."""
    commands = Commands(own, capsys)
    one, other = consumer(own), consumer(own)
    published(own)
    port = own.port
    own.stop()
    own.database.close()
    with fresh_database(own.instance, template=own.urls.name) as urls:
        own.database = DatabaseEyes(own.urls.owner)
        own.start()
        adopt = ("backup", "adopt", "--config", commands.config, "--owner-url-file")
        served = commands.run(*adopt, commands.owner(), "--next-log", NEXT)
        assert (1, True) == (served.code, "stop it first" in served.err)
        erased(own, subject_ref=one.ref)
        published(own)
        own.stop()
        with moved_to(own, urls):
            assert own._try_start(port) is None
            refused = commands.run(*adopt, commands.owner(), "--json")
            assert (1, True) == (refused.code, "--next-log" in refused.err)
            done = commands.run(*adopt, commands.owner(), "--next-log", NEXT, "--json").json
            assert (False, NEXT) == (done["log"]["goes_on"], done["log"]["origin"])
            assert 1 == commands.replay().json["erasures"]
            rename_log(own, ORIGIN, NEXT)
            own.start()
            assert Reason.ERASED == reason(own, one.token)
            assert VALUES["phone"] in reveal(own, other.token).value
            published(own)


SHAPE = """
select 'index ' || indexname || ' ' || indexdef from pg_indexes where schemaname = 'public'
union all
select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
union all
select 'trigger ' || tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text from pg_trigger
where not tgisinternal
union all
select 'right ' || relname || ' ' || coalesce(relacl::text, '') || ' ' || relpersistence::text
from pg_class where relnamespace = 'public'::regnamespace
union all
select 'column ' || attrelid::regclass || ' ' || attname || ' ' || attnotnull
    || coalesce(attacl::text, '') || format_type(atttypid, atttypmod)
from pg_attribute join pg_class on pg_class.oid = attrelid
where relnamespace = 'public'::regnamespace and attnum > 0 and relkind in ('r', 'p')
union all
select 'function ' || proname || coalesce(proacl::text, '') from pg_proc
where pronamespace = 'public'::regnamespace
"""


def shape(url: str) -> set[str]:
    async def look() -> set[str]:
        connection = await asyncpg.connect(url)
        try:
            return {row[0] for row in await connection.fetch(SHAPE)}
        finally:
            await connection.close()

    return asyncio.run(look())


def test_a_restored_database_has_the_shape_and_rights_of_any_other(commands, tmp_path):
    file = tmp_path / "b.pdb"
    assert 0 == commands.backup(file).code
    with empty_database(commands.service) as urls:
        assert 0 == commands.restore(file, urls, "--next-log", NEXT).code
        assert shape(commands.service.urls.owner) == shape(urls.owner)


def test_an_approval_is_not_used_twice_by_way_of_a_restore(own, capsys, tmp_path):
    commands, file = Commands(own, capsys), tmp_path / "b.pdb"
    act = {"act": {"widen_policy": {"bundle_digest": "ab" * 32}}, "cause": "policy_change"}
    asked = own.call("RequestAct", act | {"idempotency_key": "k" * 16}, caller="custodian-1")
    request = asked.read("RequestAct").request
    own.stop()
    assert 0 == commands.backup(file).code
    with empty_database(own) as urls:
        assert 0 == commands.restore(file, urls, "--next-log", NEXT).code
        with moved_to(own, urls):
            row = own.database.fetch("select request_id, withdrawn_by from custody_requests")[0]
            assert (uuid.UUID(hex=request.request_id), "pdvault restore") == tuple(row)


def test_what_was_cut_or_changed_is_refused_and_nothing_is_restored(commands, tmp_path):
    file = tmp_path / "b.pdb"
    assert 0 == commands.backup(file).code
    data = file.read_bytes()
    reader = BackupReader(file)
    head = len(reader.header.encode())
    reader.close()
    flips = [0, 18, 40, head - 3, head, head + 1000, len(data) // 2, len(data) - 1]
    variants = [data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :] for at in flips]
    variants += [data[:end] for end in (0, 10, head, head + 10, len(data) // 2, len(data) - 1)]
    variants += [data + b"\0", data + data[head:]]
    bad = tmp_path / "bad.pdb"
    with empty_database(commands.service) as urls:
        for number, variant in enumerate(variants):
            bad.write_bytes(variant)
            ran = commands.restore(bad, urls, "--next-log", NEXT)
            assert (1, "") == (ran.code, ran.out), number
            assert 0 == relations(urls.owner), number
        assert (
            1
            == commands.run("restore", bad, "--config", commands.config, "--dry-run", "--json").code
        )
        assert 0 == commands.restore(file, urls, "--next-log", NEXT).code
        again = commands.restore(file, urls, "--next-log", NEXT)
        assert 1 == again.code
        assert "not empty" in again.err


def test_a_cut_far_behind_is_found_before_anything_is_committed(commands, tmp_path):
    """All rows are in the transaction by then; the end is missing."""
    file, cut = tmp_path / "b.pdb", tmp_path / "cut.pdb"
    assert 0 == commands.backup(file).code
    cut.write_bytes(file.read_bytes()[:-1])
    with empty_database(commands.service) as urls:
        ran = commands.restore(cut, urls, "--next-log", NEXT)
        assert (1, 0) == (ran.code, relations(urls.owner))
        assert "cut or changed" in ran.err


def test_another_transit_says_what_is_missing(commands, tmp_path):
    file = tmp_path / "b.pdb"
    assert 0 == commands.backup(file).code
    data = file.read_bytes()
    at = data.index(b'"wrapped":"vault:v1:') + 40
    other = b"A" if data[at : at + 1] != b"A" else b"B"
    file.write_bytes(data[:at] + other + data[at + 1 :])
    with empty_database(commands.service) as urls:
        ran = commands.restore(file, urls)
    assert 1 == ran.code
    assert "this Transit does not open the backup's key" in ran.err


def test_a_file_that_is_there_is_never_written_over(commands, tmp_path):
    file = tmp_path / "b.pdb"
    file.write_text("mine")
    ran = commands.backup(file)
    assert (1, "mine") == (ran.code, file.read_text())
    assert "not written over" in ran.err
    assert [file] == list(tmp_path.iterdir())


def test_a_place_that_was_taken_meanwhile_is_not_written_over(commands, tmp_path, monkeypatch):
    file = tmp_path / "b.pdb"
    finish = BackupFile.finish

    def late(self: BackupFile) -> bytes:
        file.write_text("mine")
        return finish(self)

    monkeypatch.setattr(BackupFile, "finish", late)
    assert 1 == commands.backup(file).code
    assert ("mine", [file]) == (file.read_text(), list(tmp_path.iterdir()))


def test_a_full_disk_leaves_nothing_but_a_note(commands, tmp_path, monkeypatch):
    write = BackupFile.write

    def full(self: BackupFile, data: bytes) -> None:
        if self.size + len(data) > 10_000:
            raise OSError(28, "No space left on device", str(self.path))
        write(self, data)

    monkeypatch.setattr(BackupFile, "write", full)
    ran = commands.backup(tmp_path / "b.pdb")
    assert 1 == ran.code
    assert "No space left on device" in ran.err
    assert [] == list(tmp_path.iterdir())
    monkeypatch.undo()
    newest = listed(commands)[0]
    assert ("failed", False) == (newest["state"], newest["counts"])


def listed(commands: Commands) -> list[dict]:
    ran = commands.run("backup", "list", "--owner-url-file", commands.owner(), "--json")
    assert 0 == ran.code
    return [json.loads(line) for line in ran.out.splitlines()]


def test_declared_backups_are_on_record_until_they_are_gone(commands):
    where = ("--config", commands.config, "--owner-url-file", commands.owner())
    ran = commands.run(
        "backup",
        "declare",
        *where,
        "--until",
        "2099-01-01",
        "--archive",
        "--label",
        "base",
        "--json",
    )
    assert 0 == ran.code, ran.err
    backup_id = ran.json["backup_id"]
    newest = listed(commands)[0]
    assert ("archive", "kept", True, None, "base") == (
        newest["kind"],
        newest["state"],
        newest["counts"],
        newest["covers_until"],
        newest["label"],
    )
    assert {"demo-shop"} <= {root["tenant"] for root in newest["roots"]}
    assert backup_id in commands.service.ledger_file.read_text()
    gone = ("backup", "declare", *where, "--gone", backup_id, "--json")
    assert 0 == commands.run(*gone).code
    assert ("gone", False) == (listed(commands)[0]["state"], listed(commands)[0]["counts"])
    assert 1 == commands.run(*gone).code
    for wrong in (("--until", "2001-01-01"), ("--until", "2099-01-01", "--begun", "2098-01-01")):
        assert 1 == commands.run("backup", "declare", *where, *wrong).code
    assert 2 == commands.run("backup", "declare", *where).code


def test_a_drill_reports_what_an_assessor_asks(own, capsys, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    commands, file, html = Commands(own, capsys), tmp_path / "b.pdb", tmp_path / "drill.html"
    people = [consumer(own) for _ in range(12)]
    published(own)
    assert 0 == commands.backup(file).code
    erased(own, subject_ref=people[0].ref)
    ledger = own.ledger_file.read_bytes()
    ran = commands.drill(file, "--html", html)
    assert 0 == ran.code, ran.out + ran.err
    report = ran.json
    assert report["passed"]
    assert all(check["passed"] for check in report["checks"])
    assert (1, 1, 2) == (
        report["erased"],
        report["before_replay"]["keys"],
        report["before_replay"]["values"],
    )
    assert {"keys": 0, "references": 0, "values": 0} == report["after_replay"]
    opened = {(one["field_type"], one["opened"]): one["values"] for one in report["sample"]}
    assert {("phone", True): 11, ("person_name", True): 11} == opened
    assert report["log"]["sound"]
    assert report["rto_seconds"] > 0
    assert report["lost_entries"] >= 0
    page = html.read_text()
    for text in ("Restore drill: passed", "RTO", "RPO", "Nothing is left of the erased"):
        assert text in page
    for secret in (*VALUES.values(), people[1].token, people[1].ref, "<script"):
        assert secret not in page + ran.out
    assert ledger == own.ledger_file.read_bytes()
    assert [] == list(scratch.iterdir())


def test_a_drill_without_the_ledger_fails(own, capsys, tmp_path):
    commands, file = Commands(own, capsys), tmp_path / "b.pdb"
    consumer(own)
    published(own)
    assert 0 == commands.backup(file).code
    own.ledger_file.rename(own.ledger_file.with_suffix(".lost"))
    ran = commands.drill(file)
    own.ledger_file.with_suffix(".lost").rename(own.ledger_file)
    assert 1 == ran.code
    failed = [one["name"] for one in ran.json["checks"] if not one["passed"]]
    assert ["The ledger of erasures is there"] == failed
