"""The standard health service, following database, Transit and the audit writer.

`grpc.health.v1` for the whole server ("") and for each service. One background loop
asks every dependency, about once a second; nothing of it is on the path of a call.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from grpc_health.v1 import health, health_pb2

from vault.errors import Reason, VaultError
from vault.telemetry.logs import Log

_log = Log("vault.health")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Check = Callable[[], Awaitable[None]]
"""Raises VaultError while the dependency is unfit."""


class HealthMonitor:
    """Keeps the health service up to date."""

    def __init__(
        self,
        *,
        services: Sequence[str],
        checks: Mapping[str, Check],
        interval_s: float,
        own_checks: Mapping[str, Mapping[str, Check]] | None = None,
    ) -> None:
        """Prepares.

        Args:
            services: their gRPC names.
            checks: what the whole server depends on, by name.
            interval_s: between two looks.
            own_checks: service to what it alone depends on, by name.
        """
        self.servicer = health.aio.HealthServicer()
        self._names = ("", *services)
        own = own_checks or {}
        self._checks = dict(checks)
        self._owner: dict[str, str] = {}
        for service, mine in own.items():
            self._checks |= mine
            self._owner |= dict.fromkeys(mine, service)
        self._interval_s = interval_s
        self._faults: dict[str, str] = {}
        self._is_first = True
        self._task: asyncio.Task[None] | None = None

    @property
    def faults(self) -> Mapping[str, str]:
        """The reason of each dependency that is unfit, by its name."""
        return self._faults

    async def start(self) -> None:
        """Looks once, then in the background."""
        await self._look()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Says NOT_SERVING and ends."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.servicer.enter_graceful_shutdown()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self._look()

    async def _look(self) -> None:
        names = list(self._checks)
        answers = await asyncio.gather(*(self._ask(self._checks[name]) for name in names))
        faults = {name: fault for name, fault in zip(names, answers, strict=True) if fault}
        if faults == self._faults and not self._is_first:
            return
        for name in faults.keys() - self._faults.keys():
            _log.warning("dependency.unfit", state=name, reason=faults[name])
        for name in self._faults.keys() - faults.keys():
            _log.info("dependency.fit", state=name)
        self._faults = faults
        self._is_first = False
        for service in self._names:
            concerned = [name for name in faults if self._owner.get(name, service) == service]
            await self.servicer.set(service, NOT_SERVING if concerned else SERVING)

    async def _ask(self, check: Check) -> str:
        try:
            async with asyncio.timeout(3 * self._interval_s):
                await check()
        except VaultError as error:
            return error.reason.name
        except TimeoutError:
            return Reason.DEADLINE_EXCEEDED.name
        except Exception as error:  # noqa: BLE001 - one surprise must not end the watch for ever
            _log.error("dependency.fault", error=error)
            return Reason.INTERNAL.name
        return ""
