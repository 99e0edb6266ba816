"""The signer of checkpoints, over keys in memory: rotation, wrong signatures, words of alarms."""

from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.audit.alarms import PASSING, Alarm, Alarms
from vault.audit.note import NoteError
from vault.audit.signer import CheckpointSigner
from vault.errors import Reason, VaultError
from vault.telemetry import names

ROOT = bytes(range(32))


@dataclass
class Signed:
    key_version: int
    signature: bytes


class Keys:
    """Signing keys as Transit keeps them; `rotate` adds a version."""

    def __init__(self):
        self.versions = {}
        self.is_lying = False
        self.rotate()

    def rotate(self):
        self.versions[len(self.versions) + 1] = Ed25519PrivateKey.generate()

    async def sign(self, _key, data):
        newest = max(self.versions)
        signature = self.versions[newest].sign(data + b"x" if self.is_lying else data)
        return Signed(newest, signature)

    async def public_keys(self, _key):
        return {
            version: private.public_key().public_bytes_raw()
            for version, private in self.versions.items()
        }


async def opened(keys, origin="log.example/a"):
    signer = CheckpointSigner(origin=origin, key="k", keys=keys)
    await signer.open()
    return signer


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
    keys = Keys()
    first, second = await opened(keys), await opened(keys)
    old = (await first.sign(7, ROOT)).encode()
    keys.rotate()
    new = (await first.sign(8, ROOT)).encode()
    with pytest.raises(NoteError):
        second.check(new)
    assert 8 == (await second.verify(new)).size
    assert 7 == second.check(old).size, "what the old key signed stays good"
    assert 2 == len(second.verifier_keys)


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
