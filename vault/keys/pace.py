"""How fast a process may move rows, how fast it does, and how long a job will take.

The rate of a job is shared: each of n processes takes an n-th. Pure: the caller tells the time.
"""

from dataclasses import dataclass

_NEWEST_SHARE = 0.2
"""Weight of the newest batch in the average: about the last ten count."""
_BATCHES_PER_SECOND = 5
"""Beside other calls a batch takes some 18 ms however few its rows, mostly to Transit and back:
more of them, with fewer rows each, disturb the calls of the same process more."""


def batch_rows(rows_per_second: int, workers: int, most: int) -> int:
    """Rows of the next batch: a fifth of a second's share, at least 1, at most `most`.

    Args:
        rows_per_second: of the whole job; 0: as fast as it goes.
        workers: processes at work, at least 1.
        most: rows that a batch may have.
    """
    if rows_per_second == 0:
        return most
    return max(1, min(most, rows_per_second // (max(1, workers) * _BATCHES_PER_SECOND)))


@dataclass(frozen=True, slots=True)
class Pace:
    """One process's pace.

    Attributes:
        next_at: when the next batch may begin; seconds, monotonic.
        rate: rows a second lately; 0 before the first batch.
    """

    next_at: float
    rate: float = 0.0

    def after(self, rows: int, *, began: float, now: float, share: float) -> "Pace":
        """The pace after a batch.

        Args:
            rows: of the batch.
            began: when the batch before could have begun, so that the pause counts.
            now: the time.
            share: rows a second that this process may move; 0: any number.
        """
        # From the planned beginning, so that a late batch is made up for, but only by one.
        next_at = max(self.next_at + rows / share, now - rows / share) if share else now
        seconds = max(1e-6, max(next_at, now) - began)
        newest = rows / seconds
        rate = newest if self.rate == 0 else self.rate + _NEWEST_SHARE * (newest - self.rate)
        return Pace(next_at, rate)

    def wait(self, now: float) -> float:
        """Seconds until the next batch may begin."""
        return max(0.0, self.next_at - now)


def seconds_left(rows: int, rate: float) -> int:
    """Seconds for so many rows at this rate, rounded up; 0 when it can't be told."""
    if rows <= 0 or rate <= 0:
        return 0
    return int(-(-rows // rate))
