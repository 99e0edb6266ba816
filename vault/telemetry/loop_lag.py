"""How late the event loop is: the watchdog for whatever blocks it."""

import asyncio
import time
from typing import Final

INTERVAL_S: Final = 0.25


class LoopLag:
    """Sleeps and notes how much longer it took. One task on the loop that it watches."""

    def __init__(self, *, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._worst = 0.0
        self.latest = 0.0
        """Seconds, of the last round; for the health check."""

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            due = time.monotonic() + self._interval_s
            await asyncio.sleep(self._interval_s)
            self.latest = max(0.0, time.monotonic() - due)
            self._worst = max(self._worst, self.latest)

    def read(self) -> dict[tuple[str | int, ...], int | float]:
        """The worst since the last reading, for `Metrics.watch`."""
        worst, self._worst = self._worst, 0.0
        return {(): worst}
