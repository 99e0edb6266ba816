"""What comes out: the goals, the table, the plot, `latest.json`, the page and the history."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio should be; no bound: it is only reported."""

    name: str
    what: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def words(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return f"≤ {self.at_most:g}" if self.at_most is not None else "reported"

    def mark(self, value: float | None) -> str:
        """`met`, `missed`, `reported` or `not run`."""
        if value is None:
            return "not run"
        if self.at_least is not None:
            return "met" if value >= self.at_least else "missed"
        if self.at_most is not None:
            return "met" if value <= self.at_most else "missed"
        return "reported"


GOALS = (
    Goal("detok1_vs_floor", "detokenise 1 token, 32 callers, against the floor", 1.1),
    Goal("detok100_vs_floor", "detokenise 100 tokens a call, 8 callers, against the floor", 0.8),
    Goal("detok1_vs_transit", "detokenise 1 token against Transit decrypt with audit", 0.45),
    Goal("detok5_vs_transit", "an order of 5 fields against 5 Transit calls, fields a second", 2.0),
    Goal("tok5_vs_detok5", "tokenise an order of 5, known subject, against detokenising it", 0.7),
    Goal("p50_vs_floor", "latency of one caller, warm, against the floor", at_most=1.3),
    Goal("growth", "rate with 10^7 tokens stored against 10^4", 0.8),
    Goal("bulk_vs_copy", "orders a second, 500 new subjects a call, against plain COPY", 0.1),
    Goal("observability_cost", "share of the rate for tracing and the durable log", at_most=0.2),
    Goal("overload_goodput", "goodput at 5 times the peak, of the peak", 0.8),
    Goal("workers2_vs_1", "two worker processes against one"),
)

BEGIN, END = (
    "<!-- begin of what `make bench` writes -->",
    "<!-- end of what `make bench` writes -->",
)


def print_table(result: Mapping[str, Any], console: Console) -> None:
    table = Table(title=f"pdvault bench ({result['size']})", title_justify="left")
    for column in ("ratio", "what", "goal", "value", ""):
        table.add_column(column, justify="right" if column == "value" else "left")
    colours = {"met": "green", "missed": "red"}
    for goal in GOALS:
        value = result["ratios"].get(goal.name)
        mark = goal.mark(value)
        colour = colours.get(mark, "dim")
        table.add_row(
            goal.name, goal.what, goal.words, number(value), f"[{colour}]{mark}[/{colour}]"
        )
    console.print(table)
    for note in result["notes"]:
        console.print(f"- {note}")


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def append_history(path: Path, result: Mapping[str, Any]) -> None:
    """One line for each recorded run: enough to see a regression."""
    line = {
        "at": result["at"],
        "commit": result["commit"],
        "size": result["size"],
        "busy": result["busy"],
        "machine": result["machine"],
        "ratios": result["ratios"],
        "rates": {
            scenario: {
                name: row["fields_per_s"]
                for name, row in rows.items()
                if isinstance(row, dict) and "fields_per_s" in row
            }
            for scenario, rows in result["scenarios"].items()
            if not scenario.startswith("matrix")
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as history:
        history.write(json.dumps(line, ensure_ascii=False) + "\n")


def refresh_page(page: Path, result: Mapping[str, Any]) -> None:
    """Replaces what stands between the markers.

    Raises:
        ValueError: the page has no markers.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no markers")
    page.write_text(f"{before}{BEGIN}\n{markdown(result)}{END}{after}", encoding="utf-8")


def markdown(result: Mapping[str, Any]) -> str:
    """The results as tables."""
    machine = result["machine"]
    when = dt.datetime.fromisoformat(result["at"])
    lines = [
        (
            f"{when:%d %B %Y}, commit `{result['commit']}`, {machine['cores']} cores of "
            f"{machine['cpu']}, Python {machine['python']}, grpcio {machine['grpcio']}; size "
            f"`{result['size']}`; load of the machine before the run {machine['load_before']}"
            f"{', and it was busy with other work: read ratios only' if result['busy'] else ''}."
        ),
        "",
        "| Ratio | What | Goal | Value | |",
        "|---|---|---|---|---|",
    ]
    for goal in GOALS:
        value = result["ratios"].get(goal.name)
        lines.append(
            f"| `{goal.name}` | {goal.what} | {goal.words} | {number(value)} | {goal.mark(value)} |"
        )
    lines += [
        "",
        (
            "| Scenario | Server | Calls/s | Fields/s | p50 ms | p99 ms | CPU µs a call: server, "
            "PostgreSQL, OpenBao, client | Client's share |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for scenario, rows in result["scenarios"].items():
        for name, row in rows.items():
            if isinstance(row, dict) and "cpu_us_per_call" in row:
                cpu = row["cpu_us_per_call"]
                parts = ", ".join(
                    f"{cpu.get(part, 0):,.0f}"
                    for part in ("server", "postgres", "openbao", "client")
                )
                lines.append(
                    f"| {scenario} | {name} | {row['calls_per_s']:,.0f} | "
                    f"{row['fields_per_s']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.1f} | "
                    f"{parts} | {row['client_cpu_share']:.0%} |"
                )
    lines += ["", *_others(result["scenarios"]), ""]
    lines += [f"- {note}" for note in result["notes"]] + ([""] if result["notes"] else [])
    return "\n".join(lines)


def _others(scenarios: Mapping[str, Any]) -> list[str]:
    """Figures that are no rates."""
    lines = []
    for scenario, rows in scenarios.items():
        plain = {
            name: value
            for name, value in rows.items()
            if not (isinstance(value, dict) and "cpu_us_per_call" in value)
        }
        for name, value in plain.items():
            if isinstance(value, dict):
                text = ", ".join(
                    f"{key} {each}" for key, each in value.items() if not isinstance(each, dict)
                )
            else:
                text = str(value)
            lines.append(f"- {scenario}, {name}: {text}")
    return lines


def ratios_svg(result: Mapping[str, Any]) -> str:
    """Each ratio as a bar against its goal: the line is the goal, further right is better."""
    width, left, row, top = 960, 190, 30, 70
    goals = [goal for goal in GOALS if result["ratios"].get(goal.name) is not None]
    height = top + row * len(goals) + 20
    scale = (width - left - 90) / 2  # the goal stands in the middle
    parts = [
        (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
            f"width='{width}' height='{height}' font-size='13' fill='#222' "
            "font-family='system-ui, DejaVu Sans, sans-serif'>"
            "<title>pdvault bench: ratios against their goals</title>"
            "<rect width='100%' height='100%' fill='#fff'/>"
            "<text x='24' y='26' font-size='17' font-weight='600'>Ratios against their goals</text>"
            f"<text x='24' y='46' fill='#666'>the line is the goal, right of it is better; "
            f"{escape(result['at'][:10])}, {escape(result['commit'])}</text>"
        )
    ]
    for at, goal in enumerate(goals):
        value = result["ratios"][goal.name]
        share = 1.0
        if goal.at_least is not None:
            share = value / goal.at_least
        elif goal.at_most is not None:
            share = goal.at_most / value if value > 0 else 2.0
        share = min(2.0, max(0.0, share))
        y = top + at * row
        colour = {"met": "#54a24b", "missed": "#e45756"}.get(goal.mark(value), "#4c78a8")
        parts.append(
            f"<text x='{left - 10}' y='{y + 15}' text-anchor='end'>{goal.name}</text>"
            f"<rect x='{left}' y='{y}' width='{share * scale:.1f}' height='20' fill='{colour}'/>"
            f"<text x='{left + share * scale + 6:.1f}' y='{y + 15}'>{number(value)} "
            f"({escape(goal.words)})</text>"
        )
    x = left + scale
    parts.append(
        f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{top - 6}' y2='{height - 14}' stroke='#222' "
        "stroke-dasharray='4 3'/>"
    )
    return "\n".join((*parts, "</svg>")) + "\n"
