"""Old months of the log go to files, on real servers: still provable, and nothing else moves."""

import asyncio
import dataclasses
import datetime as dt
import json
import re
import stat
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio

from tests.support.audit_log import AuditLog, audit_log, until
from tests.support.embedded import fresh_database
from tests.support.frozen_clock import FrozenClock
from vault.audit.account import Account, EntryIds
from vault.audit.archive_verify import verify_archive
from vault.audit.entry import decode
from vault.audit.merkle import build_proof, inclusion_plan, plan_nodes, verify_inclusion
from vault.audit.note import VerifierKey
from vault.cli.main import main
from vault.embedded import EmbeddedInstance
from vault.errors import Reason, VaultError
from vault.model import Authentication, Principal, Verdict
from vault.rows import Commit
from vault.service.archived import ArchivedEntries
from vault.service.export import Exporter, Piece
from vault.service.list_entries import EntriesQuery, EntryLister
from vault.service.stats import Statistician, StatsQuery
from vault.service.tree import TreeHashes
from vault.store.database import Database, PoolSettings
from vault.store.log import LogReader
from vault.store.migrate import migrate
from vault.store.proofs import ExportLeaf, ProofReader
from vault.store.tree import TreeWriter

MONTHS = ("2024-01", "2024-02", "2024-03")


@pytest_asyncio.fixture(scope="module")
async def template(instance: EmbeddedInstance) -> AsyncIterator[str]:
    with fresh_database(instance) as urls:
        await migrate(urls.owner)
        yield urls.name


@pytest_asyncio.fixture
async def log(instance: EmbeddedInstance, template: str, tmp_path) -> AsyncIterator[AuditLog]:
    """A log with partitions for the first months of 2024."""
    with fresh_database(instance, template=template) as urls:
        async with audit_log(instance, urls, tmp_path) as made:
            for month, following in zip(MONTHS, (*MONTHS[1:], "2024-04"), strict=True):
                await made.execute(
                    f"create table audit_entries_{month.replace('-', '_')} partition of"
                    f" audit_entries for values from ('{month}-01Z') to ('{following}-01Z')"
                )
            yield made


async def record(log: AuditLog, month: str, count: int, *, tenant: str = "demo-shop") -> None:
    """Entries of some month, a second apart."""
    day = 10 if tenant == "demo-shop" else 11
    clock = FrozenClock(dt.datetime.fromisoformat(f"{month}-{day}T00:00:00Z").timestamp())
    ids = EntryIds(clock)
    rows = []
    for _ in range(count):
        clock.advance(1)
        account = Account(
            rpc="vault.v1.TokenService/Detokenize",
            call_id=ids.next()[0],
            trace_id=bytes(16),
            span_id=bytes(8),
        )
        account.principal = Principal(
            id=f"spiffe://pdvault.example/{tenant}/shipping",
            authentication=Authentication.MTLS,
            tenant=tenant,
            roles=(),
        )
        rows += account.close_failed(ids, Reason.INTERNAL, Verdict.FAILED)
    await log.store.commit([Commit(entries=tuple(rows))])


async def publish(log: AuditLog, size: int) -> None:
    async with log.sequencing():
        await log.wait_published(size)


class Operator:
    """Who runs the command."""

    def __init__(self, log: AuditLog, instance: EmbeddedInstance, capsys) -> None:
        instance.write_config(policies=log.folder)
        self.key = instance.state_dir / "audit.vkey"
        self.keys = [VerifierKey.parse(line) for line in self.key.read_text().splitlines()]
        self.folder = log.folder / "archive"
        self.url_file = log.folder / "owner.url"
        self.url_file.write_text(log.urls.owner)
        self.url_file.chmod(0o600)
        self._capsys = capsys

    def argv(self, before: str, *options: str) -> list[str]:
        return [
            *("audit", "archive", "--owner-url-file", str(self.url_file)),
            *("--to", str(self.folder), "--before", before, "--key", str(self.key), *options),
        ]

    async def archive(self, before: str, *options: str) -> tuple[int, str, str]:
        return await self._run(self.argv(before, *options))

    async def verify(self, *options: str) -> tuple[int, str, str]:
        return await self._run(
            ["audit", "verify-archive", str(self.folder), "--key", str(self.key), *options]
        )

    async def _run(self, argv: list[str]) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, argv)
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest.fixture
def operator(log: AuditLog, instance: EmbeddedInstance, capsys) -> Operator:
    return Operator(log, instance, capsys)


async def partitions(log: AuditLog) -> set[str]:
    rows = await log.owner.fetch(
        "select relname from pg_class where relname ~ '^audit_entries_2024_[0-9]{2}$'"
    )
    return {row["relname"].removeprefix("audit_entries_").replace("_", "-") for row in rows}


async def entries(log: AuditLog) -> int:
    return await log.owner.fetchval("select count(*) from audit_entries")


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_months_go_and_come_to_be_a_log_of_their_own(log, operator):
    await record(log, "2024-01", 300)
    await publish(log, 300)
    await record(log, "2024-02", 400)
    await publish(log, 700)
    await log.record(20)
    await publish(log, 720)

    code, out, err = await operator.archive("2024-02", "--execute", "--json")
    assert 0 == code, err
    assert {
        "executed": True,
        "dropped": True,
        "months": [
            {
                "partition": "audit_entries_2024_01",
                "entries": 300,
                "first_index": 0,
                "last_index": 299,
            }
        ],
        "archived_before": 0,
        "checkpoint_size": 300,
    } == json.loads(out)
    assert {"2024-02", "2024-03"} == await partitions(log)
    assert 420 == await entries(log)
    assert (0, 300) == verdict(await operator.verify("--json"))

    # The second month goes on in the middle of a bundle whose beginning the database has no more.
    before = files_of(operator.folder)
    code, out, err = await operator.archive("2024-04", "--execute")
    assert 0 == code, err
    assert set() == await partitions(log)
    assert 20 == await entries(log)
    assert (0, 700) == verdict(await operator.verify("--json"))
    after = files_of(operator.folder)
    changed = {path for path in before if before[path] != after[path]}
    assert {"checkpoint"} == changed
    assert {f"index/{month}" for month in MONTHS} <= after.keys()
    assert all(0o444 == stat.S_IMODE((operator.folder / path).stat().st_mode) for path in after)
    rows = await log.owner.fetch("select partition, entries from audit_archives order by 1")
    assert [300, 400, 0] == [row["entries"] for row in rows]

    assert (0, "", "no month to archive\n") == await operator.archive("2024-04", "--execute")


def verdict(answer: tuple[int, str, str]) -> tuple[int, int]:
    code, out, _ = answer
    return code, json.loads(out)["entries"]


async def test_an_archived_entry_is_still_proved_to_its_own_tenant_only(log, operator):
    await record(log, "2024-01", 260)
    await record(log, "2024-01", 40, tenant="other-shop")
    await log.record(300)
    await publish(log, 600)
    known = await log.owner.fetch("select entry_id, tenant from audit_entries")
    mine = {row["entry_id"] for row in known if row["tenant"] in ("demo-shop", "")}
    theirs = {row["entry_id"] for row in known if row["tenant"] == "other-shop"}
    database = Database(
        PoolSettings(
            url=log.urls.audit_reader, max_connections=1, connect_timeout=5, statement_timeout=10
        )
    )
    await database.open()
    try:
        reader = ProofReader(database)
        before = await reader.find_leaves([*mine, *theirs], "demo-shop")
        assert mine == before.keys()

        code, _, err = await operator.archive("2024-02", "--execute")
        assert 0 == code, err

        assert before == await reader.find_leaves([*mine, *theirs], "demo-shop")
        assert 340 == len(await reader.find_leaves([*mine, *theirs], "other-shop"))
        assert 300 == len(await reader.find_leaves([*mine, *theirs], "third-shop"))
        row = await reader.newest_checkpoint()
        hashes = TreeHashes(reader)
        for place in list(before.values())[:20]:
            plan = inclusion_plan(place.index, row.size)
            source = await hashes.source(plan_nodes(plan), row.size)
            path = build_proof(plan, source)
            verify_inclusion(place.leaf_hash, place.index, row.size, path, row.root)
        exported = await reader.export_leaves(0, 600, "demo-shop")
        assert 600 == len(exported)
        assert 300 == sum(leaf.entry is not None for leaf in exported)
    finally:
        await database.close()


async def ignore(*_: object) -> None:
    pass


NO_RECORDER = SimpleNamespace(record=ignore)


def auditor(tenant: str) -> SimpleNamespace:
    """A call of an auditor of this tenant."""
    return SimpleNamespace(
        tenant=tenant,
        principal=None,
        account=SimpleNamespace(),
        trace=SimpleNamespace(mark=lambda _: None),
        bundle=SimpleNamespace(decide_act=lambda *_: SimpleNamespace(is_allowed=True)),
    )


async def exported(reader: ProofReader, tenant: str, archive: Path | None) -> list[ExportLeaf]:
    """The leaves of an export by an auditor of this tenant."""
    sent: list[Piece] = []

    async def send(piece: Piece) -> None:
        sent.append(piece)

    exporter = Exporter(
        log=reader,
        hashes=TreeHashes(reader),
        recorder=NO_RECORDER,
        archive=archive,
    )
    await exporter.export(auditor(tenant), 0, 0, 0, send)
    return [leaf for piece in sent if isinstance(piece, list) for leaf in piece]


async def test_exports_read_archived_entries_from_the_folder(log, operator):
    await record(log, "2024-01", 270)
    await record(log, "2024-01", 30, tenant="other-shop")
    await publish(log, 300)
    await log.record(300)
    await publish(log, 600)
    database = Database(
        PoolSettings(
            url=log.urls.audit_reader, max_connections=1, connect_timeout=5, statement_timeout=10
        )
    )
    await database.open()
    try:
        reader = ProofReader(database)
        before = {tenant: await exported(reader, tenant, None) for tenant in ("demo-shop", "x")}
        assert 0 == (await operator.archive("2024-02", "--execute"))[0]

        for tenant, leaves in before.items():
            again = await exported(reader, tenant, operator.folder)
            assert [leaf.entry for leaf in leaves] == [leaf.entry for leaf in again]
        hashes = await exported(reader, "demo-shop", None)
        assert {None} == {leaf.entry for leaf in hashes[:300]}
        assert None not in {leaf.entry for leaf in hashes[300:]}

        bundle = operator.folder / "tile/entries/000"
        bundle.chmod(0o644)
        data = bytearray(bundle.read_bytes())
        data[100] ^= 1
        bundle.write_bytes(data)
        for spoil in (lambda: None, bundle.unlink):
            spoil()
            with pytest.raises(VaultError) as caught:
                await exported(reader, "demo-shop", operator.folder)
            assert Reason.DATA_CORRUPT is caught.value.reason
    finally:
        await database.close()


async def listed(lister: EntryLister, tenant: str, page_size: int, **filters: object) -> list[str]:
    """All pages."""
    names = EntriesQuery.__dataclass_fields__
    query = dict.fromkeys(names) | {"page_size": page_size, "page_token": ""} | filters
    found: list[str] = []
    while True:
        page = await lister.list_entries(auditor(tenant), EntriesQuery(**query))
        assert page_size >= len(page.entries)
        found += [each.entry.entry_id.hex for each in page.entries]
        query["page_token"] = page.next_page_token
        if not page.next_page_token:
            return found


async def test_lists_and_counts_reach_archived_months(log, operator):
    await record(log, "2024-01", 270)
    await record(log, "2024-01", 30, tenant="other-shop")
    await record(log, "2024-02", 40)
    await publish(log, 340)
    await log.record(20)
    await publish(log, 360)
    database = Database(
        PoolSettings(
            url=log.urls.audit_reader, max_connections=1, connect_timeout=5, statement_timeout=10
        )
    )
    await database.open()
    try:
        reader = ProofReader(database)

        def lister(archive: Path | None, looks: int = 100) -> EntryLister:
            return EntryLister(
                log=LogReader(database),
                index_keys=None,
                subjects=None,
                cases=None,
                recorder=NO_RECORDER,
                archive=archive and ArchivedEntries(archive, reader, looks=looks),
            )

        def day(text: str) -> dt.datetime:
            return dt.datetime.fromisoformat(f"{text}Z")

        whole = await listed(lister(None), "demo-shop", 500)
        assert 330 == len(whole)
        filters = [
            {},
            {"caller": "spiffe://pdvault.example/demo-shop/shipping"},
            {"caller": "spiffe://pdvault.example/other-shop/shipping"},
            {"verdict": Verdict.FAILED},
            {"verdict": Verdict.ALLOWED},
            {"purpose": "delivery"},
            {"start": day("2024-01-10T00:01:00"), "end": day("2024-02-10T00:00:30")},
            {"start": day("2024-01-10T00:04:31")},
            {"entry_id": uuid.UUID(whole[100])},
            {"entry_id": uuid.UUID(whole[0])},
            {"entry_id": uuid.uuid4()},
        ]
        tenants = ("demo-shop", "other-shop", "third-shop")
        before = [
            await listed(lister(None), tenant, 500, **each)
            for tenant in tenants
            for each in filters
        ]
        counter = Statistician(log=reader, lister=lister(None), recorder=NO_RECORDER)
        time = StatsQuery(day("2024-01-01T00:00:00"), dt.datetime.now(dt.UTC))
        counts = {tenant: await counter.get_stats(auditor(tenant), time) for tenant in tenants}

        for until, left in (("2024-02", 60), ("2024-03", 20)):
            assert 0 == (await operator.archive(until, "--execute"))[0]
            assert left == len(await listed(lister(None), "demo-shop", 500))
            for page_size, looks in ((23, 10_000), (500, 30)):
                found = lister(operator.folder, looks)
                assert before == [
                    await listed(found, tenant, page_size, **each)
                    for tenant in tenants
                    for each in filters
                ]
            assert counts == {
                tenant: await counter.get_stats(auditor(tenant), time) for tenant in tenants
            }
        with pytest.raises(VaultError) as caught:
            await counter.get_stats(
                auditor("demo-shop"), dataclasses.replace(time, case_id=uuid.uuid4())
            )
        assert ["from"] == [each.field for each in caught.value.violations]

        for path, at in (("index/2024-01", 24 * 100), ("tile/entries/000", 2000)):
            file = operator.folder / path
            good = file.read_bytes()
            file.chmod(0o644)
            for bad in (good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], None):
                if bad is None:
                    file.unlink()
                else:
                    file.write_bytes(bad)
                with pytest.raises(VaultError) as caught:
                    await listed(lister(operator.folder), "demo-shop", 500)
                assert Reason.DATA_CORRUPT is caught.value.reason
            file.write_bytes(good)
        assert 330 == len(await listed(lister(operator.folder), "demo-shop", 500))
    finally:
        await database.close()


async def test_leaves_of_the_time_before_they_knew_their_tenant(log, operator):
    await record(log, "2024-01", 5)
    await publish(log, 5)
    await log.execute("update audit_leaves set tenant = null")
    code, _, err = await operator.archive("2024-02", "--execute")
    assert 0 == code, err
    rows = await log.owner.fetch("select distinct tenant from audit_leaves")
    assert ["demo-shop"] == [row["tenant"] for row in rows]


async def test_the_patrol_walks_over_archived_months_while_they_go(log, operator):
    await record(log, "2024-01", 600)
    async with log.sequencing() as running:
        await log.wait_published(600)
        await until(lambda: running.patrol.passes > 0)
        code, _, err = await operator.archive("2024-02", "--execute")
        assert 0 == code, err
        passes = running.patrol.passes
        await log.record(10)
        await log.wait_published(610)
        await until(lambda: running.patrol.passes > passes + 1)
        assert frozenset() == running.alarms.active
    async with log.sequencing() as running:  # a new leader takes up the tree
        await log.record(10)
        await log.wait_published(620)
        assert frozenset() == running.alarms.active


async def test_without_execute_nothing_changes(log, operator):
    await record(log, "2024-01", 10)
    await publish(log, 10)
    code, out, _ = await operator.archive("2024-02")
    assert 0 == code
    assert "audit_entries_2024_01: 10 entries, leaves 0 to 9" in out
    assert not operator.folder.exists()
    assert set(MONTHS) == await partitions(log)


async def test_keep_drops_nothing_and_the_next_run_writes_nothing(log, operator):
    await record(log, "2024-01", 10)
    await publish(log, 10)
    assert 0 == (await operator.archive("2024-02", "--execute", "--keep"))[0]
    assert (0, 10) == verdict(await operator.verify("--json"))
    assert set(MONTHS) == await partitions(log)
    code, _, err = await operator.archive("2024-02", "--execute")
    assert 0 == code
    assert "0 files written" in err
    assert {"2024-02", "2024-03"} == await partitions(log)


async def test_what_has_no_place_in_the_log_or_no_checkpoint_does_not_go(log, operator):
    await record(log, "2024-01", 10)
    code, _, err = await operator.archive("2024-02", "--execute")
    assert 1 == code
    assert "audit_entries_2024_01: 10 entries have no place in the log yet" in err

    writer = await TreeWriter.connect(log.urls.sequencer, connect_timeout=5, statement_timeout=5)
    await writer.sequence(0, 100)
    await writer.close()
    code, _, err = await operator.archive("2024-02", "--execute")
    assert 1 == code
    assert "no checkpoint covers these months yet" in err
    assert set(MONTHS) == await partitions(log)
    assert not operator.folder.exists()


async def test_a_month_that_is_not_over_does_not_go(log, operator):
    await log.record(10)
    await publish(log, 10)
    following = (dt.datetime.now(dt.UTC).replace(day=1) + dt.timedelta(days=40)).strftime("%Y-%m")
    code, _, err = await operator.archive(following, "--execute")
    assert 1 == code
    assert "is not over" in err
    with pytest.raises(Exception, match="the month is not over"):
        await log.owner.fetchval(
            "select drop_archived_partition(name, 10, 0, 9, 10, decode(repeat('00', 32), 'hex'))"
            " from (select relname::text as name from pg_class"
            " where relname = 'audit_entries_' || to_char(now() at time zone 'UTC', 'YYYY_MM')) m"
        )


async def test_a_damaged_entry_stops_it(log, operator):
    await record(log, "2024-01", 10)
    await publish(log, 10)
    await log.execute(
        "update audit_entries set entry = set_byte(entry, 30, get_byte(entry, 30) # 1)"
        " where entry_id = (select entry_id from audit_leaves where leaf_index = 4)"
    )
    code, _, err = await operator.archive("2024-02", "--execute")
    assert 1 == code
    assert "leaf 4 of the database is damaged" in err
    assert set(MONTHS) == await partitions(log)
    assert not (operator.folder / "checkpoint").exists()


async def test_an_entry_that_came_meanwhile_keeps_the_month(log, operator):
    await record(log, "2024-01", 10)
    await publish(log, 10)
    taken = await log.owner.fetchval(
        "select drop_archived_partition('audit_entries_2024_01', 9, 0, 8, 10,"
        " decode(repeat('00', 32), 'hex'))"
    )
    assert taken is False
    assert set(MONTHS) == await partitions(log)
    assert 0 == await log.owner.fetchval("select count(*) from audit_archives")


async def test_the_folder_of_another_log_is_refused(log, operator, instance, template, tmp_path):
    await record(log, "2024-01", 10)
    await publish(log, 10)
    assert 0 == (await operator.archive("2024-02", "--execute"))[0]
    with fresh_database(instance, template=template) as urls:
        (tmp_path / "other").mkdir()
        async with audit_log(instance, urls, tmp_path / "other") as other:
            await other.execute(
                "create table audit_entries_2024_01 partition of audit_entries"
                " for values from ('2024-01-01Z') to ('2024-02-01Z')"
            )
            await record(other, "2024-01", 10)
            await publish(other, 10)
            operator.url_file.write_text(urls.owner)
            code, _, err = await operator.archive("2024-02", "--execute")
            assert 1 == code
            assert "the folder's checkpoint is not one of this database" in err
            assert 10 == await entries(other)


async def test_every_flipped_byte_is_found_with_its_path(log, operator):
    await record(log, "2024-01", 300)
    await publish(log, 300)
    assert 0 == (await operator.archive("2024-02", "--execute"))[0]
    await record(log, "2024-02", 300)
    await publish(log, 600)
    assert 0 == (await operator.archive("2024-03", "--execute"))[0]
    files = files_of(operator.folder)
    assert "tile/0/001.p/44" in files  # of the first run
    for path, data in files.items():
        for at in {0, len(data) // 2, len(data) - 1}:
            (operator.folder / path).chmod(0o644)
            flipped = bytearray(data)
            flipped[at] ^= 1
            (operator.folder / path).write_bytes(flipped)
            report = verify_archive(operator.folder, operator.keys)
            assert not report.is_sound, (path, at)
            assert path in {fault.path for fault in report.faults}, (path, at, report.faults)
        (operator.folder / path).write_bytes(data)
    assert verify_archive(operator.folder, operator.keys).is_sound
    (operator.folder / "tile/entries/001").unlink()
    code, out, _ = await operator.verify()
    assert 1 == code
    assert f"{operator.folder}/tile/entries/001: is missing (leaf 256)" in out


async def test_a_file_with_other_bytes_is_never_written_over(log, operator):
    await record(log, "2024-01", 300)
    await publish(log, 300)
    other = operator.folder / "tile/entries/000"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"other")
    code, _, err = await operator.archive("2024-02", "--execute")
    assert 1 == code
    assert "tile/entries/000: is there with other bytes" in err
    assert b"other" == other.read_bytes()
    assert set(MONTHS) == await partitions(log)


async def test_what_was_killed_goes_on(log, operator):
    for _ in range(10):
        await record(log, "2024-01", 2000)
    await publish(log, 20_000)
    argv = [sys.executable, "-m", "vault", *operator.argv("2024-02", "--execute")]
    killed = 0
    for files in (1, 20, 60, 120):
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await until(lambda p=process, n=files: p.returncode is not None or _count(operator) >= n)
        if process.returncode is None:
            process.kill()
            killed += 1
        await process.wait()
    assert killed >= 2
    code, _, err = await operator.archive("2024-02", "--execute")
    assert 0 == code, err
    assert {"2024-02", "2024-03"} == await partitions(log)
    code, out, err = await operator.verify()
    assert 0 == code, out
    assert re.search(r"20000 leaves, 20000 entries, 20000 of them indexed", out)
    assert 0 == await entries(log)


def _count(operator: Operator) -> int:
    return sum(1 for path in operator.folder.rglob("*") if path.is_file())


async def test_an_entry_is_found_by_its_id(log, operator):
    await record(log, "2024-01", 300)
    await publish(log, 300)
    ids = [row["entry_id"] for row in await log.owner.fetch("select entry_id from audit_entries")]
    assert 0 == (await operator.archive("2024-02", "--execute"))[0]
    index = (operator.folder / "index/2024-01").read_bytes()
    records = {
        index[at : at + 16]: int.from_bytes(index[at + 16 : at + 24])
        for at in range(0, len(index), 24)
    }
    assert sorted(one.bytes for one in ids) == list(records)
    bundle = (operator.folder / "tile/entries/000").read_bytes()
    length = int.from_bytes(bundle[:2])
    first = decode(bundle[2 : 2 + length])
    assert 0 == records[first.entry_id.bytes]


async def test_two_at_once_take_turns(log, operator):
    await record(log, "2024-01", 3)
    await publish(log, 3)
    await log.owner.fetchval("select pg_advisory_lock($1)", 0x7064_7661_756C_7403)
    code, _, err = await operator.archive("2024-02", "--execute")
    assert 1 == code
    assert "another pdvault audit archive is at work" in err


async def test_the_leader_makes_the_months_to_come(log):
    await log.execute(
        "do $$ declare p text; begin for p in select relname from pg_class"
        " where relname ~ '^audit_entries_20(2[7-9]|[3-9])' and relkind = 'r'"
        " loop execute 'drop table ' || p; end loop; end $$"
    )

    async def months() -> int:
        return await log.owner.fetchval(
            "select count(*) from pg_inherits where inhparent = 'audit_entries'::regclass"
        )

    before = await months()
    async with log.sequencing() as running:

        async def made() -> bool:
            return await months() >= 14 + len(MONTHS)  # this month, 12 more, the rest

        if before < 14 + len(MONTHS):
            await until(made)
        assert frozenset() == running.alarms.active


async def test_entries_without_a_month_sound_an_alarm(log):
    await record(log, "2023-05", 2)
    async with log.sequencing() as running:
        await log.wait_published(2)
        await until(lambda: {"unpartitioned"} == {str(one) for one in running.alarms.active})
        assert not running.alarms.is_halted
