"""Two processes of the service on one database, and callers that work at both at once."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from tests.support.embedded import fresh_database
from tests.support.service import VaultService
from vault.embedded import EmbeddedInstance
from vault.store.migrate import migrate
from vault.v1 import keys_pb2

QUICK = """
[cache]
max_age_seconds = 1.0
grace_seconds = 1.0
[limits]
default_deadline_seconds = 2.0
[database]
statement_timeout_seconds = 1.9
[transit]
connect_seconds = 0.1
read_seconds = 0.85
[custody]
schedule = false
"""
"""Short waits: what rotations wait for is counted in cache ages and longest calls."""

_STATES = keys_pb2.JobState


@contextlib.contextmanager
def two_services(
    instance: EmbeddedInstance, folder: Path, extra: str = QUICK
) -> Iterator[tuple[VaultService, VaultService]]:
    """Both started, on a database of their own."""
    import asyncio  # noqa: PLC0415 - not while a loop runs

    with fresh_database(instance) as urls, contextlib.ExitStack() as stack:
        asyncio.run(migrate(urls.owner))
        services = []
        for name in ("one", "two"):
            own = folder / name
            own.mkdir(mode=0o700, parents=True)
            service = VaultService(instance, urls, own, extra)
            if services:
                service.policies = services[0].policies
            stack.callback(service.database.close)
            stack.callback(service.stop)
            service.start()
            services.append(service)
        yield services[0], services[1]


class Callers:
    """Threads that call until told to stop. What they raise is kept; `failures` must stay empty."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.rounds = 0

    def start(self, turn: Callable[[int], None], *, pause: float = 0.0) -> None:
        """A thread that makes turn(0), turn(1)..."""

        def run() -> None:
            number = 0
            while not self._stopped.is_set():
                try:
                    turn(number)
                except BaseException as error:  # noqa: BLE001 - told at the end
                    self.failures.append(error)
                    return
                number += 1
                self.rounds += 1
                time.sleep(pause)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()


def rotate(service: VaultService, kind: str, **request: Any) -> Any:
    """Begins a rotation; the job."""
    answer = service.call(
        "RotateKey",
        {"kind": f"KEY_KIND_{kind}", "cause": "compromise", **request},
        caller="custodian-1",
    )
    return answer.read("RotateKey").job


def newest_job(service: VaultService) -> Any:
    return service.call("ListJobs", {}, caller="custodian-1").read("ListJobs").jobs[0]


def wait_for_job(service: VaultService, job_id: str, *, seconds: float = 90.0) -> list[str]:
    """The phases that it was seen in."""
    phases: list[str] = []
    until = time.monotonic() + seconds
    while True:
        jobs = service.call("ListJobs", {}, caller="custodian-1").read("ListJobs").jobs
        job = next(job for job in jobs if job.job_id == job_id)
        if job.phase and job.phase not in phases:
            phases.append(job.phase)
        if job.state == _STATES.JOB_STATE_DONE:
            return phases
        assert job.state != _STATES.JOB_STATE_FAILED
        assert time.monotonic() < until, (job, said_of_jobs(service))
        time.sleep(0.05)


def said_of_jobs(service: VaultService) -> list[str]:
    """The newest lines of the service's log about jobs."""
    lines = service.log.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "job." in line][-20:]


def is_gone(error: BaseException) -> bool:
    """Whether a call failed because its process was killed."""
    return isinstance(error, grpc.RpcError) or "UNAVAILABLE" in str(error)
