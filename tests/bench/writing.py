"""Scenarios of writing and of long runs: bulk against COPY, rewrap under load, soak."""

import statistics
import time
from dataclasses import replace

import grpc

from tests.bench.children import Child
from tests.bench.dataset import FIELD_TYPES, Order, Pools
from tests.bench.measure import Bench, Job, at, calls_per_s, items_per_s
from tests.bench.reveal import Jobs
from tests.bench.usage import resident_bytes
from vault.embedded.postgres import OWNER
from vault.v1 import keys_pb2, keys_pb2_grpc

BULK_SUBJECTS = 500
_BULK_WRITERS = 4
_REWRAPS_PER_S = 1_000_000
"""No throttle: the worst that a rotation can do to its neighbours."""
_MOST_SLICES = 40
_MOVES = "rewrap"
"""The phase of the rotation in which rows are moved."""
_MB = 1024 * 1024


def bulk(bench: Bench, orders: list[Order]) -> None:
    """500 new subjects a call with five fields each, against COPY of the same in cleartext."""
    pools = Pools(bench.house.pools)
    subjects = BULK_SUBJECTS if bench.size.name != "tiny" else 20
    pool = pools.tokenize("bulk", orders, subjects=subjects, new=True)
    job = replace(Job.tokenize("vault", pool, _BULK_WRITERS), deadline_s=60.0)
    order = {
        "url": bench.house.instance.postgres.url(OWNER),
        "writers": _BULK_WRITERS,
        "rows": subjects * len(FIELD_TYPES),
        "seconds": bench.size.slice_s,
        "warm": bench.size.warm_s,
    }
    ratios, vault, copied = [], [], []
    with Child("copy", ("tests.bench.copy_client",), bench.house.folder) as child:
        for _ in range(bench.size.rounds):
            report = bench.run(job, bench.size.slice_s * 1.5)
            bench.settle()
            answer = child.ask(order, 60)
            vault.append(report)
            copied.append(answer["rows"] / answer["seconds"] / len(FIELD_TYPES))
            ratios.append(items_per_s(report) / len(FIELD_TYPES) / (copied[-1] or 1))
    bench.ratios["bulk_vs_copy"] = statistics.median(ratios)
    bench.keep(f"bulk, {subjects} new subjects a call", {"vault": vault})
    bench.scenarios[f"bulk, {subjects} new subjects a call"] |= {
        "orders_per_s": round(statistics.median(items_per_s(r) / 5 for r in vault), 1),
        "copy_orders_per_s": round(statistics.median(copied), 1),
    }


def rewrap(bench: Bench, jobs: Jobs) -> None:
    """Reading while a custodian rotates the root key and every subject key is rewrapped."""
    seconds = bench.size.slice_s
    load = at(jobs.detok[5], 16)
    before = [bench.run(load, seconds) for _ in range(bench.size.rounds)]
    with bench.house.channel("custodian-1") as channel:
        stub = keys_pb2_grpc.KeyServiceStub(channel)
        wanted = keys_pb2.RotateKeyRequest(
            kind=keys_pb2.KEY_KIND_ROOT, cause="scheduled", rows_per_second=_REWRAPS_PER_S
        )
        began = time.monotonic()
        try:
            started: keys_pb2.RotateKeyResponse = stub.RotateKey(wanted, timeout=30)
        except grpc.RpcError as error:
            bench.notes.append(f"rewrap under load: RotateKey answers {error.code().name}")
            return
        during, job = [], started.job
        while job.phase in ("", _MOVES) and len(during) < _MOST_SLICES:
            during.append(bench.run(load, seconds, settled=False))
            found: keys_pb2.ListJobsResponse = stub.ListJobs(keys_pb2.ListJobsRequest())
            job = next(each for each in found.jobs if each.job_id == job.job_id)
        took = time.monotonic() - began
    bench.keep("rewrap", {"before": before, "during": during})
    # What is left of the rotation only waits; the seconds are as fine as a slice.
    bench.scenarios["rewrap"] |= {
        "rows": job.rows_done,
        "rows_per_s": round(job.rows_done / took, 1),
        "reading_during_vs_before": round(
            statistics.median(map(calls_per_s, during))
            / statistics.median(map(calls_per_s, before)),
            3,
        ),
    }


def soak(bench: Bench, jobs: Jobs) -> None:
    """Orders read and written for long: the rate of the first and the last tenth, and memory."""
    child, _ = bench.house.servers["vault"]
    part = bench.size.soak_s / 20
    rates, memory = [], []
    until = time.monotonic() + bench.size.soak_s
    while time.monotonic() < until:
        read = bench.run(jobs.detok[5], part)
        bench.run(jobs.tok_known, part)
        rates.append(calls_per_s(read))
        memory.append(resident_bytes(child.pid) / _MB)
    edge = max(1, len(rates) // 10)
    bench.scenarios["soak"] = {
        "seconds": bench.size.soak_s,
        "last_tenth_vs_first": round(
            statistics.median(rates[-edge:]) / statistics.median(rates[:edge]), 3
        ),
        "memory_mb_first_last": [round(memory[0], 1), round(memory[-1], 1)],
    }
