"""The service as a process of its own, or the same build without its observability.

    python -m tests.bench.vault_server CONFIG (whole | bare)

`bare` exists to measure what tracing and the durable log cost, and for nothing else: spans are
not even begun, and entries, though built, go nowhere. No configuration leads to it: the
parts are replaced here, in this process, before the service is built.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

import vault.app.service
from vault.app.service import Service
from vault.config import load_config
from vault.rows import Commit, DoneWrite
from vault.store.log import LogStore
from vault.telemetry import Telemetry
from vault.telemetry.logs import Logging
from vault.telemetry.trace import CallTrace, Tracer, TripTrace


class _NoLog(LogStore):
    """Takes entries and drops them. Writes (tokens, and entries with them) are stored."""

    async def commit(self, calls: Sequence[Commit]) -> list[DoneWrite | None]:
        if any(call.write for call in calls):
            return await super().commit(calls)
        return [None] * len(calls)


class _SilentCall(CallTrace):
    __slots__ = ()

    def mark(self, stage: str) -> None:
        pass

    def link(self, trip: TripTrace) -> None:
        pass

    def finish(self, status: int, attributes: object = None, ids: object = None) -> None:
        pass


class _SilentTrip(TripTrace):
    __slots__ = ()

    def __init__(self) -> None:
        pass

    def finish(self, **_: object) -> None:
        pass


class _SilentTracer(Tracer):
    """Its calls and trips note nothing."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self._trip = _SilentTrip()

    def call(self, name: str, _: str | None = None) -> CallTrace:
        return _SilentCall(
            name,
            trace_id=bytes(16),
            span_id=bytes(8),
            parent_span_id=None,
            unix_ns=0,
            now=int,
            submit=lambda _: None,
        )

    def trip(self, *_: object) -> TripTrace:
        return self._trip


class _NoSpans(Telemetry):
    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments | {"span_file": None})  # type: ignore[arg-type]
        self.tracer = _SilentTracer()


def make_bare() -> None:
    """From here on a `Service` of this process has neither spans nor a log."""
    vault.app.service.Telemetry = _NoSpans  # type: ignore[misc]
    vault.app.service.LogStore = _NoLog  # type: ignore[misc]


async def _serve(path: Path) -> None:
    service = Service(load_config(path))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await service.start()
    print(json.dumps({"port": service.port, "pid": os.getpid()}), flush=True)
    await stopped.wait()
    await service.stop()


if __name__ == "__main__":
    if sys.argv[2] == "bare":
        make_bare()
    with Logging():
        uvloop.run(_serve(Path(sys.argv[1])))
