"""The keyring's three bounds, and what may not come back."""

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


def test_the_oldest_expires_even_if_used_last(keyring, clock):
    put(keyring, ANN)
    clock.advance(30)
    put(keyring, BOB)
    assert keyring.get(ANN, 1) is KEY
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
