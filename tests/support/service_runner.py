"""Runs the service of one configuration file, as a process of its own, for tests.

Prints {"port": …, "pid": …} on stdout once it listens. SIGTERM stops it; SIGHUP reloads
the bundle. Its log goes to stderr.
"""

import gc

gc.disable()  # while modules are loaded, as the command does

import asyncio  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import uvloop  # noqa: E402

from vault.app.service import Service  # noqa: E402
from vault.config import load_config  # noqa: E402
from vault.telemetry.logs import Logging  # noqa: E402

gc.enable()


async def _serve(path: Path) -> None:
    service = Service(load_config(path))
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(service.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await service.start()
    print(json.dumps({"port": service.port, "pid": os.getpid()}), flush=True)
    await stopped.wait()
    await service.stop()


if __name__ == "__main__":
    with Logging():
        uvloop.run(_serve(Path(sys.argv[1])))
