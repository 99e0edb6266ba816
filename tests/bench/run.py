"""One run: the house, the data, then every scenario in turn."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import cost, reveal, writing
from tests.bench.dataset import Order, make_orders
from tests.bench.flame import Flame, flame_svg, fold, read_spans
from tests.bench.growth import entry_sizes, grow
from tests.bench.house import House
from tests.bench.measure import SETTINGS, Bench, Job, Size, at
from tests.bench.report import GOALS
from tests.bench.reveal import Jobs
from vault.telemetry import names

Scenario = Callable[[Bench, Jobs, list[Order]], object]

SCENARIOS: Mapping[str, Scenario] = {
    "singles": lambda bench, jobs, _: reveal.singles(bench, jobs),
    "hundreds": lambda bench, jobs, _: reveal.hundreds(bench, jobs),
    "orders": lambda bench, jobs, _: reveal.orders_of_five(bench, jobs),
    "latency": lambda bench, jobs, _: reveal.latency(bench, jobs),
    "bulk": lambda bench, _, orders: writing.bulk(bench, orders),
    "observability": lambda bench, jobs, _: cost.observability(bench, jobs),
    "overload": lambda bench, jobs, _: cost.overload(bench, jobs),
    "workers": lambda bench, jobs, _: cost.workers(bench, jobs),
    "matrix": lambda bench, jobs, _: reveal.matrix(bench, jobs),
    "shapes": lambda bench, jobs, _: reveal.shapes(bench, jobs),
    "memory": lambda bench, _, __: cost.memory(bench, make_orders(bench.size.keys, seed=3)),
    "start": lambda bench, _, __: cost.start_up(bench),
    "log": lambda bench, _, __: entry_sizes(bench),
    "rewrap": lambda bench, jobs, _: writing.rewrap(bench, jobs),
}


def measure(
    size: Size,
    folder: Path,
    *,
    say: Callable[[str], None],
    only: Sequence[str] | None = None,
    tokens: int = 0,
) -> tuple[dict[str, Any], str]:
    """Runs the scenarios.

    Args:
        size: how much of each.
        folder: a private one, for the servers' state.
        say: told what begins.
        only: names of scenarios; none: all.
        tokens: how many `growth` goes up to; 0: leave it out.

    Returns:
        What `latest.json` holds (but for time and commit), and the flame chart.

    Raises:
        SliceError: an answer was wrong.
        ChildError: a server or the client ended.
    """
    machine = cost.machine()
    with House(folder / "house", say=say) as house:
        house.start_vault("vault", SETTINGS)
        house.start_floor()
        bench = Bench(house, size)
        say(f"storing {size.orders} orders of 5 fields")
        orders = house.store(make_orders(size.orders))
        house.fill_floor(orders)
        jobs = reveal.make_jobs(bench, orders)
        reveal.warm(bench, jobs, "vault")
        wanted = {name: SCENARIOS[name] for name in only or SCENARIOS}
        for number, (name, scenario) in enumerate(wanted.items(), start=1):
            say(f"{number}/{len(wanted)} {name}")
            scenario(bench, jobs, orders)
        flames = [] if only else _flames(bench, jobs)
        if tokens:
            say(f"growth to {tokens:,} tokens")
            grow(bench, tokens)
        if size.soak_s:
            say(f"soak, {size.soak_s:.0f} s")
            writing.soak(bench, jobs)
    bench.notes.append("consent: this build has no register of consents, so that none was checked")
    return {
        "size": size.name,
        "machine": machine,
        "ratios": {goal.name: bench.ratios.get(goal.name) for goal in GOALS},
        "scenarios": bench.scenarios,
        "stages": {flame.name: flame.as_json() for flame in flames},
        "checked": bench.checked,
        "calls": bench.calls,
        "notes": bench.notes,
    }, flame_svg("Where the time of a call goes", flames) if flames else ""


def _flames(bench: Bench, jobs: Jobs) -> list[Flame]:
    """A slice of each kind, and what its spans say."""
    flames = []
    kinds: Sequence[tuple[str, Job, str]] = (
        ("detokenise 1, one caller", at(jobs.detok[1], 1), names.RPC_DETOKENIZE),
        ("detokenise 1, 32 callers", jobs.detok[1], names.RPC_DETOKENIZE),
        ("detokenise 5, 32 callers", jobs.detok[5], names.RPC_DETOKENIZE),
        ("detokenise 100, 8 callers", at(jobs.detok[100], 8), names.RPC_DETOKENIZE),
        ("tokenise 5, known subject, 32 callers", jobs.tok_known, names.RPC_TOKENIZE),
        ("tokenise 5, new subject, 32 callers", jobs.tok_new, names.RPC_TOKENIZE),
    )
    for name, job, rpc in kinds:
        bench.say(f"spans: {name}")
        bench.settle()
        since = time.time_ns()
        bench.run(job, bench.size.matrix_s)
        until = time.time_ns()
        time.sleep(min(0.3, 2 * bench.size.matrix_s))  # the exporter is behind the calls
        spans = read_spans(bench.house.span_file(job.server), since, until)
        flames.append(fold(name, spans, rpc))
    return flames
