"""The coalescing stage: what shares a trip, what is bounded, what one item can't do to others."""

import asyncio
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.resources import Resource

from tests.support.audit_log import until
from vault.errors import Reason, VaultError
from vault.stage import Stage
from vault.telemetry.metrics import Metrics
from vault.telemetry.trace import CallTrace, Tracer
from vault.telemetry.trips import TripNotes

TRIP = "postgres.load"


class Road:
    """A trip function that waits for a signal and remembers what it carried."""

    def __init__(self) -> None:
        self.trips: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.poison: set[int] = set()

    async def __call__(self, items: Sequence[int]) -> list[int | VaultError]:
        self.trips.append(list(items))
        await self.open.wait()
        if self.poison & set(items):
            raise VaultError(Reason.INTERNAL, "poison")
        return [item * 10 for item in items]


class Notes:
    """Trips with real spans, kept for the test."""

    def __init__(self) -> None:
        self.records: list[object] = []
        self.tracer = Tracer(self.records.append)
        self.metrics = Metrics(resource=Resource({}))
        self.trips = TripNotes(tracer=self.tracer, metrics=self.metrics)

    def call(self) -> CallTrace:
        return self.tracer.call("other")


@pytest.fixture
def notes():
    notes = Notes()
    yield notes
    notes.metrics.close()


def stage_of(road: Road, notes: Notes, **settings: object) -> Stage[int, int]:
    defaults = {"max_trip": 100, "max_queue": 1000}
    return Stage(TRIP, road, trips=notes.trips, **{**defaults, **settings})


async def test_idle_newcomer_leaves_at_once_and_the_rest_share_the_next_trip(notes):
    road = Road()
    stage = stage_of(road, notes)
    road.open.clear()
    first = asyncio.create_task(stage.submit(1, notes.call()))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(stage.submit(n, notes.call())) for n in (2, 3, 4)]
    await asyncio.sleep(0.01)
    assert [[1]] == road.trips
    assert 3 == stage.queued
    road.open.set()
    assert [10, 20, 30, 40] == await asyncio.gather(first, *others)
    assert [[1], [2, 3, 4]] == road.trips
    assert 0 == stage.queued


async def test_trip_never_takes_more_than_its_weight(notes):
    road = Road()
    stage = stage_of(road, notes, max_trip=5, weigh=lambda n: n)
    road.open.clear()
    tasks = [asyncio.create_task(stage.submit(n, notes.call())) for n in (1, 3, 2, 9, 1)]
    await asyncio.sleep(0.01)
    road.open.set()
    await asyncio.gather(*tasks)
    assert [[1, 3], [2], [9], [1]] == road.trips


async def test_lanes_bound_the_trips_under_way(notes):
    road = Road()
    stage = stage_of(road, notes, max_trip=1, lanes=2)
    road.open.clear()
    tasks = [asyncio.create_task(stage.submit(n, notes.call())) for n in range(5)]
    await asyncio.sleep(0.01)
    assert [[0], [1]] == road.trips
    road.open.set()
    assert [0, 10, 20, 30, 40] == await asyncio.gather(*tasks)


async def test_a_further_lane_is_for_much_work(notes, monkeypatch):
    monkeypatch.setattr("vault.stage._SLOW_S", 3600)
    road = Road()
    stage = stage_of(road, notes, lanes=2, lane_weight=10, weigh=lambda n: n)
    road.open.clear()
    tasks = []
    for weight, under_way in ((3, [[3]]), (6, [[3]]), (1, [[3], [6, 1]])):
        tasks.append(asyncio.create_task(stage.submit(weight, notes.call())))
        await asyncio.sleep(0.01)
        assert under_way == road.trips
    road.open.set()
    assert [30, 60, 10] == await asyncio.gather(*tasks)


async def test_a_further_lane_goes_round_a_slow_trip(notes, monkeypatch):
    """Though nobody else comes."""
    monkeypatch.setattr("vault.stage._SLOW_S", 0.05)
    road = Road()
    stage = stage_of(road, notes, lanes=2, lane_weight=10)
    road.open.clear()
    tasks = [asyncio.create_task(stage.submit(1, notes.call()))]
    await until(lambda: road.trips)
    tasks.append(asyncio.create_task(stage.submit(2, notes.call())))
    await until(lambda: road.trips == [[1], [2]])
    road.open.set()
    assert [10, 20] == await asyncio.gather(*tasks)


async def test_full_queue_refuses_at_once_and_recovers(notes):
    road = Road()
    stage = stage_of(road, notes, max_queue=2)
    road.open.clear()
    tasks = [asyncio.create_task(stage.submit(0, notes.call()))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(stage.submit(n, notes.call())) for n in (1, 2)]
    await asyncio.sleep(0.01)
    with pytest.raises(VaultError) as refused:
        await stage.submit(3, notes.call())
    assert Reason.OVERLOADED is refused.value.reason
    road.open.set()
    await asyncio.gather(*tasks)
    assert 40 == await stage.submit(4, notes.call())


async def test_an_item_that_may_be_at_fault_rides_again_alone(notes):
    road = Road()
    stage = stage_of(road, notes, is_item_fault=lambda error: error.reason is Reason.INTERNAL)
    road.open.clear()
    blocker = asyncio.create_task(stage.submit(0, notes.call()))
    await asyncio.sleep(0.01)
    road.poison = {2}
    tasks = [asyncio.create_task(stage.submit(n, notes.call())) for n in (1, 2, 3)]
    await asyncio.sleep(0.01)
    road.open.set()
    await blocker
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [10, 30] == [results[0], results[2]]
    assert isinstance(results[1], VaultError)
    assert [[0], [1, 2, 3], [1], [2], [3]] == road.trips


async def test_every_rider_gets_an_error_of_its_own(notes):
    """Two tasks that raise one exception object would add to each other's traceback."""
    road = Road()
    stage = stage_of(road, notes)
    road.open.clear()
    blocker = asyncio.create_task(stage.submit(0, notes.call()))
    await asyncio.sleep(0.01)
    road.poison = {1, 2}
    tasks = [asyncio.create_task(stage.submit(n, notes.call())) for n in (1, 2)]
    await asyncio.sleep(0.01)
    road.open.set()
    await blocker
    one, two = await asyncio.gather(*tasks, return_exceptions=True)
    assert one is not two
    assert [Reason.INTERNAL, Reason.INTERNAL] == [one.reason, two.reason]


async def test_foreign_exception_becomes_an_internal_error(notes):
    async def explode(_items):
        raise KeyError("13812345678")

    stage = Stage(TRIP, explode, trips=notes.trips, max_trip=1, max_queue=1)
    with pytest.raises(VaultError) as raised:
        await stage.submit(1, notes.call())
    assert Reason.INTERNAL is raised.value.reason
    assert "13812345678" not in str(raised.value)


async def test_a_trip_that_loses_count_fails_all(notes):
    async def forgetful(items):
        return items[1:]

    stage = Stage(TRIP, forgetful, trips=notes.trips, max_trip=1, max_queue=1)
    with pytest.raises(VaultError) as raised:
        await stage.submit(1, notes.call())
    assert Reason.INTERNAL is raised.value.reason


async def test_abandoned_item_is_left_out_or_kept_as_the_stage_says(notes):
    for keep, carried in ((False, [[0], [2]]), (True, [[0], [1, 2]])):
        road = Road()
        stage = stage_of(road, notes, keep_abandoned=keep)
        road.open.clear()
        blocker = asyncio.create_task(stage.submit(0, notes.call()))
        await asyncio.sleep(0.01)
        abandoned = asyncio.create_task(stage.submit(1, notes.call()))
        other = asyncio.create_task(stage.submit(2, notes.call()))
        await asyncio.sleep(0.01)
        abandoned.cancel()
        await asyncio.sleep(0.01)
        road.open.set()
        assert [0, 20] == await asyncio.gather(blocker, other)
        assert carried == road.trips


async def test_close_ends_what_is_queued_and_takes_no_more(notes):
    road = Road()
    stage = stage_of(road, notes, max_trip=1)
    road.open.clear()
    tasks = [asyncio.create_task(stage.submit(n, notes.call())) for n in range(3)]
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(stage.close())
    await asyncio.sleep(0.01)
    with pytest.raises(VaultError) as refused:
        await stage.submit(9, notes.call())
    assert Reason.SHUTTING_DOWN is refused.value.reason
    road.open.set()
    assert [0, 10, 20] == await asyncio.gather(*tasks)
    await closing


async def test_a_call_that_rides_twice_is_linked_once(notes):
    road = Road()
    stage = stage_of(road, notes)
    road.open.clear()
    blocker = asyncio.create_task(stage.submit(0, notes.call()))
    await asyncio.sleep(0.01)
    call, another = notes.call(), notes.call()
    tasks = [
        asyncio.create_task(stage.submit(n, rider))
        for n, rider in ((1, call), (2, call), (3, another))
    ]
    await asyncio.sleep(0.01)
    road.open.set()
    await asyncio.gather(blocker, *tasks)
    assert 1 == len(call.links)
    assert 1 == len(another.links)


@pytest.mark.parametrize("wrong", [{"max_trip": 0}, {"max_queue": 0}, {"lanes": 0}])
async def test_bounds_below_one_are_refused(notes, wrong):
    with pytest.raises(ValueError, match="at least 1"):
        stage_of(Road(), notes, **wrong)
