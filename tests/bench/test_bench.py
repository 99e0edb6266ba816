"""Every scenario of the benchmark, as small as it gets: is the outcome right? Never how fast."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.children import ROOT
from tests.bench.dataset import Pools
from tests.bench.flame import fold
from tests.bench.house import House
from tests.bench.measure import Bench, Job, Size, SliceError
from tests.bench.report import GOALS, Goal
from tests.bench.run import measure

TINY = Size(
    "tiny",
    orders=20,
    rounds=1,
    slice_s=0.12,
    warm_s=0.05,
    matrix_s=0.1,
    overload_s=0.3,
    keys=40,
    connections=6,
    starts=1,
    check_every=1,
    settle_s=0.0,
    deadline_s=0.3,
    matrix_callers=(2,),
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], str, list[str]]:
    """A whole run, its flame chart, and what it said on the way."""
    said: list[str] = []
    folder = tmp_path_factory.mktemp("bench")
    folder.chmod(0o700)
    result, flame = measure(TINY, folder, say=said.append, tokens=400)
    return result, flame, said


def test_every_ratio_has_its_name_and_a_value(outcome) -> None:
    result, _, _ = outcome

    assert {goal.name for goal in GOALS} == set(result["ratios"])
    missing = {name for name, value in result["ratios"].items() if value is None}
    assert set() == missing
    noisy = {"observability_cost", "overload_goodput"}  # so short, they may be anything
    assert all(result["ratios"][name] > 0 for name in result["ratios"].keys() - noisy)


def test_what_the_servers_answered_was_compared_with_what_was_stored(outcome) -> None:
    """A wrong or failed answer ends a run; here every answer is compared."""
    result, _, _ = outcome

    assert result["checked"] > 500


def test_every_call_left_its_entries(outcome) -> None:
    result, _, _ = outcome

    assert result["scenarios"]["log"]["entries"] >= result["calls"]["vault"] > 0


def test_the_spans_give_the_stages_of_every_kind_of_call(outcome) -> None:
    result, flame, _ = outcome

    for kind, stages in result["stages"].items():
        assert stages["calls"] > 0, kind
        assert {"identify", "decode", "policy", "reply"} <= stages["stages_us"].keys(), kind
    assert flame.startswith("<svg")
    assert "postgres.commit" in flame


def test_results_are_written_and_the_page_is_refreshed(outcome, tmp_path: Path) -> None:
    result, _, _ = outcome
    result = result | {"at": "2026-01-02T03:04:05+00:00", "commit": "abc", "busy": True}
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")

    report.write_json(tmp_path / "latest.json", result)
    report.refresh_page(page, result)
    report.append_history(tmp_path / "history.jsonl", result)

    assert result["ratios"] == json.loads((tmp_path / "latest.json").read_text())["ratios"]
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert all(f"`{goal.name}`" in text for goal in GOALS)
    assert 1 == len((tmp_path / "history.jsonl").read_text().splitlines())
    assert report.ratios_svg(result).startswith("<svg")


def test_a_wrong_answer_ends_the_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with House(tmp_path / "house", say=lambda _: None) as house:
        bench = Bench(house, TINY)
        api = house.seal_in_transit(["a value"])
        pools = Pools(house.pools)
        headers = f"X-Vault-Token: {house.transit_token()}\r\n"
        lie = [(api[0][0], "another value")]
        pool = pools.transit("lie", lie, 1, "/v1/transit/decrypt/pdv-bench", headers)

        with pytest.raises(SliceError, match="answers wrong"):
            bench.run(Job("transit", pool, 1), 0.1)


def test_goals_are_judged_by_their_bound() -> None:
    assert "met" == Goal("a", "", at_least=1.0).mark(1.0)
    assert "missed" == Goal("a", "", at_least=1.0).mark(0.99)
    assert "met" == Goal("a", "", at_most=0.2).mark(-0.1)
    assert "missed" == Goal("a", "", at_most=0.2).mark(0.3)
    assert "reported" == Goal("a", "").mark(3.0)
    assert "not run" == Goal("a", "", at_least=1.0).mark(None)


def test_spans_fold_into_means() -> None:
    def span(name: str, kind: str, ids: tuple[str, str | None], times: tuple[int, int], links=()):
        return {
            "name": name, "kind": kind, "trace_id": "t", "span_id": ids[0], "parent_id": ids[1],
            "start_ns": times[0], "end_ns": times[1], "links": list(links),
        }  # fmt: skip

    spans = [
        span("rpc", "SERVER", ("1", None), (0, 10_000)),
        span("load", "INTERNAL", ("2", "1"), (0, 4_000), [["t", "9"]]),
        span("open", "INTERNAL", ("3", "1"), (4_000, 10_000)),
        span("trip", "CLIENT", ("9", None), (1_000, 3_000)),
    ]

    flame = fold("name", spans, "rpc")

    assert (1, 10.0) == (flame.calls, flame.total_us)
    assert (("load", 4.0, {"trip": 2.0}), ("open", 6.0, {})) == flame.stages


def test_the_command_knows_its_scenarios() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode
    assert "--record" in done.stdout
