"""The time, as an argument.

Whoever needs the time takes a `Clock`; tests pass a frozen one.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def unix_ns(self) -> int:
        """Wall-clock time, nanoseconds since 1970-01-01T00:00:00Z."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds on a clock that is never set back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def unix_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()
