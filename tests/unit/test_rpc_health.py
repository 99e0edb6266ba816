"""Health: whatever a check does, the watch goes on."""

import asyncio

from vault.errors import Reason, VaultError
from vault.rpc.health import HealthMonitor


async def test_a_check_that_raises_what_nobody_foresaw_is_a_fault_and_passes():
    errors: list[Exception | None] = [
        None,
        RuntimeError("surprise"),
        VaultError(Reason.DATABASE_UNAVAILABLE, "gone"),
        None,
    ]
    seen = []
    enough = asyncio.Event()

    async def check() -> None:
        seen.append(dict(monitor.faults))
        if len(seen) == 5:
            enough.set()
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error

    monitor = HealthMonitor(services=(), checks={"part": check}, interval_s=0.01)
    await monitor.start()
    async with asyncio.timeout(5):
        await enough.wait()
    await monitor.stop()
    faults = [{}, {}, {"part": "INTERNAL"}, {"part": "DATABASE_UNAVAILABLE"}, {}]
    assert faults == seen[:5]
