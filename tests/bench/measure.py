"""Slices of load, and rounds in which those that are compared take turns.

A figure is the median over rounds; a ratio is the median of the rounds' own ratios, so that
what slows the machine for a while slows both sides of it.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.client import Report
from tests.bench.dataset import DETOKENIZE, TOKENIZE
from tests.bench.house import House
from tests.bench.usage import cpu_seconds

SETTINGS = {"limits": {"items": 2500}, "cache": {"max_age_seconds": 3600.0}}
"""Beyond the defaults: 500 subjects with five fields each in a call, and keys that stay in memory
once they are there. By default a key is opened anew after a minute; in a run that visits each
server for a second at a time nearly every key would be too old."""
CONNECTIONS = 8
"""Most gRPC connections of a slice, as of a handful of client processes; of 4, the kernel gave all
to one of the service's two listeners in one run of eight. Transit's HTTP/1.1 takes one for each
caller."""
_GLANCE_S = 0.12
_LONGEST_S = 20.0
_QUIET = 0.3
"""Of one core, by all servers together: below it the slice before is over and done with."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        matrix_s: of a slice that is no part of a ratio.
        keys: subjects whose keys are brought into memory, to see what they take.
        connections: opened, to see what they take.
        starts: of a service, to see how long it takes.
        check_every: compare every n-th answer with what was stored.
        settle_s: longest wait for the servers to have done with the slice before.
        deadline_s: of calls in an overload.
    """

    name: str
    orders: int
    rounds: int
    slice_s: float
    warm_s: float
    matrix_s: float
    overload_s: float
    keys: int
    connections: int
    starts: int
    check_every: int
    growth_tokens: int = 0
    soak_s: float = 0.0
    matrix_callers: tuple[int, ...] = (1, 16, 64)
    settle_s: float = 3.0
    deadline_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """A load against one server."""

    server: str
    pool: Path
    callers: int
    path: str = DETOKENIZE
    client: str = "shipping"
    rate: float | None = None
    deadline_s: float = 10.0
    connections: int = 0

    @classmethod
    def tokenize(cls, server: str, pool: Path, callers: int) -> "Job":
        return cls(server, pool, callers, path=TOKENIZE, client="order")


class SliceError(Exception):
    """Answers were wrong, or calls failed that must not."""


class Bench:
    """One run's measuring."""

    def __init__(self, house: House, size: Size) -> None:
        self.house = house
        self.size = size
        self.ratios: dict[str, float | None] = {}
        self.scenarios: dict[str, Any] = {}
        self.notes: list[str] = []
        self.checked = 0
        self.calls: dict[str, int] = {}
        """Measured calls that succeeded, by server."""

    def run(
        self,
        job: Job,
        seconds: float,
        *,
        warm: float | None = None,
        lenient: bool = False,
        settled: bool = True,
    ) -> Report:
        """One slice.

        Raises:
            SliceError: a call failed (unless `lenient`), or an answer was not what it should be.
        """
        house = self.house
        if settled:
            self.settle()
        is_http = job.server == "transit"
        tls = house.settings.clients_folder / job.client
        order = {
            "kind": "http" if is_http else "grpc",
            "port": house.port(job.server),
            "path": job.path,
            "tls": None if job.server == "floor" else str(tls),
            "pool": str(job.pool),
            "callers": job.callers,
            "connections": job.connections
            or (job.callers if is_http else min(job.callers, CONNECTIONS)),
            "seconds": seconds,
            "warm": self.size.warm_s if warm is None else warm,
            "rate": job.rate,
            "deadline_s": job.deadline_s,
            "check_every": self.size.check_every,
            "watch": house.watched(job.server),
        }
        answer = house.client.ask(order, 60 + job.deadline_s + 3 * seconds)
        report = Report(**answer)
        report.statuses = {int(status): count for status, count in report.statuses.items()}
        if not report.statuses and seconds < _LONGEST_S:
            # Not one answer in all of it: so short a slice says nothing on a busy machine.
            return self.run(job, 4 * seconds, warm=warm, lenient=lenient, settled=settled)
        failed = sum(report.statuses.values()) - report.good
        if report.wrong or (not lenient and (failed or not report.good)):
            raise SliceError(
                f"{job.server} {job.pool.stem}: {report.wrong} of {report.checked} answers wrong, "
                f"by status {report.statuses}"
            )
        self.checked += report.checked
        self.calls[job.server] = self.calls.get(job.server, 0) + report.good
        return report

    def rounds(
        self, jobs: Mapping[str, Job], *, rounds: int | None = None, seconds: float | None = None
    ) -> dict[str, list[Report]]:
        """Every job in every round, in turns; every second round backwards."""
        found: dict[str, list[Report]] = {name: [] for name in jobs}
        for number in range(rounds or self.size.rounds):
            order = list(jobs)
            for name in order if number % 2 == 0 else reversed(order):
                found[name].append(self.run(jobs[name], seconds or self.size.slice_s))
        return found

    def settle(self, seconds: float | None = None) -> None:
        """Waits until the servers have done with what came before, at most this long."""
        pids = [self.house.instance.postgres.pid, self.house.instance.openbao.pid]
        pids += [child.pid for child, _ in self.house.servers.values()]
        known = [pid for pid in pids if pid]
        until = time.monotonic() + (self.size.settle_s if seconds is None else seconds)
        before = cpu_seconds(known)
        while time.monotonic() < until:
            time.sleep(_GLANCE_S)
            now = cpu_seconds(known)
            if now - before < _QUIET * _GLANCE_S:
                return
            before = now

    def keep(self, scenario: str, found: Mapping[str, Sequence[Report]]) -> None:
        """Writes the medians of a scenario down."""
        self.scenarios.setdefault(scenario, {}).update(
            {name: summary(reports) for name, reports in found.items()}
        )

    def ratio(
        self,
        name: str,
        over: Sequence[Report],
        under: Sequence[Report],
        of: Callable[[Report], float] | None = None,
    ) -> float:
        """Notes the median of the rounds' ratios."""
        self.ratios[name] = median_ratio(over, under, of or items_per_s)
        return self.ratios[name] or 0.0

    def say(self, text: str) -> None:
        self.house.say(text)


def items_per_s(report: Report) -> float:
    return report.items / report.seconds


def calls_per_s(report: Report) -> float:
    return report.good / report.seconds


def p50(report: Report) -> float:
    return report.p50_ms


def median_ratio(
    over: Sequence[Report], under: Sequence[Report], of: Callable[[Report], float]
) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(of(a) / of(b) for a, b in zip(over, under, strict=True))


def summary(reports: Sequence[Report]) -> dict[str, Any]:
    """Medians over rounds, and CPU microseconds a call by part."""

    def middle(of: Callable[[Report], float]) -> float:
        return statistics.median(of(report) for report in reports)

    calls = sum(report.good for report in reports) or 1
    return {
        "calls_per_s": round(middle(calls_per_s), 1),
        "fields_per_s": round(middle(items_per_s), 1),
        "p50_ms": round(middle(p50), 3),
        "p99_ms": round(middle(lambda report: report.p99_ms), 3),
        "cpu_us_per_call": {
            part: round(sum(report.cpu.get(part, 0.0) for report in reports) / calls * 1e6, 1)
            for part in reports[0].cpu
        },
        "client_cpu_share": round(
            middle(lambda report: report.cpu["client"] / (sum(report.cpu.values()) or 1.0)),
            3,
        ),
        "rounds_fields_per_s": [round(items_per_s(report), 1) for report in reports],
    }


def at(job: Job, callers: int) -> Job:
    """The same with another number of callers."""
    return replace(job, callers=callers)
