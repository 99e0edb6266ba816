"""Coalescing stages: everything is a batch, nothing waits for a timer.

A stage makes one kind of round trip (load rows, open keys, commit). While a trip
is under way newcomers queue; the next trip takes all of them, up to its size.
A trip for one leaves at once when the event loop has nothing else to do; while it has, or when
the trip is shared, it waits for those whom the next rounds bring. So a stage adds no latency
when idle and shares each trip's cost when busy.

Guarantees: every submitted item gets exactly one result or error; the queue is
bounded and says so at once (`OVERLOADED`); a waiter that goes away costs nobody
else anything. Left to the trip function: its own time limit.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from vault.errors import Reason, VaultError
from vault.telemetry.trace import CallTrace

_LONGEST_S = 0.01
"""The longest that a trip waits for more riders."""
_LONGEST_ALONE_S = 0.001
"""The same while it has one."""
_QUIET_ROUNDS = 20
"""Rounds without work, one after the other, after which a shared trip waits for nobody else."""
_QUIET_S = 60e-6
"""A round shorter than this had no work."""
_SLOW_S = 0.02
"""A trip that takes longer may wait for a lock: those behind it need not."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Trip(Protocol):
    """The note of one trip under way."""

    def finish(self, *, error: Reason | None) -> None: ...


class Trips(Protocol):
    """Takes note of trips, for spans and metrics (`vault.telemetry.trips`)."""

    def start(self, name: str, riders: Sequence[CallTrace], size: int) -> Trip: ...


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    weight: int
    rider: CallTrace
    done: "asyncio.Future[Result]"


class Stage(Generic[Item, Result]):
    """One kind of round trip, shared by all calls in flight.

    Args:
        name: the trip's span name, from `vault.telemetry.names`.
        trip: makes the round trip; returns one result, or one error, for each item
            in order. An error that it raises is every item's error.
        trips: takes note of every trip.
        max_trip: the most weight one trip takes (an item above it rides alone).
        max_queue: the most weight that may wait.
        lanes: how many trips may be under way at once.
        lane_weight: a further lane opens while at least this much waits or is under way, or when
            the last trip is slow. Otherwise those who wait share the next trip: fewer trips for
            the same work.
        weigh: an item's weight, at least 1 (tokens to load, rows to write).
        keep_abandoned: make the trip for an item whose waiter went away before it began.
        is_item_fault: says whether a trip's error may be the fault of one item; such
            a trip is made again item by item, so that one item can't fail the others.
    """

    def __init__(
        self,
        name: str,
        trip: Callable[[Sequence[Item]], Awaitable[Sequence[Result | VaultError]]],
        *,
        trips: Trips,
        max_trip: int,
        max_queue: int,
        lanes: int = 1,
        lane_weight: int = 1,
        weigh: Callable[[Item], int] = lambda _: 1,
        keep_abandoned: bool = False,
        is_item_fault: Callable[[VaultError], bool] = lambda _: False,
    ) -> None:
        if min(max_trip, max_queue, lanes) < 1:
            raise ValueError("max_trip, max_queue and lanes are at least 1")
        self.name = name
        self._trip = trip
        self._trips = trips
        self._max_trip = max_trip
        self._max_queue = max_queue
        self._lanes = lanes
        self._lane_weight = lane_weight
        self._weigh = weigh
        self._keep_abandoned = keep_abandoned
        self._is_item_fault = is_item_fault
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._queued = self._riding = 0
        self._left = 0.0
        """When a trip last left or came back, or a lane was opened."""
        self._look: asyncio.TimerHandle | None = None
        self._runners: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def queued(self) -> int:
        """The weight that waits now."""
        return self._queued

    async def submit(self, item: Item, rider: CallTrace) -> Result:
        """Rides the next trip.

        Raises:
            VaultError: OVERLOADED when the queue is full, SHUTTING_DOWN after
                `close`, or the trip's own error for this item.
        """
        if self._closed:
            raise VaultError(Reason.SHUTTING_DOWN, "the service is stopping")
        weight = self._weigh(item)
        if self._queued and self._queued + weight > self._max_queue:
            raise VaultError(
                Reason.OVERLOADED, "too many calls are waiting; try again", retry_after_ms=200
            )
        waiting = _Waiting(item, weight, rider, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._queued += weight
        self._fill_lanes()
        result: Result = await waiting.done
        return result

    async def close(self) -> None:
        """Takes no more items and waits for those that are queued or under way."""
        self._closed = True
        while self._runners:
            await asyncio.wait(self._runners)

    def _fill_lanes(self) -> None:
        if not self._queue or len(self._runners) >= self._lanes:
            return
        loop = asyncio.get_running_loop()
        slow_at = self._left + _SLOW_S
        is_little = self._queued + self._riding < self._lane_weight
        if self._runners and is_little and loop.time() < slow_at:
            if self._look is None:  # nobody else may come who would look
                self._look = loop.call_at(slow_at, self._look_again)
            return
        self._left = loop.time()
        task = loop.create_task(self._run())
        self._runners.add(task)
        task.add_done_callback(self._runner_done)

    def _look_again(self) -> None:
        self._look = None
        self._fill_lanes()

    def _runner_done(self, task: "asyncio.Task[None]") -> None:
        self._runners.discard(task)
        self._fill_lanes()

    async def _run(self) -> None:
        """Makes one lane's trips until nobody waits."""
        while self._queue:
            await self._gather()
            await self._make_trip()
            self._left = asyncio.get_running_loop().time()

    async def _gather(self) -> None:
        """Lets calls come in for as long as the loop is busy with them.

        One that would ride alone leaves in the first quiet round, and soon in any case. Those who
        share a trip wait for more of them: in a busy service a quiet round only means that the
        transport's threads are just reading the next calls.
        """
        quiet = 0
        began = now = time.perf_counter()
        while now - began < _LONGEST_S and self._queued < self._max_trip:
            before = now
            await asyncio.sleep(0)
            now = time.perf_counter()
            quiet = quiet + 1 if now - before < _QUIET_S else 0
            is_alone = len(self._queue) <= 1
            if quiet >= (1 if is_alone else _QUIET_ROUNDS):
                return
            if is_alone and now - began > _LONGEST_ALONE_S:
                return

    def _take(self) -> list[_Waiting[Item, Result]]:
        taken: list[_Waiting[Item, Result]] = []
        weight = 0
        while self._queue:
            first = self._queue[0]
            if taken and weight + first.weight > self._max_trip:
                break
            self._queue.popleft()
            self._queued -= first.weight
            if self._keep_abandoned or not first.done.done():  # its call may have gone away
                taken.append(first)
                weight += first.weight
        return taken

    async def _make_trip(self) -> None:
        riders = self._take()
        if not riders:
            return
        weight = sum(rider.weight for rider in riders)
        self._riding += weight
        self._left = asyncio.get_running_loop().time()
        results = await self._results(riders, weight)
        self._riding -= weight
        for rider, result in zip(riders, results, strict=True):
            if rider.done.done():
                continue
            if isinstance(result, VaultError):
                rider.done.set_exception(result)
            else:
                rider.done.set_result(result)

    async def _results(
        self, riders: list[_Waiting[Item, Result]], weight: int
    ) -> Sequence[Result | VaultError]:
        note = self._trips.start(self.name, [rider.rider for rider in riders], weight)
        fault: Reason | None = Reason.INTERNAL
        try:
            results = await self._trip([rider.item for rider in riders])
            if len(results) != len(riders):
                raise VaultError(Reason.INTERNAL, "a trip lost count of its items")
            fault = None
            return results
        except VaultError as error:
            fault = error.reason
            if len(riders) == 1 or not self._is_item_fault(error):
                return [_own(error) for _ in riders]
        except Exception as error:  # noqa: BLE001 - whatever a trip raises must reach its riders
            internal = VaultError(Reason.INTERNAL, "an internal fault")
            internal.__cause__ = error
            return [_own(internal) for _ in riders]
        finally:
            note.finish(error=fault)
        alone: list[Result | VaultError] = []
        for rider in riders:
            alone.extend(await self._results([rider], rider.weight))
        return alone


def _own(error: VaultError) -> VaultError:
    """A copy of an error that many waiters get, so that none adds to another's traceback."""
    copy = VaultError(
        error.reason,
        error.text,
        violations=error.violations,
        retry_after_ms=error.retry_after_ms,
    )
    copy.__cause__ = error.__cause__ or error
    return copy
