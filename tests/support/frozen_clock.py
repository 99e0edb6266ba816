"""A clock that stands still until a test moves it."""

from dataclasses import dataclass

NOW = 1_800_000_000
"""2027-01-15T08:00:00Z, Unix seconds."""


@dataclass
class FrozenClock:
    seconds: float = NOW

    def unix_ns(self) -> int:
        return int(self.seconds * 10**9)

    def monotonic_ns(self) -> int:
        return int(self.seconds * 10**9)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
