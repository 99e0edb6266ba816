import pytest

from vault.telemetry.pace import Pace


class Watch:
    """A clock that only work and sleep move."""

    def __init__(self) -> None:
        self.at = 0.0
        self.rests = 0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.rests += 1


@pytest.mark.parametrize(("share", "rests"), [(0.0, 400), (0.125, 10), (1.0, 10)])
def test_slices_grow_with_the_backlog(share: float, rests: int):
    """40 ms of work in pieces of 10 us, with rests in between."""
    watch = Watch()
    pace = Pace(now=watch.now, sleep=watch.sleep)
    pace.set_backlog(share)
    for _ in range(4_000):
        pace.rest()
        watch.at += 0.00001
    assert watch.rests == pytest.approx(rests, rel=0.1)
