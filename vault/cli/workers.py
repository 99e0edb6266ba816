"""`pdvault serve` with several worker processes on one port: they are started, watched, replaced.

Guarantees: the port is nobody else's; no worker outlives the supervisor; a worker that dies is
started again, at growing intervals; a start that is refused is refused by all; on SIGUSR2
each worker is replaced in turn, the new one listening before the old one drains. Leaves to the
kernel (SO_REUSEPORT) which worker takes a connection, and everything about a call to the
workers: they share nothing but the database, Transit and the files of the configuration.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvloop

from vault.app.service import Service
from vault.cli.faults import describe
from vault.cli.output import DONE, FAILED, INTERRUPTED, report
from vault.cli.running import run_service
from vault.config import Config, load_config
from vault.port import require_free
from vault.telemetry.logs import Log, Logging

_log = Log("vault.cli")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
"""Before a worker that died is started again; doubled each time that it dies young."""
_YOUNG_S = 60.0
_PR_SET_PDEATHSIG = 1


async def supervise(config_file: Path, config: Config) -> int:
    """Runs `server.workers` workers until SIGTERM or Ctrl-C; the exit code.

    Raises:
        OSError: the port is taken, or the address can't be used.
    """
    return await _Supervisor(config_file, config).run()


class _Supervisor:
    """Keeps the workers of one configuration running."""

    def __init__(self, config_file: Path, config: Config) -> None:
        self._config_file = config_file
        self._config = config
        self._ending = asyncio.Event()
        self._replacing = asyncio.Event()
        self._slots: list[asyncio.subprocess.Process | None] = [None] * config.server.workers

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, self._tell_all, signal.SIGHUP)
        loop.add_signal_handler(signal.SIGUSR2, self._replacing.set)
        server = self._config.server
        with _held_port(server.listen_address, server.port):
            try:
                first = await asyncio.gather(*(self._start() for _ in self._slots))
                self._slots = list(first)
                if None in first:
                    return INTERRUPTED if self._ending.is_set() else FAILED
                _log.info("service.listening", port=server.port, count=len(first))
                keepers = [asyncio.create_task(self._keep(slot)) for slot in range(len(first))]
                keepers.append(asyncio.create_task(self._replace_when_told()))
                await self._ending.wait()
                for keeper in keepers:
                    keeper.cancel()
                await asyncio.gather(*keepers, return_exceptions=True)
                return DONE
            finally:
                self._tell_all(signal.SIGTERM)
                running = [worker for worker in self._slots if worker is not None]
                await asyncio.gather(*(worker.wait() for worker in running))

    async def _start(self) -> asyncio.subprocess.Process | None:
        """A worker that listens; None if it ended before, or everything is to end."""
        reader, writer = os.pipe()
        try:
            worker = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "vault.cli.workers",
                str(self._config_file),
                str(writer),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(writer,),
            )
        finally:
            os.close(writer)
        ready = asyncio.create_task(_line(reader))
        end = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait((ready, end), return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and ready.result():
                return worker
            with contextlib.suppress(ProcessLookupError):
                worker.terminate()
            await worker.wait()
            return None
        finally:
            end.cancel()
            if not ready.done():
                ready.cancel()

    async def _keep(self, slot: int) -> None:
        pause = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            worker = self._slots[slot]
            began = loop.time()
            if worker is not None:
                await worker.wait()
                if self._slots[slot] is not worker:
                    continue  # it was replaced
                _log.error("worker.ended", process=worker.pid)
            pause = _FIRST_PAUSE_S if loop.time() - began > _YOUNG_S else pause
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, 2 * pause)
            self._slots[slot] = await self._start()

    async def _replace_when_told(self) -> None:
        while True:
            await self._replacing.wait()
            self._replacing.clear()
            for slot, old in enumerate(self._slots):
                fresh = await self._start()
                if fresh is None:
                    _log.error("worker.not_replaced")
                    break  # the old ones go on
                self._slots[slot] = fresh
                if old is not None:
                    with contextlib.suppress(ProcessLookupError):
                        old.terminate()
                    await old.wait()
                _log.info("worker.replaced", process=fresh.pid)

    def _tell_all(self, number: signal.Signals) -> None:
        for worker in self._slots:
            if worker is not None and worker.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.send_signal(number)


@contextlib.contextmanager
def _held_port(address: str, port: int) -> Iterator[None]:
    """Makes sure that the port is free, and keeps it from other users while workers come and go.

    Raises:
        OSError: it is taken, or the address can't be used.
    """
    require_free(address, port)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((address, port))  # not listening: it takes no connection
        yield


async def _line(descriptor: int) -> bytes:
    """What a worker says when it listens; empty if it ended."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    try:
        return await reader.readline()
    finally:
        transport.close()


def work(config_file: Path, ready: int) -> int:
    """One worker: the service, on a port that it shares.

    Args:
        config_file: judged sound by the supervisor; read again, as it may have been replaced.
        ready: descriptor that is told when the service listens.

    Raises:
        ConfigError, BundleError, UnsafeError, VaultError, OSError: it refuses to start.
    """
    signal.signal(signal.SIGHUP, lambda *_: None)
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return FAILED  # the supervisor ended in between

    def on_ready() -> None:
        os.write(ready, b"ready\n")
        os.close(ready)

    config = load_config(config_file)
    service = Service(config)
    with Logging(level=config.telemetry.log_level, words=service.words):
        return uvloop.run(run_service(service, on_ready=on_ready))


if __name__ == "__main__":
    try:
        sys.exit(work(Path(sys.argv[1]), int(sys.argv[2])))
    except Exception as failed:  # noqa: BLE001  as in vault.cli.main
        report(describe(failed))
        sys.exit(FAILED)
