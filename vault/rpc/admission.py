"""Who gets in when there is more to do than can be done in time.

Guarantees: what is at work is bounded; a caller, however greedy, leaves room to others; while
calls take too long for their deadlines, fewer get in. What does not get in is refused at once.
Leaves to the transport: what comes faster than it can be looked at (`vault.rpc.server`).
"""

from collections import Counter
from dataclasses import dataclass

from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.model import Principal

BYTES_A_PLACE = 1024
"""Of a request. Some twenty tokens, which cost about as much as what is the same for every call."""
_LEAST_PLACES = 128
"""The room does not shrink below: enough that every trip to the database is shared by many."""
_STEP_NS = 50_000_000
_SHRINK = 0.9
_GROW = 1.02
_RECOVER = 1.2
_MOST_STEPS = 40
"""More than it takes to grow back from the least to a thousand times as much."""
_SLOW_NS = 100_000_000
"""Calls that are faster than this say nothing against the room, however short their deadlines."""
_NEWEST_SHARE = 0.05
"""Weight of the newest call in how long a place is taken: the last twenty or so count."""
_RETRY_AFTER_MS = 200


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that was let in.

    Attributes:
        places: that it takes.
        began_ns: when it was let in.
        slow_ns: when it will have taken more than half of the time that it had left.
    """

    caller: str
    places: int
    began_ns: int
    slow_ns: int | None


class Admission:
    """Counts what is at work, in places: a call takes one, and one for each KiB of its request.

    Nobody gets in while all places are taken. Who holds a quarter of them gets no more while
    half of them are taken. A call counts as a quarter at most: what greedy callers hold
    leaves a quarter to the others.

    The room shrinks while calls take more than half of the time that their deadlines left
    them, and grows back, up to `places`, while they do not: slowly while it is full, else fast.

    While a quarter of the places is taken, nobody gets in whose deadline is nearer than calls of
    this size have taken lately: to work for an answer that comes too late makes others late.
    """

    def __init__(self, places: int, clock: Clock) -> None:
        self._most = self._room = float(places)
        self._least = min(places, _LEAST_PLACES)
        self._clock = clock
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._is_slow = self._is_full = False
        self._place_ns = 0.0
        """How long calls with an answer took lately, by the place."""
        self._step_ns = clock.monotonic_ns()

    @property
    def room(self) -> int:
        """How many places there are now."""
        return int(self._room)

    def enter(self, caller: Principal, request_bytes: int, seconds_left: float | None) -> Admitted:
        """Lets a call in.

        Raises:
            VaultError: OVERLOADED.
        """
        now = self._clock.monotonic_ns()
        self._adjust(now)
        room = self.room
        quarter = max(1, room // 4)
        has_enough = self._held[caller.id] >= quarter
        places = min(1 + request_bytes // BYTES_A_PLACE, quarter)
        is_full = self._taken >= (max(1, room // 2) if has_enough else room)
        if is_full or self._is_too_late(places, seconds_left):
            self._is_full |= is_full
            raise VaultError(
                Reason.OVERLOADED,
                "too many calls are at work; try again",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._taken += places
        self._held[caller.id] += places
        slow_ns = None
        if seconds_left is not None:
            slow_ns = now + max(_SLOW_NS, int(seconds_left * 5e8))
        return Admitted(caller.id, places, now, slow_ns)

    def _is_too_late(self, places: int, seconds_left: float | None) -> bool:
        if seconds_left is None or self._taken < self._room / 4:
            return False
        return seconds_left * 1e9 < places * self._place_ns

    def leave(self, admitted: Admitted, *, has_answer: bool) -> None:
        """Takes note of a call's end.

        Args:
            admitted: from `enter`.
            has_answer: unless its deadline passed, its caller went away, or it failed.
        """
        self._taken -= admitted.places
        self._held[admitted.caller] -= admitted.places
        if not self._held[admitted.caller]:
            del self._held[admitted.caller]
        now = self._clock.monotonic_ns()
        self._is_slow |= admitted.slow_ns is not None and now > admitted.slow_ns
        if has_answer:
            newest = (now - admitted.began_ns) / admitted.places
            self._place_ns += _NEWEST_SHARE * (newest - self._place_ns)
        self._adjust(now)

    def _adjust(self, now: int) -> None:
        """Once in a step: what the calls of the step say of the room, and the time since then."""
        steps = (now - self._step_ns) // _STEP_NS
        if not steps:
            return
        if self._is_slow:
            self._room = max(self._least, self._room * _SHRINK)
        elif self._room < self._most:
            factor = _GROW if self._is_full else _RECOVER ** min(steps, _MOST_STEPS)
            self._room = min(self._most, self._room * factor)
        self._is_slow = self._is_full = False
        self._step_ns = now
