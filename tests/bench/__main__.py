"""Measures this service against a naive floor, Transit and plain COPY, in one run.

    python -m tests.bench [--full] [--record] [--busy] [--only SCENARIO ...]

Results: a table, `build/bench/latest.json`, `ratios.svg` and `flame.svg` beside it. `--record`
adds a line to docs/bench/history.jsonl and refreshes docs/performance.md.
"""

import argparse
import datetime as dt
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.bench import report
from tests.bench.children import ROOT, ChildError
from tests.bench.measure import Size, SliceError
from tests.bench.run import SCENARIOS, measure

FAST = Size(
    "fast",
    orders=2000,
    rounds=4,
    slice_s=1.2,
    warm_s=0.25,
    matrix_s=0.8,
    overload_s=6.0,
    keys=10_000,
    connections=200,
    starts=3,
    check_every=100,
    settle_s=1.5,
)
FULL = Size(
    "full",
    orders=2000,
    rounds=9,
    slice_s=3.0,
    warm_s=0.5,
    matrix_s=2.0,
    overload_s=15.0,
    keys=100_000,
    connections=500,
    starts=5,
    check_every=100,
    growth_tokens=10_000_000,
    soak_s=600.0,
)
OUT = ROOT / "build" / "bench"
DOCS = ROOT / "docs"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="size 10^4 to 10^7 and soak as well")
    parser.add_argument("--growth", type=int, help="how many tokens `growth` goes up to")
    parser.add_argument("--record", action="store_true", help="keep the result in docs/")
    parser.add_argument("--busy", action="store_true", help="say that the machine was busy")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), help="these and no others")
    args = parser.parse_args()
    console = Console(stderr=True)
    # Also where a shell in the background had it ignored; and an end from outside is as orderly.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {text}", highlight=False)

    size = FULL if args.full else FAST
    # A private folder for the servers' state, gone at the end; their logs stay if it fails.
    folder = Path(tempfile.mkdtemp(prefix="pdvault-bench-"))
    folder.chmod(0o700)
    try:
        result, flame = measure(
            size, folder, say=say, only=args.only, tokens=args.growth or size.growth_tokens
        )
    except (SliceError, ChildError) as error:
        console.print(f"[red]{error}[/red]\nlogs: {folder}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; every server was stopped")
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    shutil.rmtree(folder, ignore_errors=True)
    result |= {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "busy": args.busy,
        "took_s": round(time.monotonic() - began, 1),
    }
    report.write_json(OUT / "latest.json", result)
    (OUT / "ratios.svg").write_text(report.ratios_svg(result), encoding="utf-8")
    if flame:
        (OUT / "flame.svg").write_text(flame, encoding="utf-8")
    if args.record:
        report.append_history(DOCS / "bench" / "history.jsonl", result)
        report.refresh_page(DOCS / "performance.md", result)
        for name in ("ratios.svg", "flame.svg"):
            if (OUT / name).exists():
                shutil.copy(OUT / name, DOCS / "bench" / name)
    report.print_table(result, Console())
    say(f"done; {result['checked']} answers compared; {(OUT / 'latest.json').relative_to(ROOT)}")
    return 0


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
