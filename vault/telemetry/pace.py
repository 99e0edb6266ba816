"""How the exporter's thread shares the interpreter with the event loop.

A thread that keeps the interpreter makes the loop wait for up to 5 ms
(`sys.getswitchinterval`), and sleeping 0 gives it back too briefly for anybody to take it. So
the thread rests for a moment after each slice of work. A busy loop gives it back
only after those 5 ms, though: with a backlog, slices grow, or spans would be lost.
"""

import time
from collections.abc import Callable
from typing import Final

_REST_S: Final = 0.00005
_SHORTEST_S: Final = 0.0001  # about two calls
_LONGEST_S: Final = 0.004


class Pace:
    """Says when to rest. Belongs to one thread."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._slice_s = _SHORTEST_S
        self._due = 0.0

    def set_backlog(self, share: float) -> None:
        """Fits the slices to how full the queue is, 0 to 1: the longest from an eighth on."""
        self._slice_s = min(_LONGEST_S, _SHORTEST_S + share * 8 * (_LONGEST_S - _SHORTEST_S))

    def rest(self) -> None:
        """Sleeps if the slice is used up. To be called after each small piece of work."""
        if self._now() >= self._due:
            self._sleep(_REST_S)
            self._due = self._now() + self._slice_s
