"""The sequencer on real servers: one tree, whoever dies; damage and rollback stop it."""

import asyncio
import dataclasses
import itertools
import time
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.support.audit_log import AuditLog, audit_log, until
from tests.support.embedded import fresh_database
from vault.audit.alarms import Alarm, TreeDamageError
from vault.audit.checkpoint import open_checkpoint
from vault.audit.note import VerifierKey
from vault.audit.witnessed import WitnessError, WitnessFile, check_history
from vault.embedded import EmbeddedInstance
from vault.errors import Reason, VaultError
from vault.model import SubjectId
from vault.rows import Commit, EntryRow
from vault.store.migrate import migrate
from vault.store.tree import TreeWriter


@pytest_asyncio.fixture(scope="module")
async def template(instance: EmbeddedInstance) -> AsyncIterator[str]:
    with fresh_database(instance) as urls:
        await migrate(urls.owner)
        yield urls.name


@pytest_asyncio.fixture
async def log(instance: EmbeddedInstance, template: str, tmp_path) -> AsyncIterator[AuditLog]:
    with fresh_database(instance, template=template) as urls:
        async with audit_log(instance, urls, tmp_path) as made:
            yield made


async def test_entries_get_contiguous_indexes_and_a_signed_checkpoint(log, instance):
    async with log.sequencing() as running:
        for count in (1, 2, 300, 700):
            await log.record(count)
        await log.wait_published(1003)
        assert running.sequencer.is_leader
        assert running.alarms.active == frozenset()
    assert 1003 == await log.prove()
    row = await log.tree.newest_checkpoint()
    instance.write_config(policies=log.folder)
    lines = (instance.state_dir / "audit.vkey").read_text().splitlines()
    keys = [VerifierKey.parse(line) for line in lines]
    opened = open_checkpoint(row.note.encode(), keys, origin="pdvault.example/audit")
    assert (1003, row.root) == (opened.checkpoint.size, opened.checkpoint.root)
    assert running.witness_file.read_bytes() == row.note.encode()


async def test_every_column_is_stored_however_many_entries_share_a_commit(log):
    for count in range(1, 11):  # up to eight by INSERT, more by COPY
        rows = [
            dataclasses.replace(
                row,
                subject_id=SubjectId(uuid.uuid4()) if at % 2 else None,
                field_types=("phone", "person_name")[: at % 3],
                policies=("a", "b", "c")[: at % 4],
                views=at,
                verdicts=count,
                case_id=uuid.uuid4() if at % 3 else None,
            )
            for at, row in enumerate(log.entries(count))
        ]
        await log.store.commit([Commit(entries=(row,)) for row in rows])
        stored = await log.owner.fetch(
            "select * from audit_entries where verdicts = $1 order by entry_id", count
        )
        wanted = [[getattr(row, column) for column in EntryRow.COLUMNS] for row in rows]
        assert wanted == [
            [tuple(v) if isinstance(v := found[column], list) else v for column in EntryRow.COLUMNS]
            for found in stored
        ]


async def test_an_empty_log_has_no_checkpoint(log):
    async with log.sequencing() as running:
        await until(lambda: running.sequencer.is_leader)
        await asyncio.sleep(0.7)
    assert 0 == await log.checkpoints()
    assert not running.witness_file.exists()


async def test_a_checkpoint_at_least_every_second_under_load(log):
    async with log.sequencing():
        for _ in range(40):
            await log.record(5)
            await asyncio.sleep(0.1)
    times = [
        row["signed_at"]
        for row in await log.owner.fetch("select signed_at from audit_checkpoints order by size")
    ]
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    assert len(times) >= 4
    assert max(gaps) < 1.0
    assert 200 == await log.prove()


async def test_the_last_round_publishes_what_was_recorded(log):
    async with log.sequencing() as running:
        await until(lambda: running.sequencer.is_leader)
        await log.record(1500)
    assert 1500 == await log.published()


async def test_two_in_one_loop_take_turns(log):
    """The second leads once the first has stopped, and goes on where it ended."""
    async with log.sequencing(witness="second") as second:
        async with log.sequencing(witness="first") as first:
            await log.record(10)
            await log.wait_published(10)
            assert 1 == first.sequencer.is_leader + second.sequencer.is_leader
        await log.record(10)
        await log.wait_published(20)
    assert 20 == await log.prove()


async def test_a_standby_keeps_the_checkpoint_too(log):
    async with log.sequencing(witness="a") as a, log.sequencing(witness="b") as b:
        await log.record(3)
        await log.wait_published(3)
        for each in (a, b):
            await until(each.witness_file.exists)
            assert 3 == WitnessFile(each.witness_file, signer=log.signer).read().size


async def test_a_cut_connection_costs_leadership_and_nothing_else(log, instance):
    async with log.sequencing() as running:
        await log.record(5)
        await log.wait_published(5)
        instance.postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'pdvault-sequencer' and datname = current_database()",
            database=log.urls.name,
        )
        await log.record(5)
        await log.wait_published(10)
        assert running.alarms.active == frozenset()
    assert 10 == await log.prove()


async def test_who_lost_the_lock_can_write_no_more(log):
    """An old leader that wakes up finds its indexes taken."""
    async with log.sequencing():
        await log.record(5)
        await log.wait_published(5)
    late = await TreeWriter.connect(log.urls.sequencer, connect_timeout=5, statement_timeout=5)
    await log.record(5)
    with pytest.raises(VaultError) as caught:
        await late.sequence(3, 10)
    assert Reason.INTERNAL is caught.value.reason
    await late.close()
    assert 5 == await log.prove()


# --- Damage ---------------------------------------------------------------------------

_FLIP_ENTRY = """
    update audit_entries set entry = set_byte(entry, 7, get_byte(entry, 7) # 1)
    where entry_id = (select entry_id from audit_leaves where leaf_index = 100)
"""
_DROP_ENTRY = """
    delete from audit_entries
    where entry_id = (select entry_id from audit_leaves where leaf_index = 100)
"""
_REWRITE_BOTH = """
    with e as (
        update audit_entries set entry = '\\x01', leaf_hash = sha256('\\x0001')
        where entry_id = (select entry_id from audit_leaves where leaf_index = 299)
        returning entry_id, leaf_hash
    )
    update audit_leaves as l set leaf_hash = e.leaf_hash from e where l.entry_id = e.entry_id
"""
DAMAGES = {
    "entry": (_FLIP_ENTRY, Alarm.ENTRY_DAMAGED),
    "entry gone": (_DROP_ENTRY, Alarm.ENTRY_DAMAGED),
    "leaf": (
        """
        update audit_leaves set leaf_hash = set_byte(leaf_hash, 31, get_byte(leaf_hash, 31) # 128)
        where leaf_index = 299
        """,
        Alarm.LEAF_DAMAGED,
    ),
    "leaf gone": ("delete from audit_leaves where leaf_index = 0", Alarm.LEAF_DAMAGED),
    "leaves swapped": (
        """
        update audit_leaves set leaf_index = 1000 where leaf_index = 5;
        update audit_leaves set leaf_index = 5 where leaf_index = 6;
        update audit_leaves set leaf_index = 6 where leaf_index = 1000
        """,
        Alarm.TILE_DAMAGED,
    ),
    "entry and leaf rewritten": (_REWRITE_BOTH, Alarm.FORKED),
    "tile": (
        "update audit_tiles set hashes = set_byte(hashes, 4000, get_byte(hashes, 4000) # 1)",
        Alarm.TILE_DAMAGED,
    ),
    "tile gone": ("delete from audit_tiles", Alarm.TILE_DAMAGED),
    "checkpoint": (
        "update audit_checkpoints set note = replace(note, E'\\n300\\n', E'\\n299\\n')",
        Alarm.CHECKPOINT_DAMAGED,
    ),
    "checkpoint's root": (
        "update audit_checkpoints set root = sha256('')",
        Alarm.CHECKPOINT_DAMAGED,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_of_what_is_stored_stops_the_log(log, name):
    """Entries go on being recorded; none is sequenced or published any more."""
    sql, alarm = DAMAGES[name]
    async with log.sequencing() as running:
        await log.record(300)
        await log.wait_published(300)
        await log.execute(sql)
        await until(lambda: running.alarms.is_halted)
        assert frozenset({alarm}) == running.alarms.active
        before = await log.checkpoints()
        await log.record(5)
        await asyncio.sleep(0.8)
        assert 5 == await log.owner.fetchval("select count(*) from audit_pending")
        assert running.sequencer.is_leader, "so that nobody else goes on"
    assert before == await log.checkpoints()


async def test_damage_before_it_gets_an_index(log):
    await log.record(5)
    await log.execute("update audit_entries set entry = set_byte(entry, 0, 2)")
    async with log.sequencing() as running:
        await until(lambda: running.alarms.is_halted)
        assert frozenset({Alarm.ENTRY_DAMAGED}) == running.alarms.active
    assert 0 == await log.checkpoints()
    assert 5 == await log.owner.fetchval("select count(*) from audit_pending")
    assert 0 == await log.owner.fetchval("select count(*) from audit_leaves")


@pytest.mark.parametrize("name", ["entry", "leaf"])
async def test_damage_between_index_and_signature(log, name):
    """What is signed was read back and derived anew, also by the one who takes over."""
    await log.record(300)
    writer = await TreeWriter.connect(log.urls.sequencer, connect_timeout=5, statement_timeout=5)
    assert 300 == (await writer.sequence(0, 1000)).entries
    await writer.close()
    sql, alarm = DAMAGES[name]
    await log.execute(sql)
    async with log.sequencing() as running:
        await until(lambda: running.alarms.is_halted)
        assert frozenset({alarm}) == running.alarms.active
    assert 0 == await log.checkpoints()


async def test_damage_found_at_take_over(log):
    async with log.sequencing():
        await log.record(300)
    await log.execute(DAMAGES["leaf"][0])
    async with log.sequencing() as running:
        await log.record(1)
        await until(lambda: running.alarms.is_halted)
        assert Alarm.FORKED in running.alarms.active
    assert 300 == await log.published()


async def test_a_role_that_may_rewrite_the_log_is_refused(log):
    await log.execute("grant update on audit_leaves to pdvault_sequencer")
    async with log.sequencing() as running:
        await log.record(1)
        await until(lambda: running.alarms.is_halted)
        assert frozenset({Alarm.ROLE_TOO_MIGHTY}) == running.alarms.active
        await asyncio.sleep(0.5)
    assert 0 == await log.checkpoints()


# --- The witness file -----------------------------------------------------------------


async def test_a_tree_that_was_rolled_back_is_refused(log):
    async with log.sequencing() as running:
        await log.record(300)
        await log.wait_published(300)
    witness = WitnessFile(running.witness_file, signer=log.signer)
    await check_history(log.tree, witness.read())
    await log.execute("delete from audit_leaves where leaf_index >= 200")
    await log.execute("delete from audit_checkpoints")
    with pytest.raises(TreeDamageError) as caught:
        await check_history(log.tree, witness.read())
    assert (Alarm.ROLLED_BACK, 300) == (caught.value.alarm, caught.value.at)
    async with log.sequencing() as again:
        await until(lambda: again.alarms.is_halted)
        assert Alarm.ROLLED_BACK in again.alarms.active
    assert 0 == await log.checkpoints()


async def test_never_smaller_than_what_was_witnessed(log):
    """Checkpoints were lost, leaves were not: the next one goes on behind the witnessed one."""
    async with log.sequencing():
        await log.record(300)
    await log.execute("delete from audit_checkpoints")
    async with log.sequencing():
        await log.record(1)
        await log.wait_published(301)
    assert 1 == await log.checkpoints()
    assert 301 == await log.prove()


async def test_a_witness_file_that_holds_no_checkpoint(log):
    path = log.folder / "odd"
    path.write_text("no note")
    with pytest.raises(WitnessError):
        WitnessFile(path, signer=log.signer).read()


async def test_a_witness_file_does_not_shrink(log):
    path = log.folder / "kept"
    notes = [(2, await log.signer.sign(2, bytes(32))), (1, await log.signer.sign(1, bytes(32)))]
    witness = WitnessFile(path, signer=log.signer)
    assert witness.read() is None
    for size, note in notes:
        witness.write(size, note)
    assert 2 == witness.read().size


# --- Transit --------------------------------------------------------------------------


async def test_sealed_transit_delays_publication_and_nothing_else(log, instance):
    async with log.sequencing() as running:
        await log.record(10)
        await log.wait_published(10)
        await asyncio.to_thread(instance.openbao.seal)
        try:
            await log.record(2000)
            await until(lambda: running.sequencer.state.size == 2010)
            await asyncio.sleep(1.5)
            assert 10 == await log.published()
            assert running.sequencer.checkpoint_age() > 1
            assert not running.alarms.is_halted
        finally:
            await asyncio.to_thread(instance.openbao.unseal)
        await log.wait_published(2010)
        await until(lambda: running.sequencer.checkpoint_age() == 0)
    assert 2010 == await log.prove()


async def test_what_the_signing_key_must_be(log, instance):
    assert 1 == len(await log.transit.public_keys("pdv-audit-log"))
    with pytest.raises(VaultError, match="type must be ed25519"):
        await log.transit.public_keys("pdv-demo-shop")
    with pytest.raises(VaultError) as caught:
        await log.transit.sign("pdv-demo-shop", b"x")
    assert Reason.KEY_STORE_DENIED is caught.value.reason


# --- Rates ----------------------------------------------------------------------------


async def test_the_sequencer_keeps_up_with_the_recorder(log, record_property):
    """Recorder and sequencer share one event loop here, as they do in the service.

    A commit of ten entries is what the service makes of about ten calls in flight.
    """
    prepared = [Commit(entries=log.entries(10)) for _ in range(2000)]
    rates = {}
    async with log.sequencing(patrol_rate=1000) as running:
        await until(lambda: running.sequencer.is_leader)
        began = time.monotonic()
        for commit in prepared:
            await log.store.commit([commit])
        rates["recorded"] = 20_000 / (time.monotonic() - began)
        behind = 20_000 - running.sequencer.state.size
        await log.wait_published(20_000, seconds=60)
        rates["published"] = 20_000 / (time.monotonic() - began)
    await log.record(20_000)
    async with log.sequencing(patrol_rate=1000) as running:
        began = time.monotonic()
        await log.wait_published(40_000, seconds=60)
        rates["backlog"] = 20_000 / (time.monotonic() - began)
    print({name: round(rate) for name, rate in rates.items()}, "entries/s; at the end", behind)
    record_property("rates", rates)
    assert behind < 5_000
    assert 40_000 == await log.prove()


async def test_a_leaf_is_given_once(log):
    """The database itself refuses a second index and a second place."""
    async with log.sequencing():
        await log.record(2)
    for place in ("5, entry_id", "0, gen_random_uuid()"):
        sql = f"insert into audit_leaves select {place}, now(), leaf_hash from audit_leaves limit 1"  # noqa: S608
        with pytest.raises(asyncpg.UniqueViolationError):
            await log.execute(sql)
