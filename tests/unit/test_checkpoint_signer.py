"""The signer of checkpoints, over keys in memory: rotation, succession, lies, words of alarms."""

import datetime as dt
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.frozen_clock import FrozenClock
from vault.audit.alarms import PASSING, Alarm, Alarms
from vault.audit.checkpoint import open_checkpoint
from vault.audit.note import KeyType, NoteError, VerifierKey, parse_note
from vault.audit.signer import OVERLAP, CheckpointSigner
from vault.audit.succession import follow
from vault.errors import Reason, VaultError
from vault.rows import CheckpointRow, SuccessionRow
from vault.service.signing_key import SigningKey, rotate_signing_key
from vault.telemetry import names

ROOT = bytes(range(32))
ORIGIN = "log.example/a"


@dataclass
class Signed:
    key_version: int
    signature: bytes


class Keys:
    """Signing keys as Transit keeps them; `rotate` adds a version.

    Attributes:
        least: the oldest version that may sign.
        down: if set, the reason why nothing is signed.
    """

    def __init__(self):
        self.versions = {}
        self.is_lying = False
        self.least = 0
        self.down = None
        self.add()

    def add(self):
        self.versions[len(self.versions) + 1] = Ed25519PrivateKey.generate()

    async def rotate(self, name):
        self.add()
        return await self.read_key(name)

    async def read_key(self, _name):
        return SimpleNamespace(latest=max(self.versions))

    async def sign(self, _key, data, *, version=None):
        if self.down is not None:
            raise VaultError(self.down, "down")
        version = version or max(self.versions)
        if version < self.least:
            raise VaultError(Reason.KEY_STORE_FAULT, "may not sign")
        signature = self.versions[version].sign(data + b"x" if self.is_lying else data)
        return Signed(version, signature)

    async def public_keys(self, _key):
        return {
            version: private.public_key().public_bytes_raw()
            for version, private in self.versions.items()
        }

    def key(self, version, origin=ORIGIN):
        public = self.versions[version].public_key().public_bytes_raw()
        return VerifierKey(origin, KeyType.ED25519, public)


class Chain:
    """Successions as the database keeps them.

    Attributes:
        newest: the newest checkpoint's note.
        down: whether nothing can be stored.
    """

    def __init__(self, clock=None):
        self.rows = []
        self.newest = None
        self.down = False
        self.clock = clock or FrozenClock()

    async def read(self, _origin):
        return list(self.rows), self.newest

    async def add(self, _origin, version, predecessor, note):
        if self.down:
            raise VaultError(Reason.DATABASE_UNAVAILABLE, "down")
        if all(predecessor != row.predecessor for row in self.rows):
            now = dt.datetime.fromtimestamp(self.clock.seconds, dt.UTC)
            self.rows.append(SuccessionRow(version, predecessor, note, now))

    @property
    def notes(self):
        return [row.note for row in self.rows]


async def opened(keys, origin=ORIGIN, *, chain=None):
    chain = chain or Chain()
    signer = CheckpointSigner(origin=origin, key="k", keys=keys, chain=chain, clock=chain.clock)
    await signer.open()
    return signer


def signers_of(note, keys):
    """The versions whose signature a note has."""
    ids = {line.key_id for line in parse_note(note.encode()).signatures}
    return {version for version in keys.versions if keys.key(version).id in ids}


async def refusal(call):
    with pytest.raises(VaultError) as caught:
        await call
    return caught.value.reason


async def test_what_it_signs_it_knows_again():
    signer = await opened(Keys())
    checkpoint = signer.check((await signer.sign(7, ROOT)).encode())
    assert ("log.example/a", 7, ROOT) == (checkpoint.origin, checkpoint.size, checkpoint.root)


async def test_a_wrong_signature_never_leaves():
    keys = Keys()
    signer = await opened(keys)
    keys.is_lying = True
    with pytest.raises(VaultError) as caught:
        await signer.sign(7, ROOT)
    assert Reason.KEY_STORE_FAULT is caught.value.reason


async def test_a_rotated_key_is_learnt_by_who_signs_and_by_who_reads():
    keys, chain = Keys(), Chain()
    first, second = [await opened(keys, chain=chain) for _ in range(2)]
    old = (await first.sign(7, ROOT)).encode()
    keys.add()
    await first.sign(8, ROOT)
    chain.clock.advance(OVERLAP.total_seconds() + 1)
    new = (await first.sign(9, ROOT)).encode()
    with pytest.raises(NoteError):
        second.check(new)
    assert 9 == (await second.verify(new)).size
    assert 7 == second.check(old).size, "what the old key signed stays good"
    assert 2 == len(second.verifier_keys)


async def test_the_old_key_vouches_before_the_new_one_signs():
    """A rotation that nobody completed: whoever signs next does."""
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    await signer.sign(7, ROOT)
    keys.add()
    chain.down = True
    assert Reason.DATABASE_UNAVAILABLE is await refusal(signer.sign(8, ROOT))
    chain.down = False
    note = await signer.sign(8, ROOT)
    trusted = follow([keys.key(1)], chain.notes)
    assert [keys.key(1), keys.key(2)] == trusted
    assert 8 == open_checkpoint(note.encode(), trusted[1:]).checkpoint.size


async def test_a_rotation_is_complete_when_it_returns():
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    key = SigningKey("k", admin=keys, signer=signer)
    assert 1 == await key.version()
    assert [2, 3] == [await key.rotate() for _ in range(2)]
    assert [(2, 1), (3, 2)] == [(row.version, row.predecessor) for row in chain.rows]
    assert keys.key(3) in follow([keys.key(1)], chain.notes)


async def test_a_rotation_begins_with_what_a_crash_left():
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    keys.add()  # and no succession
    assert 3 == await rotate_signing_key("k", admin=keys, signer=signer)
    assert [2, 3] == [row.version for row in chain.rows]


async def test_versions_that_never_signed_are_passed_over():
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    await signer.sign(7, ROOT)
    keys.add()
    keys.add()
    await signer.sign(8, ROOT)
    assert [(3, 1)] == [(row.version, row.predecessor) for row in chain.rows]


async def test_of_two_that_complete_the_chain_one_does():
    """The second reads before the first has stored, and comes too late."""
    keys, chain = Keys(), Chain()
    first, second = [await opened(keys, chain=chain) for _ in range(2)]
    keys.add()
    read, is_first = chain.read, True

    async def read_too_early(origin):
        nonlocal is_first
        if not is_first:
            return await read(origin)
        is_first = False
        await first.complete_chain()
        return [], None

    chain.read = read_too_early
    assert {1, 2} == signers_of(await second.sign(8, ROOT), keys)
    assert [2] == [row.version for row in chain.rows]


async def test_for_a_month_the_old_key_signs_as_well():
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    assert {1} == signers_of(await signer.sign(7, ROOT), keys)
    await rotate_signing_key("k", admin=keys, signer=signer)
    note = await signer.sign(8, ROOT)
    assert {1, 2} == signers_of(note, keys)
    assert 8 == open_checkpoint(note.encode(), [keys.key(1)]).checkpoint.size
    chain.clock.advance(OVERLAP.total_seconds() + 1)
    assert {2} == signers_of(await signer.sign(9, ROOT), keys)


async def test_after_two_rotations_in_a_month_all_three_sign():
    """A witness has its month, whatever happens within it."""
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    half = OVERLAP.total_seconds() / 2 + 1
    for _ in range(2):
        await rotate_signing_key("k", admin=keys, signer=signer)
        chain.clock.advance(half)
    assert {2, 3} == signers_of(await signer.sign(8, ROOT), keys)
    chain.clock.advance(-half)
    assert {1, 2, 3} == signers_of(await signer.sign(9, ROOT), keys)


async def test_an_old_key_that_may_not_sign_any_more_holds_nothing_up():
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    await rotate_signing_key("k", admin=keys, signer=signer)
    keys.least = 2
    assert {2} == signers_of(await signer.sign(8, ROOT), keys)


async def test_a_key_that_nobody_vouched_for_signs_nothing():
    """The old version may not sign any more before it vouched: no checkpoint, but no gap."""
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    chain.newest = await signer.sign(7, ROOT)
    keys.add()
    keys.least = 2
    assert Reason.KEY_STORE_FAULT is await refusal(signer.sign(8, ROOT))
    del keys.versions[1]
    assert Reason.KEY_STORE_FAULT is await refusal((await opened(keys, chain=chain)).sign(8, ROOT))
    assert [] == chain.rows


async def test_a_log_that_was_rotated_before_there_were_successions_begins_where_it_is():
    keys, chain = Keys(), Chain()
    keys.add()
    signer = await opened(keys, chain=chain)
    chain.newest = await signer.sign(7, ROOT)
    chain.rows.clear()
    keys.least = 2
    assert {2} == signers_of(await (await opened(keys, chain=chain)).sign(8, ROOT), keys)
    assert [] == chain.rows


async def test_a_key_store_that_went_back_signs_nothing():
    """Restored from an older state: its newest version is not the one that the log has reached."""
    keys, chain = Keys(), Chain()
    await rotate_signing_key("k", admin=keys, signer=await opened(keys, chain=chain))
    del keys.versions[2]
    signer = await opened(keys, chain=chain)
    assert Reason.KEY_STORE_FAULT is await refusal(signer.sign(8, ROOT))
    keys.add()  # another version 2
    assert Reason.KEY_STORE_FAULT is await refusal(signer.sign(8, ROOT))
    with pytest.raises(NoteError):
        await signer.check_chain()


@pytest.mark.parametrize("damage", ["forged", "cut", "reordered"])
async def test_a_damaged_chain_is_found_and_nothing_is_signed(damage):
    keys, chain = Keys(), Chain()
    signer = await opened(keys, chain=chain)
    for _ in range(3):
        await rotate_signing_key("k", admin=keys, signer=signer)
    first, second, third = chain.rows
    chain.rows = {
        "forged": [first, replace(second, note=third.note), third],
        "cut": [first, third],
        "reordered": [second, first, third],
    }[damage]
    with pytest.raises(NoteError):
        await signer.check_chain()
    fresh = await opened(keys, chain=chain)
    assert Reason.KEY_STORE_FAULT is await refusal(fresh.sign(8, ROOT))


async def test_no_signature_while_the_key_store_is_away():
    keys = Keys()
    signer = await opened(keys)
    keys.down = Reason.KEY_STORE_SEALED
    assert Reason.KEY_STORE_SEALED is await refusal(signer.sign(7, ROOT))


async def test_the_key_of_a_stored_checkpoint_is_named():
    keys, chain = Keys(), Chain()
    reader = await opened(keys, chain=chain)
    signer = await opened(keys, chain=chain)
    old = await signer.sign(7, ROOT)
    await rotate_signing_key("k", admin=keys, signer=signer)
    new = await signer.sign(8, ROOT)
    now = dt.datetime.now(dt.UTC)
    for note, version in ((old, 1), (new, 2)):
        row = CheckpointRow(7, ROOT, note, now, chain.notes)
        assert keys.key(version) == reader.key_of(row)


async def test_another_log_and_another_key_are_refused():
    keys = Keys()
    signer = await opened(keys)
    for foreign in (await opened(Keys()), await opened(keys, "log.example/b")):
        with pytest.raises(NoteError):
            await signer.verify((await foreign.sign(7, ROOT)).encode())


def test_alarms_and_their_words():
    assert names.LOG_ALARMS == {alarm.value for alarm in Alarm}
    alarms = Alarms()
    for alarm in PASSING:
        alarms.sound(alarm)
        assert not alarms.is_halted
        alarms.settle(alarm)
    assert frozenset() == alarms.active
    alarms.sound(Alarm.FORKED, at=3)
    alarms.settle(Alarm.FORKED)
    assert alarms.is_halted
