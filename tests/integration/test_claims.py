"""Claims under live versions that differ, on a real database: all of their digests or none."""

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.support.embedded import fresh_database
from vault.audit.account import Account, EntryIds
from vault.clock import SystemClock
from vault.embedded import EmbeddedInstance
from vault.errors import OutdatedKeysError
from vault.keys.limits import MOST_USES
from vault.model import SubjectId, TenantId
from vault.rows import (
    Commit,
    DoneWrite,
    NewCase,
    NewSubject,
    NewWrite,
    TenantKeyRow,
    TokenRow,
    WrappedKeyRow,
)
from vault.store.cases import CaseStore
from vault.store.database import Database, PoolSettings
from vault.store.log import LogStore
from vault.store.migrate import migrate
from vault.store.relayer import LayerStore
from vault.store.values import ValueStore

DEMO, OTHER = TenantId("demo-shop"), TenantId("other-shop")


def settings(url: str) -> PoolSettings:
    return PoolSettings(url=url, max_connections=4, connect_timeout=5, statement_timeout=5)


class World:
    """A database whose tenants' live versions a test sets."""

    def __init__(self, database: Database, custodians: Database) -> None:
        self.database = database
        self.values = ValueStore(database)
        self.cases = CaseStore(database)
        self.log = LogStore(database)
        self.custodians = custodians
        self.layers = LayerStore(custodians)

    async def live(self, *versions: int, tenant: TenantId = DEMO) -> None:
        for version in range(1, max(versions) + 1):
            await self.layers.announce(TenantKeyRow(tenant, version, "vault:v1:", 1, bytes(32)))
        await self.layers.retire(tenant, min(versions))

    async def bind(self, digests: tuple[bytes, ...], versions: tuple[int, ...]):
        new = subject(digests, versions)
        settled = await self.values.bind_subjects([new])
        return new.key.subject_id, settled

    async def refs(self) -> dict[bytes, uuid.UUID]:
        async with self.database.connection() as connection:
            rows = await connection.fetch("select ref_digest, subject_id from subject_refs")
        return {row["ref_digest"]: row["subject_id"] for row in rows}


@pytest.fixture
async def world(instance: EmbeddedInstance) -> AsyncIterator[World]:
    with fresh_database(instance) as urls:
        await migrate(urls.owner)
        opened = [Database(settings(url)) for url in (urls.service, urls.custodian)]
        for database in opened:
            await database.open()
        yield World(*opened)
        for database in opened:
            await database.close()


def digest(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def subject(
    digests: tuple[bytes, ...], versions: tuple[int, ...], tenant: TenantId = DEMO
) -> NewSubject:
    subject_id = SubjectId(uuid.uuid4())
    key = WrappedKeyRow(subject_id, 1, tenant, "vault:v1:", 1, bytes(32), bytes(32))
    return NewSubject(digests, versions, key, uses=1024)


def write(
    keys: tuple[bytes, ...], versions: tuple[int, ...], *tokens: TokenRow, outcome: bytes = b"done"
) -> Commit:
    account = Account(
        rpc="vault.v1.TokenService/Tokenize",
        call_id=uuid.uuid4(),
        trace_id=bytes(16),
        span_id=bytes(8),
    )
    return Commit(
        entries=account.close(EntryIds(SystemClock())),
        write=NewWrite(keys, DEMO, tuple(digest("r") for _ in keys), versions, outcome),
        tokens=tokens,
    )


@pytest.mark.parametrize("winner", [0, 1])
async def test_a_claim_that_meets_a_neighbour_takes_nothing(world: World, winner: int) -> None:
    """One digest of a pair is another's: the claim leaves no trace, the other stays found."""
    await world.live(winner + 1)
    pair = (digest("a1"), digest("a2"))
    first, _ = await world.bind((pair[winner],), (winner + 1,))
    await world.live(1, 2)
    await relive(world)
    _, settled = await world.bind(pair, (1, 2))
    assert (frozenset(), frozenset()) == (settled.mine, settled.outdated)
    assert {pair[winner]: first} == await world.refs()


async def relive(world: World) -> None:
    """Version 1 is live once more, as if its process had not heard yet."""
    async with world.custodians.connection() as connection:
        await connection.execute("update tenant_keys set is_live = true")


async def test_the_others_of_a_trip_are_bound(world: World) -> None:
    await world.live(1)
    first, _ = await world.bind((digest("a1"),), (1,))
    await world.live(1, 2)
    new = subject((digest("b1"), digest("b2")), (1, 2))
    torn = subject((digest("a1"), digest("a2")), (1, 2))
    settled = await world.values.bind_subjects([torn, new])
    assert {((digest("b1"), digest("b2")), DEMO)} == settled.mine
    handle = new.key.subject_id
    assert {digest("a1"): first, digest("b1"): handle, digest("b2"): handle} == await world.refs()


async def test_a_tenant_whose_live_versions_changed_is_told_and_others_are_bound(
    world: World,
) -> None:
    await world.live(1, 2)
    await world.live(1, tenant=OTHER)
    late = subject((digest("a1"),), (1,))
    good = subject((digest("b1"),), (1,), OTHER)
    settled = await world.values.bind_subjects([late, good])
    assert ({((digest("b1"),), OTHER)}, {DEMO}) == (settled.mine, settled.outdated)
    assert [digest("b1")] == list(await world.refs())
    settled = await world.cases.claim_cases([NewCase((digest("c1"),), DEMO, (1,), uuid.uuid4())])
    assert (frozenset(), {DEMO}) == (settled.mine, settled.outdated)


async def test_two_with_neighbouring_versions_bind_one_handle(world: World) -> None:
    """Many at once, some of whom know of the new version: each reference gets one handle."""
    await world.live(1, 2)
    await world.live(1, 2, tenant=OTHER)
    news = [
        subject((digest(f"{n}.1"), digest(f"{n}.2")), (1, 2)) for n in range(40) for _ in range(2)
    ]
    await asyncio.gather(*(world.values.bind_subjects(news[at::8]) for at in range(8)))
    refs = await world.refs()
    assert 80 == len(refs)
    assert all(refs[digest(f"{n}.1")] == refs[digest(f"{n}.2")] for n in range(40))
    assert 40 == len(set(refs.values()))


async def test_a_write_under_versions_of_before_is_not_stored(world: World) -> None:
    await world.live(1, 2)
    both, old = (digest("k1"), digest("k2")), (digest("o1"),)
    done = await world.log.commit([write(old, (1,)), write(both, (1, 2))])
    assert isinstance(done[0], OutdatedKeysError)
    assert done[1] is None
    assert {(digest("k1"), DEMO), (digest("k2"), DEMO)} == (
        await world.values.find_writes([*both, *old])
    ).keys()


async def test_a_write_that_another_did_under_one_of_its_digests_is_told(world: World) -> None:
    await world.live(1)
    await world.log.commit([write((digest("k1"),), (1,), outcome=b"first")])
    await world.live(1, 2)
    done = await world.log.commit([write((digest("k1"), digest("k2")), (1, 2), outcome=b"second")])
    assert [DoneWrite(digest("r"), b"first")] == done
    assert [digest("k1")] == [
        name for name, _ in await world.values.find_writes([digest("k1"), digest("k2")])
    ]


@pytest.mark.parametrize("change", ["replaced", "erased"])
async def test_a_value_sealed_under_a_key_of_before_is_not_stored(
    world: World, change: str
) -> None:
    """Of a trip only that call is turned away."""
    await world.live(1)
    new, other = (subject((digest(name),), (1,)) for name in ("a", "b"))
    await world.values.bind_subjects([new, other])
    async with world.custodians.connection() as connection:
        if change == "erased":
            await connection.execute(
                "delete from subject_keys where subject_id = $1", new.key.subject_id
            )
        else:
            await connection.execute(
                "insert into subject_keys (subject_id, key_version, tenant, wrapped, root_version,"
                " key_salt, commitment) select subject_id, 2, tenant, wrapped, 1, key_salt,"
                " commitment from subject_keys where subject_id = $1",
                new.key.subject_id,
            )
    tokens = [
        TokenRow(name, DEMO, each.key.subject_id, "phone", 1, b"sealed")
        for name, each in (("stale", new), ("good", other))
    ]
    done = await world.log.commit(
        [write((digest("k"),), (1,), tokens[0]), write((digest("l"),), (1,), tokens[1])]
    )
    assert isinstance(done[0], OutdatedKeysError)
    assert done[1] is None
    assert {"good"} == (await world.values.load_tokens(["stale", "good"])).keys()
    again = dataclasses.replace(tokens[0], key_version=2)
    if change == "replaced":
        assert [None] == await world.log.commit([write((digest("k"),), (1,), again)])


async def test_keys_are_charged_up_to_the_limit(world: World) -> None:
    """What is gone is in neither answer; what would go beyond the limit is not charged."""
    await world.live(1)
    new = subject((digest("a"),), (1,))
    await world.values.bind_subjects([new])
    key, gone = (new.key.subject_id, 1), (SubjectId(uuid.uuid4()), 1)
    assert ({key: 3072}, set()) == await world.values.reserve_uses([(*key, 2048), (*gone, 1024)])
    async with world.database.connection() as connection:
        await connection.execute(
            "update subject_keys set uses = $2 where subject_id = $1", key[0], MOST_USES - 1024
        )
    assert ({}, {key}) == await world.values.reserve_uses([(*key, 1025), (*gone, 1024)])
    assert ({key: MOST_USES}, set()) == await world.values.reserve_uses([(*key, 1024)])
