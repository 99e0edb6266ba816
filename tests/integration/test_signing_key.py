"""The log's signing key on a real OpenBao: rotated, half rotated, removed, unfit."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.audit_log import AuditLog, audit_log, until
from tests.support.embedded import fresh_database
from tests.support.openbao import OpenBao, running_openbao
from tests.support.witness import Witness
from vault.audit import sequencer
from vault.audit.alarms import Alarm
from vault.audit.checkpoint import Checkpoint, open_checkpoint
from vault.audit.merkle import build_proof, consistency_plan, plan_nodes
from vault.audit.note import SignatureError, VerifierKey, parse_note
from vault.audit.signer import CheckpointSigner
from vault.audit.succession import follow
from vault.audit.witness import WitnessError
from vault.audit.witness_client import WitnessAddress, WitnessClient
from vault.clock import SystemClock
from vault.crypto.transit import TokenFile, TransitSettings
from vault.crypto.transit_admin import TransitAdmin
from vault.embedded import EmbeddedInstance
from vault.embedded.config_file import ORIGIN
from vault.errors import Reason, VaultError
from vault.service.signing_key import rotate_signing_key
from vault.service.tree import TreeHashes
from vault.store.database import Database, PoolSettings
from vault.store.migrate import migrate
from vault.store.proofs import ProofReader
from vault.store.successions import SuccessionStore

KEY = "pdv-audit-log"
PATH = f"transit/keys/{KEY}"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[OpenBao]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        yield bao


@pytest.fixture
def bao(server: OpenBao) -> OpenBao:
    """With a signing key that has one version."""
    make_key(server)
    return server


def make_key(bao: OpenBao, **settings: object) -> None:
    if KEY in set(bao.keys()):
        remove_key(bao)
    bao.call("POST", PATH, {"type": "ed25519"} | settings)


def remove_key(bao: OpenBao) -> None:
    bao.call("POST", f"{PATH}/config", {"deletion_allowed": True})
    bao.call("DELETE", PATH)


@pytest_asyncio.fixture(scope="module")
async def template(instance: EmbeddedInstance) -> AsyncIterator[str]:
    with fresh_database(instance) as urls:
        await migrate(urls.owner)
        yield urls.name


@pytest_asyncio.fixture
async def log(
    instance: EmbeddedInstance, template: str, bao: OpenBao, tmp_path
) -> AsyncIterator[AuditLog]:
    (tmp_path / "token").write_text(bao.token())
    store = TransitSettings(bao.address, TokenFile(tmp_path / "token"), probe_seconds=0.2)
    with fresh_database(instance, template=template) as urls:
        async with audit_log(instance, urls, tmp_path, key_store=store) as made:
            yield made


@pytest_asyncio.fixture
async def admin(bao: OpenBao, tmp_path) -> AsyncIterator[TransitAdmin]:
    (tmp_path / "custodian").write_text(bao.token(policies=("custodian",)))
    admin = TransitAdmin(TransitSettings(bao.address, TokenFile(tmp_path / "custodian")))
    await admin.open(["demo-shop"])
    yield admin
    await admin.close()


@pytest_asyncio.fixture
async def reader(log: AuditLog) -> AsyncIterator[ProofReader]:
    """What answers of the service are read with."""
    database = Database(
        PoolSettings(
            url=log.urls.audit_reader, max_connections=2, connect_timeout=5, statement_timeout=10
        )
    )
    await database.open()
    yield ProofReader(database)
    await database.close()


async def another_process(log: AuditLog) -> CheckpointSigner:
    """Its signer: it may store nothing."""
    database = log.tree._database
    signer = CheckpointSigner(
        origin=ORIGIN,
        key=KEY,
        keys=log.transit,
        chain=SuccessionStore(database, None),
        clock=SystemClock(),
    )
    await signer.open()
    return signer


def versions_of(note: str, keys: dict[int, VerifierKey]) -> set[int]:
    ids = {line.key_id for line in parse_note(note.encode()).signatures}
    return {version for version, key in keys.items() if key.id in ids}


async def keys_of(log: AuditLog) -> dict[int, VerifierKey]:
    await log.signer.open()
    return dict(enumerate(reversed(log.signer.verifier_keys), 1))


def opened(note: str, *keys: VerifierKey) -> Checkpoint:
    return open_checkpoint(note.encode(), keys, origin=ORIGIN).checkpoint


async def publish(log: AuditLog, size: int) -> None:
    await log.record(size - await log.published())
    await log.wait_published(size)


async def test_a_rotation_under_way_loses_no_checkpoint_and_nobody(log, admin, reader):
    other = await another_process(log)
    async with log.sequencing() as running:
        await publish(log, 3)
        assert 2 == await rotate_signing_key(KEY, admin=admin, signer=log.signer)
        await publish(log, 6)
        assert 3 == await rotate_signing_key(KEY, admin=admin, signer=log.signer)
        await publish(log, 9)
        assert frozenset() == running.alarms.active
    keys = await keys_of(log)
    first, newest = [await reader.covering_checkpoint(size) for size in (1, 9)]
    assert ({1}, {1, 2, 3}) == (versions_of(first.note, keys), versions_of(newest.note, keys))
    assert 9 == await log.prove(), "every checkpoint verifies, old and new"

    assert [keys[1], keys[2], keys[3]] == follow([keys[1]], newest.successions)
    assert newest.successions == (await reader.newest_checkpoint()).successions
    assert 9 == opened(newest.note, keys[1]).size, "a witness follows no chain"
    assert 9 == opened(newest.note, *follow([keys[1]], newest.successions)).size
    # A process that knew the first key only, and may not store anything.
    assert 9 == (await other.verify(newest.note.encode())).size
    assert (keys[1], keys[3]) == (other.key_of(first), other.key_of(newest))


async def test_a_rotation_that_was_cut_off_is_completed_by_who_signs_next(log, bao, reader):
    async with log.sequencing():
        await publish(log, 3)
        bao.call("POST", f"{PATH}/rotate", {})  # and whoever did it is gone
        await publish(log, 6)
    keys = await keys_of(log)
    row = await reader.newest_checkpoint()
    assert 2 in versions_of(row.note, keys)
    assert [keys[1], keys[2]] == follow([keys[1]], row.successions)


async def test_a_rotation_that_was_cut_off_is_completed_at_the_next_start(log, bao, reader):
    async with log.sequencing():
        await publish(log, 3)
    bao.call("POST", f"{PATH}/rotate", {})
    bao.call("POST", f"{PATH}/rotate", {})
    await log.signer.open()
    async with log.sequencing():
        await publish(log, 6)
    keys = await keys_of(log)
    row = await reader.newest_checkpoint()
    assert [keys[1], keys[3]] == follow([keys[1]], row.successions)


async def test_without_a_stored_succession_the_new_key_publishes_nothing(log, bao, reader):
    """Neither order of failing leaves a gap: while the chain can't be stored, nothing is signed."""
    async with log.sequencing():
        await publish(log, 3)
        await log.execute("revoke insert on audit_key_successions from pdvault_sequencer")
        bao.call("POST", f"{PATH}/rotate", {})
        await log.record(3)
        await asyncio.sleep(2)
        assert 3 == await log.published()
        await log.execute("grant insert on audit_key_successions to pdvault_sequencer")
        await log.wait_published(6)
    keys = await keys_of(log)
    assert [keys[1], keys[2]] == follow([keys[1]], (await reader.newest_checkpoint()).successions)


async def test_a_witness_that_knows_the_old_key_only_has_a_month(log, admin):
    """It follows no chain. Once the old key signs no more, it refuses until it is told."""

    async def prove(first: int, second: int) -> list[bytes]:
        plan = consistency_plan(first, second)
        tree = TreeHashes(ProofReader(log.tree._database))
        return build_proof(plan, await tree.source(plan_nodes(plan), second))

    first = str((await keys_of(log))[1])
    with Witness("witness.example/w", 50, {ORIGIN: [first]}) as witness:
        client = WitnessClient(WitnessAddress(witness.url, witness.key))

        async def cosign() -> None:
            row = await log.tree.newest_checkpoint()
            await client.cosign(parse_note(row.note.encode()), row.size, prove)

        async with log.sequencing():
            await publish(log, 3)
            await cosign()
            await rotate_signing_key(KEY, admin=admin, signer=log.signer)
            await publish(log, 6)
            await cosign()
            await admin.raise_min_decryption(KEY, 2)
            await admin.trim(KEY, 2)
            await publish(log, 9)
            with pytest.raises(WitnessError):
                await cosign()
        assert 6 == witness.size(ORIGIN)
        client.close()


@pytest.mark.parametrize(
    "damage",
    [
        "update audit_key_successions set note = overlay(note placing 'A' from length(note) - 20)",
        "delete from audit_key_successions where version = 3",
        "update audit_key_successions set version = version + 10 where version = 4",
    ],
    ids=["forged", "cut", "renumbered"],
)
async def test_a_damaged_chain_is_an_alarm(log, admin, damage):
    async with log.sequencing():
        await publish(log, 1)
        for _ in range(3):
            await rotate_signing_key(KEY, admin=admin, signer=log.signer)
        await publish(log, 2)
    await log.execute(damage)
    async with log.sequencing() as running:
        await until(lambda: Alarm.CHECKPOINT_DAMAGED in running.alarms.active)
        assert running.alarms.is_halted


async def test_a_retired_version_signs_nothing_more_and_holds_nothing_up(log, admin, reader):
    """Trimming the signing key ends the month in which the version before signs as well."""
    async with log.sequencing() as running:
        await publish(log, 3)
        await rotate_signing_key(KEY, admin=admin, signer=log.signer)
        keys = await keys_of(log)
        await admin.raise_min_decryption(KEY, 2)
        await admin.trim(KEY, 2)
        await publish(log, 6)
        assert frozenset() == running.alarms.active
    row = await reader.newest_checkpoint()
    assert {2} == versions_of(row.note, keys)
    with pytest.raises(SignatureError):
        opened(row.note, keys[1])
    assert 6 == opened(row.note, *follow([keys[1]], row.successions)).size


async def test_a_key_that_was_removed_signs_nothing(log, bao, monkeypatch):
    """No unsigned checkpoint, an alarm; what was signed still verifies; entries still come in."""
    monkeypatch.setattr(sequencer, "_ALARM_S", 1.0)
    async with log.sequencing() as running:
        await publish(log, 3)
        keys = await keys_of(log)
        remove_key(bao)
        await log.record(3)
        await until(lambda: Alarm.UNSIGNED in running.alarms.active)
        assert not running.alarms.is_halted
        assert 3 == await log.published()
        assert 3 == opened((await log.tree.newest_checkpoint()).note, keys[1]).size
        assert log.transit.state is None, "nothing else is held up"

        make_key(bao)  # of the same name, and another key
        await asyncio.sleep(2)
        assert 3 == await log.published()
        assert Alarm.UNSIGNED in running.alarms.active
    # Whoever starts now doesn't know who signed.
    await log.signer.open()
    async with log.sequencing(witness="none") as running:
        await until(lambda: Alarm.CHECKPOINT_DAMAGED in running.alarms.active)
    assert 3 == await log.published()


@pytest.mark.parametrize(
    "settings",
    [{"exportable": True}, {"type": "ecdsa-p256"}, {"allow_plaintext_backup": True}],
    ids=["exportable", "another type", "backup in clear"],
)
async def test_an_unfit_key_refuses_the_start(log, bao, settings):
    make_key(bao, **settings)
    with pytest.raises(VaultError) as caught:
        await log.signer.open()
    assert Reason.KEY_STORE_FAULT is caught.value.reason
