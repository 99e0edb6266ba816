"""The keyring's three bounds, and what may not come back."""

import asyncio
import pickle
import uuid

import pytest

from tests.support.frozen_clock import FrozenClock
from vault.crypto.aead import SubjectKey
from vault.crypto.keyring import Keyring
from vault.model import SubjectId

ANN, BOB, CAT = (SubjectId(uuid.UUID(int=number)) for number in (1, 2, 3))
KEY = SubjectKey(bytes(32), bytes(32))


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def keyring(clock):
    return Keyring(max_entries=2, max_age_seconds=60, max_uses=3, clock=clock)


def put(keyring, subject_id, key_version=1):
    keyring.put(subject_id, key_version, KEY, generation=keyring.generation)


def test_entries_are_bounded_and_the_least_recently_used_goes(keyring):
    put(keyring, ANN)
    put(keyring, BOB)
    keyring.get(ANN, 1)
    put(keyring, CAT)
    assert keyring.get(BOB, 1) is None
    assert keyring.get(ANN, 1) is KEY
    assert keyring.counts().evictions == {"entries": 1}
    assert keyring.counts().entries == 2


def test_age_is_bounded_and_use_does_not_prolong_it(keyring, clock):
    put(keyring, ANN)
    clock.advance(59)
    assert keyring.get(ANN, 1) is KEY
    clock.advance(1)
    assert keyring.get(ANN, 1) is None
    assert keyring.counts().evictions == {"age": 1}


def test_idle_keys_expire_too(keyring, clock):
    put(keyring, ANN)
    clock.advance(30)
    put(keyring, BOB)
    clock.advance(30)
    keyring.expire()
    assert keyring.counts().entries == 1
    assert keyring.get(BOB, 1) is KEY


def test_uses_are_bounded(keyring):
    put(keyring, ANN)
    assert [keyring.get(ANN, 1) for _ in range(4)] == [KEY, KEY, KEY, None]
    counts = keyring.counts()
    assert (counts.hits, counts.misses, counts.evictions) == (3, 1, {"uses": 1})


def test_drop_forgets_every_version_of_one_subject(keyring):
    put(keyring, ANN, 1)
    put(keyring, ANN, 2)
    keyring.drop(ANN)
    put(keyring, BOB)
    assert [keyring.get(ANN, 1), keyring.get(ANN, 2), keyring.get(BOB, 1)] == [None, None, KEY]
    assert keyring.counts().evictions == {"dropped": 2}


def test_clear_forgets_everything(keyring):
    put(keyring, ANN)
    keyring.clear()
    assert keyring.get(ANN, 1) is None
    assert keyring.counts().evictions == {"cleared": 1}


def test_a_key_put_again_starts_anew(keyring):
    put(keyring, ANN)
    keyring.get(ANN, 1)
    put(keyring, ANN)
    assert [keyring.get(ANN, 1) for _ in range(4)] == [KEY, KEY, KEY, None]


@pytest.mark.parametrize("forget", [lambda ring: ring.drop(ANN), lambda ring: ring.clear()])
def test_a_key_that_was_being_opened_when_it_was_forgotten_does_not_come_back(keyring, forget):
    generation = keyring.generation
    forget(keyring)
    keyring.put(ANN, 1, KEY, generation=generation)
    assert keyring.get(ANN, 1) is None


async def test_concurrent_misses_open_once(keyring):
    opened = 0

    async def open_key():
        nonlocal opened
        opened += 1
        await asyncio.sleep(0.01)
        return KEY

    calls = [keyring.obtain(ANN, 1, open_key, generation=0) for _ in range(50)]
    assert await asyncio.gather(*calls) == [KEY] * 50
    assert await keyring.obtain(ANN, 1, open_key, generation=0) is KEY
    assert opened == 1


async def test_a_cancelled_waiter_does_not_disturb_the_others(keyring):
    release = asyncio.Event()

    async def open_key():
        await release.wait()
        return KEY

    first, second = (
        asyncio.create_task(keyring.obtain(ANN, 1, open_key, generation=0)) for _ in range(2)
    )
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    release.set()
    assert await second is KEY


async def test_a_failed_opening_is_everybodys_and_is_not_kept(keyring):
    async def fail():
        await asyncio.sleep(0)
        raise OSError

    calls = [keyring.obtain(ANN, 1, fail, generation=0) for _ in range(3)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [OSError] * 3 == [type(result) for result in results]

    async def open_key():
        return KEY

    assert await keyring.obtain(ANN, 1, open_key, generation=0) is KEY


async def test_after_a_drop_nobody_joins_an_older_opening(keyring):
    release = asyncio.Event()
    stale, fresh = SubjectKey(bytes(32), bytes(32)), SubjectKey(bytes(32), bytes(32))

    async def open_stale():
        await release.wait()
        return stale

    async def open_fresh():
        return fresh

    before = asyncio.create_task(keyring.obtain(ANN, 1, open_stale, generation=0))
    await asyncio.sleep(0)
    keyring.drop(ANN)
    generation = keyring.generation
    assert await keyring.obtain(ANN, 1, open_fresh, generation=generation) is fresh
    release.set()
    assert await before is stale
    assert keyring.get(ANN, 1) is fresh


@pytest.mark.parametrize("bound", ["max_entries", "max_age_seconds", "max_uses"])
def test_every_bound_is_above_zero(bound, clock):
    bounds = {"max_entries": 1, "max_age_seconds": 1, "max_uses": 1} | {bound: 0}
    with pytest.raises(ValueError):
        Keyring(**bounds, clock=clock)


def test_a_keyring_shows_nothing_and_is_not_pickled(keyring):
    put(keyring, ANN)
    assert repr(keyring) == "Keyring(entries=1)"
    with pytest.raises(TypeError):
        pickle.dumps(keyring)
