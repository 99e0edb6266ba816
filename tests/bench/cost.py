"""Scenarios of cost: observability, overload, workers, memory, start-up."""

import dataclasses
import json
import os
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import cryptography
import grpc

from tests.bench.children import Child
from tests.bench.dataset import Order, Pools
from tests.bench.house import start_seconds
from tests.bench.measure import SETTINGS, Bench, Job, at, calls_per_s, median_ratio
from tests.bench.reveal import Jobs, warm
from tests.bench.usage import resident_bytes
from tests.support.ports import holds_port
from vault import __version__
from vault.config_sections import ServerConfig

_OVERLOAD = 5
_MANY_CONNECTIONS = 16
_CALM_S = 20.0
"""How long the service may take to work off what a storm left."""
_CALM_AFTER_S = 1.0
"""In which the service lets as many calls in as before."""
_MB = 1024 * 1024


def observability(bench: Bench, jobs: Jobs) -> None:
    """The same build without spans and with a log that keeps nothing."""
    with bench.house.vault("bare", SETTINGS | {"audit": {"sequencer": False}}, mode="bare"):
        warm(bench, jobs, "bare")
        loads = {}
        for size, callers in ((1, 32), (5, 32), (100, 8)):
            whole = at(jobs.detok[size], callers)
            loads[f"{size}, whole"] = whole
            loads[f"{size}, bare"] = dataclasses.replace(whole, server="bare")
        found = bench.rounds(loads)
    bench.keep("observability", found)
    shares = {
        size: 1 - median_ratio(found[f"{size}, whole"], found[f"{size}, bare"], calls_per_s)
        for size in (1, 5, 100)
    }
    bench.ratios["observability_cost"] = shares[1]
    bench.scenarios["observability"]["share_by_tokens"] = {
        str(size): round(share, 3) for size, share in shares.items()
    }


def overload(bench: Bench, jobs: Jobs) -> None:
    """Calls begin at 5 times the peak, whatever becomes of them."""
    child, _ = bench.house.servers["vault"]
    loads = {"1 token": jobs.detok[1], "100 tokens": jobs.detok[100]}
    rows: dict[str, Any] = {}
    for name, load in loads.items():
        peak = bench.run(at(load, 64), bench.size.overload_s / 2)
        before = resident_bytes(child.pid)
        job = dataclasses.replace(
            load,
            rate=_OVERLOAD * calls_per_s(peak),
            connections=_MANY_CONNECTIONS,
            deadline_s=bench.size.deadline_s,
        )
        # The first second fills queues and caches; what follows has to hold.
        storm = bench.run(job, bench.size.overload_s, warm=bench.size.overload_s / 4, lenient=True)
        bench.settle(_CALM_S)
        time.sleep(_CALM_AFTER_S)
        after = resident_bytes(child.pid)
        rows[name] = {
            "peak_calls_per_s": round(calls_per_s(peak), 1),
            "offered_calls_per_s": round(job.rate or 0.0, 1),
            "good_calls_per_s": round(calls_per_s(storm), 1),
            "goodput": round(calls_per_s(storm) / calls_per_s(peak), 3),
            "statuses": storm.statuses,
            "unsent": storm.unsent,
            "good_p99_ms": round(storm.p99_ms, 1),
            "refused_p50_ms": round(storm.other_p50_ms, 1),
            "refused_p99_ms": round(storm.other_p99_ms, 1),
            "memory_grown_mb": round((after - before) / _MB, 1),
            "cpu_s": {part: round(seconds, 2) for part, seconds in storm.cpu.items()},
        }
    bench.ratios["overload_goodput"] = rows["1 token"]["goodput"]
    bench.scenarios["overload, 5 times the peak"] = rows


def workers(bench: Bench, jobs: Jobs) -> None:
    """Two worker processes against one. None where the service has no such option.

    The tree is grown by the first service of the run, for both.
    """
    bench.ratios["workers2_vs_1"] = None
    if "workers" not in {field.name for field in dataclasses.fields(ServerConfig)}:
        bench.notes.append("workers2_vs_1: this build has no `server.workers`")
        return
    found: dict[int, Path] = {}
    for count in (1, 2):
        changes = SETTINGS | {
            "server": {"workers": count},
            "audit": {"sequencer": False},
        }
        path = bench.house.config(f"workers{count}", changes)
        found[count] = path
    one, two = (_serving(bench, f"workers{count}", path) for count, path in found.items())
    with one, two:
        # Each worker has a cache of its own: several connections, so that both are met.
        warm(bench, jobs, "workers1")
        warm(bench, jobs, "workers2", connections=_MANY_CONNECTIONS)
        loads = {
            f"{count} worker(s)": dataclasses.replace(
                jobs.detok[1], server=f"workers{count}", connections=_MANY_CONNECTIONS
            )
            for count in (1, 2)
        }
        reports = bench.rounds(loads)
    bench.keep("workers", reports)
    bench.ratio("workers2_vs_1", reports["2 worker(s)"], reports["1 worker(s)"])


class _serving:  # noqa: N801 - used like a function
    """`pdvault serve` with a configuration, as a server of the house while the block runs."""

    def __init__(self, bench: Bench, name: str, config: Path) -> None:
        self._bench = bench
        self._name = name
        self._config = config

        self._child = _serve(bench, name, config)

    def __enter__(self) -> None:
        house = self._bench.house
        port = port_of(self._config)
        until = time.monotonic() + 60
        while not holds_port(self._child.pid, port):
            if not self._child.is_running or time.monotonic() > until:
                self._child.stop()
                raise AssertionError(self._child.log.read_text())
            time.sleep(0.02)
        house.servers[self._name] = (self._child, port)

    def __exit__(self, *_: object) -> None:
        self._bench.house.forget(self._name)
        self._child.stop()


def memory(bench: Bench, orders: list[Order]) -> None:
    """What a connection and a cached key take, in a service of its own."""
    house = bench.house
    count = bench.size.connections
    changes = {"cache": {"max_entries": 1_000_000}, "audit": {"sequencer": False}}
    people = house.store(orders)
    pool = Pools(house.pools).detokenize_subjects("memory", people, min(500, len(people)))
    one = Pools(house.pools, seed=8).detokenize("memory-one", people[:1], 5)
    with house.vault("memory", changes):
        child, _ = house.servers["memory"]
        single = Job("memory", one, 8)
        bench.run(single, 0.3)
        before = resident_bytes(child.pid)
        bench.run(dataclasses.replace(single, connections=count), 0.3)
        connected = resident_bytes(child.pid)
        # Each key once, in order: 500 subjects a call.
        _touch(bench, pool, people)
        cached = resident_bytes(child.pid)
    bench.scenarios["memory"] = {
        "kb_per_connection": round((connected - before) / max(1, count - 4) / 1024, 1),
        "mb_per_million_keys": round((cached - connected) / len(people) * 1e6 / _MB, 1),
        "connections": count,
        "keys": len(people),
        "fresh_service_mb": round(before / _MB, 1),
    }


def _touch(bench: Bench, pool: Path, people: list[Order]) -> None:
    calls = max(1, len(people) // 500)
    bench.run(Job("memory", pool, 2), 0.15 * calls + 0.2)


def start_up(bench: Bench) -> None:
    """From the start of `pdvault serve` to its open port."""
    path = bench.house.config("start", {"audit": {"sequencer": False}})
    port = port_of(path)
    times = [
        start_seconds(lambda: _serve(bench, "start", path), lambda: is_open(port))
        for _ in range(bench.size.starts)
    ]
    bench.scenarios["start-up"] = {"seconds": round(statistics.median(times), 3)}


def _serve(bench: Bench, name: str, path: Path) -> Child:
    return Child(name, ("vault", "serve", "--config", str(path)), bench.house.folder)


def port_of(config: Path) -> int:
    for line in config.read_text().splitlines():
        if line.startswith("port = "):
            return int(json.loads(line.removeprefix("port = ")))
    raise AssertionError(config)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def machine() -> dict[str, object]:
    """What the run ran on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": Path("/proc/loadavg").read_text().split()[0],
        "python": sys.version.split()[0],
        "pdvault": __version__,
        "grpcio": grpc.__version__,
        "asyncpg": asyncpg.__version__,
        "cryptography": cryptography.__version__,
    }
