"""Scenarios of reading: one field, an order, a hundred fields; rivals; latency; the matrix."""

import dataclasses
from pathlib import Path

from tests.bench.dataset import Order, Pools
from tests.bench.house import RIVAL_KEY
from tests.bench.measure import Bench, Job, at, calls_per_s, median_ratio, p50

_SIZES = (1, 5, 100)


@dataclasses.dataclass(frozen=True, slots=True)
class Jobs:
    """The loads that several scenarios use."""

    detok: dict[int, Job]
    floor: dict[int, Job]
    transit: dict[int, Job]
    tok_known: Job
    tok_new: Job
    subjects: Job
    mixed: Job
    touch: Job


def make_jobs(bench: Bench, orders: list[Order]) -> Jobs:
    """Writes every pool."""
    pools = Pools(bench.house.pools)
    house = bench.house
    sealed = house.seal_in_transit([value for order in orders[:400] for value in order.values])
    path = f"/v1/transit/decrypt/{RIVAL_KEY}"
    headers = f"X-Vault-Token: {house.transit_token()}\r\nX-Vault-Request: true\r\n"

    def transit(per_call: int) -> Path:
        return pools.transit(f"transit{per_call}", sealed, per_call, path, headers)

    detok = {size: pools.detokenize(f"detok{size}", orders, size) for size in _SIZES}
    known = pools.tokenize("tok5-known", orders, subjects=1, new=False)
    new = pools.tokenize("tok5-new", orders, subjects=1, new=True)
    many = pools.detokenize_subjects("subjects", orders, 100)
    mixed = pools.detokenize("mixed", orders, 5, mixed=True)
    return Jobs(
        detok={size: Job("vault", pool, 32) for size, pool in detok.items()},
        floor={size: Job("floor", pool, 32) for size, pool in detok.items()},
        transit={size: Job("transit", transit(size), 32) for size in _SIZES},
        tok_known=Job.tokenize("vault", known, 32),
        tok_new=Job.tokenize("vault", new, 32),
        subjects=Job("vault", many, 8),
        mixed=Job("vault", mixed, 32),
        touch=Job("vault", pools.touch(orders), 2),
    )


def warm(bench: Bench, jobs: Jobs, server: str, connections: int = 0) -> None:
    """Brings the keys of every consumer into a service's memory."""
    job = dataclasses.replace(jobs.touch, server=server, connections=connections)
    calls, wanted = 0, 2 * (1 + bench.size.orders // 100) * max(1, connections)
    while calls < wanted:
        calls += bench.run(job, max(0.1, bench.size.slice_s / 2)).good


def singles(bench: Bench, jobs: Jobs) -> None:
    """One token a call, 32 callers: this service, the floor, Transit."""
    found = bench.rounds(
        {"vault": jobs.detok[1], "floor": jobs.floor[1], "transit": jobs.transit[1]}
    )
    bench.keep("detokenise 1, 32 callers", found)
    bench.ratio("detok1_vs_floor", found["vault"], found["floor"])
    bench.ratio("detok1_vs_transit", found["vault"], found["transit"])


def hundreds(bench: Bench, jobs: Jobs) -> None:
    """100 tokens a call (20 orders), 8 callers."""
    found = bench.rounds(
        {
            "vault": at(jobs.detok[100], 8),
            "floor": at(jobs.floor[100], 8),
            "transit batch": at(jobs.transit[100], 8),
        }
    )
    bench.keep("detokenise 100, 8 callers", found)
    bench.ratio("detok100_vs_floor", found["vault"], found["floor"])


def orders_of_five(bench: Bench, jobs: Jobs) -> None:
    """An order of five fields: read, written for a known and for a new subject."""
    found = bench.rounds(
        {
            "vault": jobs.detok[5],
            "floor": jobs.floor[5],
            "transit one by one": jobs.transit[1],
            "transit batch": jobs.transit[5],
            "tokenise, known": jobs.tok_known,
            "tokenise, new": jobs.tok_new,
        }
    )
    bench.keep("order of 5 fields, 32 callers", found)
    bench.ratio("detok5_vs_transit", found["vault"], found["transit one by one"])
    bench.ratio("tok5_vs_detok5", found["tokenise, known"], found["vault"])
    extra = bench.scenarios["order of 5 fields, 32 callers"]
    extra["detok5_vs_transit_batch"] = round(
        median_ratio(found["vault"], found["transit batch"], calls_per_s), 3
    )


def latency(bench: Bench, jobs: Jobs) -> None:
    """One caller, one token, everything warm."""
    found = bench.rounds(
        {"vault": at(jobs.detok[1], 1), "floor": at(jobs.floor[1], 1)},
        seconds=bench.size.slice_s * 0.75,
    )
    bench.keep("one caller, 1 token", found)
    bench.ratio("p50_vs_floor", found["vault"], found["floor"], p50)


def matrix(bench: Bench, jobs: Jobs) -> None:
    """1, 5, 100 tokens by 1, 16, 64 callers, keys in memory and never in memory."""
    seconds = bench.size.matrix_s

    def fill(server: str, scenario: str) -> None:
        for size in _SIZES:
            for callers in bench.size.matrix_callers:
                job = dataclasses.replace(jobs.detok[size], server=server, callers=callers)
                name = f"{size} x {callers}"
                bench.keep(scenario, {name: [bench.run(job, seconds)]})

    fill("vault", "matrix, keys cached")
    # A cache of one key, used once: every call has every key unwrapped by Transit.
    uncached = {"cache": {"max_entries": 1, "max_uses": 1}, "audit": {"sequencer": False}}
    with bench.house.vault("uncached", uncached):
        fill("uncached", "matrix, keys not cached")


def shapes(bench: Bench, jobs: Jobs) -> None:
    """Many subjects in a call; one field of five refused."""
    found = bench.rounds({"100 subjects, 8 callers": jobs.subjects}, rounds=2)
    found |= bench.rounds({"one of 5 refused, 32 callers": jobs.mixed}, rounds=2)
    bench.keep("shapes", found)
