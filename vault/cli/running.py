"""A service in the foreground: started, watched, reloaded by SIGHUP, ended by SIGTERM or Ctrl-C.

Guarantees: from the first moment of the event loop on, no signal ends the process half-way;
whatever was started is stopped. Whom to tell, and what else to watch, is the caller's.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence

from vault.app.service import Service
from vault.cli.output import DONE, FAILED, INTERRUPTED, say
from vault.errors import Violation
from vault.telemetry.logs import Log

_log = Log("vault.cli")

_WATCH_S = 0.3
"""How often `find_fault` is asked."""


async def run_service(
    service: Service,
    *,
    prepare: Callable[[], object] | None = None,
    on_ready: Callable[[], None],
    on_reload: Callable[[Sequence[Violation]], None] = lambda _faults: None,
    find_fault: Callable[[], str | None] = lambda: None,
) -> int:
    """Runs `service` until it is told to end, or `find_fault` says why it can't go on.

    Args:
        service: not started yet.
        prepare: makes an awaitable that is awaited first.
        on_ready: called when the service listens.
        on_reload: called after each reload, with the faults of a bundle that was refused.
        find_fault: looks at what the service depends on; a sentence, or None.

    Returns:
        The exit code: 0, or 130 when it was told to end before it was ready, or 1
        when `find_fault` found one.

    Raises:
        UnsafeError, BundleError, VaultError, OSError: the service refuses to start.
    """
    loop = asyncio.get_running_loop()
    ending, reloading = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    loop.add_signal_handler(signal.SIGHUP, reloading.set)
    try:
        start = asyncio.create_task(_start(service, prepare))
        end = asyncio.create_task(ending.wait())
        await asyncio.wait((start, end), return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await start
            return INTERRUPTED
        await start
        tasks = [end, asyncio.create_task(_reload(service, reloading, on_reload))]
        fault = asyncio.create_task(_watch(find_fault))
        try:
            on_ready()
            await asyncio.wait((end, fault), return_when=asyncio.FIRST_COMPLETED)
            if not fault.done():
                return DONE
            say(f"pdvault: error: {fault.result()}")
            return FAILED
        finally:
            for task in (*tasks, fault):
                task.cancel()
            await asyncio.gather(*tasks, fault, return_exceptions=True)
    finally:
        await service.stop()


async def _start(service: Service, prepare: Callable[[], object] | None) -> None:
    if prepare is not None:
        await prepare()  # type: ignore[misc]  # callers give coroutines
    await service.start()


async def _reload(
    service: Service, reloading: asyncio.Event, on_reload: Callable[[Sequence[Violation]], None]
) -> None:
    while True:
        await reloading.wait()
        reloading.clear()
        try:
            on_reload(await service.reload())
        except Exception as error:  # noqa: BLE001  the old bundle keeps deciding
            _log.failure("reload.failed", error)


async def _watch(find_fault: Callable[[], str | None]) -> str:
    while True:
        fault = find_fault()
        if fault is not None:
            return fault
        await asyncio.sleep(_WATCH_S)
