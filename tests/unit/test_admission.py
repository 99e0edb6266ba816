"""Admission: what is at work is bounded, shared among callers, and fits in the time there is."""

import pytest

from tests.support.frozen_clock import FrozenClock
from vault.errors import Reason, VaultError
from vault.model import Authentication, Principal, TenantId
from vault.rpc.admission import Admission, Admitted

PLACES = 1024
BATCH = 50_000
"""Bytes of a request of a thousand tokens."""


def _caller(name: str) -> Principal:
    return Principal(f"spiffe://example/{name}", Authentication.MTLS, TenantId("shop"), ())


GREEDY, SMALL = _caller("greedy"), _caller("small")


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def admission(clock):
    return Admission(PLACES, clock)


def fill(
    admission: Admission, caller: Principal, size: int = 10, seconds: float | None = None
) -> list[Admitted]:
    """Enters until it is refused."""
    inside: list[Admitted] = []
    refused = None
    while refused is None and len(inside) < 2 * PLACES:
        try:
            inside.append(admission.enter(caller, size, seconds))
        except VaultError as error:
            refused = error
    assert refused is not None, "nothing is bounded"
    assert Reason.OVERLOADED is refused.reason
    assert refused.retry_after_ms
    return inside


def test_one_caller_gets_half(admission):
    assert PLACES // 2 == len(fill(admission, GREEDY))


@pytest.mark.parametrize("size", [10, BATCH, 2_000_000])
def test_greedy_callers_leave_a_quarter(admission, size):
    """However large their calls and however many they are, until four hold a quarter each."""
    fill(admission, GREEDY, size)
    assert PLACES // 4 <= len(fill(admission, SMALL))


def test_a_small_caller_is_served_beside_a_greedy_one(admission):
    """Of a thousand small calls, eight at a time, none is refused, whatever the other tries."""
    batches = fill(admission, GREEDY, BATCH)
    at_work = []
    for _ in range(1000):
        at_work.append(admission.enter(SMALL, 10, 1.0))
        if len(at_work) == 8:
            admission.leave(at_work.pop(0), has_answer=True)
        admission.leave(batches.pop(0), has_answer=True)
        batches += fill(admission, GREEDY, BATCH)


def test_a_batch_counts_by_its_size(admission):
    assert [1, 1, 2, 49, PLACES // 4] == [
        admission.enter(_caller(str(size)), size, None).places
        for size in (0, 1023, 1024, BATCH, 2_000_000)
    ]


def test_what_was_taken_is_given_back(admission):
    for _ in range(3):
        inside = [each for name in "abcd" for each in fill(admission, _caller(name), BATCH)]
        assert PLACES <= sum(each.places for each in inside)
        for each in inside:
            admission.leave(each, has_answer=True)
    assert PLACES // 2 == len(fill(admission, GREEDY))


def test_one_place_is_enough_to_work(clock):
    admission = Admission(1, clock)
    for _ in range(3):
        (inside,) = fill(admission, GREEDY, BATCH)
        admission.leave(inside, has_answer=True)


def _work(
    admission: Admission, clock: FrozenClock, took: float, left: float | None, rounds: int = 120
) -> None:
    """As many calls as fit, each of which takes some seconds of those left to it."""
    for _ in range(rounds):
        inside = fill(admission, GREEDY, seconds=left)
        clock.advance(took)
        for each in inside:
            admission.leave(each, has_answer=True)


def test_room_shrinks_while_calls_are_late(admission, clock):
    _work(admission, clock, took=0.6, left=1.0)
    assert 128 == admission.room


def test_room_grows_back(admission, clock):
    _work(admission, clock, took=0.6, left=1.0)
    _work(admission, clock, took=0.2, left=1.0)
    assert PLACES == admission.room


def test_room_is_back_soon_after(admission, clock):
    """A second of calm, with hardly a call."""
    _work(admission, clock, took=0.6, left=1.0)
    clock.advance(0.2)
    admission.leave(admission.enter(SMALL, 10, 1.0), has_answer=True)
    assert PLACES > admission.room
    clock.advance(0.8)
    assert PLACES // 2 == len(fill(admission, GREEDY))


@pytest.mark.parametrize(("took", "left"), [(0.4, 1.0), (20.0, None), (0.09, 0.1)])
def test_room_stays(admission, clock, took, left):
    """While calls are in time, have no deadline, or one that says nothing about our speed."""
    _work(admission, clock, took, left)
    assert PLACES == admission.room


def test_room_is_never_above_what_was_asked_for(clock):
    admission = Admission(16, clock)
    _work(admission, clock, took=0.6, left=1.0)
    assert 16 == admission.room


def _is_refused(admission: Admission, size: int, left: float) -> bool:
    try:
        admission.leave(admission.enter(SMALL, size, left), has_answer=False)
    except VaultError:
        return True
    return False


def test_who_would_be_late_is_refused(admission, clock):
    """Calls took 0.2 s a place lately, and there is work: the answer would come too late."""
    _work(admission, clock, took=0.2, left=None, rounds=3)
    inside = fill(admission, GREEDY)
    assert _is_refused(admission, 10, 0.1)
    assert not _is_refused(admission, 10, 0.3)
    assert _is_refused(admission, BATCH, 9.0)
    assert not _is_refused(admission, BATCH, 11.0)
    for each in inside:
        admission.leave(each, has_answer=True)
    assert not _is_refused(admission, 10, 0.1)  # nothing is in its way


def test_calls_that_were_cut_say_nothing_of_how_long_calls_take(admission, clock):
    _work(admission, clock, took=0.2, left=None, rounds=3)
    inside = fill(admission, GREEDY)
    clock.advance(0.01)
    for each in inside:
        admission.leave(each, has_answer=False)
    fill(admission, GREEDY)
    assert _is_refused(admission, 10, 0.1)
