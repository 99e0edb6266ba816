"""Where a call's time goes, from the service's own spans, as a flame chart (SVG).

Averages over the calls of a slice: the call, below it its stages, below these the round trips
that served them. A shared trip is drawn as long as it took, for each stage that waited for it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from vault.telemetry.span_file import parse_line

_WIDTH = 960
_ROW = 22
_LEFT = 24
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#eeca3b")
_FONT = "font-family='system-ui, DejaVu Sans, Noto Sans CJK SC, sans-serif'"


@dataclass(frozen=True, slots=True)
class Flame:
    """The averages of one kind of call, microseconds.

    Attributes:
        stages: name, mean time, and the mean length of the trips that served it by their name.
    """

    name: str
    calls: int
    total_us: float
    stages: tuple[tuple[str, float, Mapping[str, float]], ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "total_us": round(self.total_us, 1),
            "stages_us": {name: round(mean, 1) for name, mean, _ in self.stages},
            "trips_us": {
                trip: round(mean, 1) for _, _, trips in self.stages for trip, mean in trips.items()
            },
        }


def fold(name: str, spans: Sequence[Mapping[str, Any]], rpc: str) -> Flame:
    """Averages the calls of `rpc` among these spans."""
    calls = {span["span_id"]: span for span in spans if span["name"] == rpc}
    trips = {
        (span["trace_id"], span["span_id"]): span for span in spans if span["kind"] == "CLIENT"
    }
    by_parent = {
        (span["trace_id"], span["parent_id"]): span
        for span in trips.values()
        if span["parent_id"] is not None
    }
    total = sum(span["end_ns"] - span["start_ns"] for span in calls.values()) / 1000
    times: dict[str, float] = defaultdict(float)
    waits: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for span in spans:
        if span["kind"] != "INTERNAL" or span["parent_id"] not in calls:
            continue
        stage = span["name"]
        times[stage] += (span["end_ns"] - span["start_ns"]) / 1000
        served = [trips[link] for link in map(tuple, span["links"]) if link in trips]
        alone = by_parent.get((span["trace_id"], span["span_id"]))
        for trip in [*served, *([alone] if alone else [])]:
            waits[stage][trip["name"]] += (trip["end_ns"] - trip["start_ns"]) / 1000
    count = max(1, len(calls))
    return Flame(
        name,
        len(calls),
        total / count,
        tuple(
            (stage, spent / count, {trip: each / count for trip, each in waits[stage].items()})
            for stage, spent in times.items()
        ),
    )


_BEGAN = re.compile(r'"start_ns": ?([0-9]+)')


def read_spans(path: Path, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """The spans that began within a time, of the file and of the one before it."""
    return [
        span
        for file in (path.with_name(path.name + ".1"), path)
        for span in _lines(file, since_ns)
        if since_ns <= span["start_ns"] <= until_ns
    ]


def _lines(path: Path, since_ns: int) -> Iterator[dict[str, Any]]:
    """The spans of lines that began since then."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            began = _BEGAN.search(line)  # most lines are older, and parsing one takes long
            if began and int(began[1]) >= since_ns:
                yield from map(asdict, parse_line(line))  # none from one just being written


def flame_svg(title: str, flames: Sequence[Flame]) -> str:
    """All charts below each other, each to its own scale."""
    names = list(dict.fromkeys(stage for flame in flames for stage, _, _ in flame.stages))
    colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(names)}
    height = 50 + len(flames) * (4 * _ROW + 26)
    parts = [
        (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' "
            f"width='{_WIDTH}' height='{height}' {_FONT} font-size='12' fill='#222'>"
            f"<title>{escape(title)}</title><rect width='100%' height='100%' fill='#fff'/>"
            f"<text x='{_LEFT}' y='26' font-size='17' font-weight='600'>{escape(title)}</text>"
        )
    ]
    y = 50.0
    for flame in flames:
        said = f"{flame.name}: {flame.total_us:,.0f} µs a call, {flame.calls:,} calls"
        parts.append(f"<text x='{_LEFT}' y='{y + 12:.0f}' font-weight='600'>{escape(said)}</text>")
        y += _ROW
        room = _WIDTH - 2 * _LEFT
        scale = room / (flame.total_us or 1.0)
        parts.append(_box(_LEFT, y, room, "#d9d9d9", name=flame.name, spent=flame.total_us))
        x = float(_LEFT)
        for stage, spent, trips in flame.stages:
            width = spent * scale
            parts.append(_box(x, y + _ROW, width, colours[stage], name=stage, spent=spent))
            below = x
            for trip, waited in trips.items():
                long = min(waited * scale, max(0.0, x + width - below))
                parts.append(_box(below, y + 2 * _ROW, long, "#bab0ac", name=trip, spent=waited))
                below += long
            x += width
        y += 3 * _ROW + 26
    return "\n".join((*parts, "</svg>")) + "\n"


def _box(x: float, y: float, width: float, colour: str, *, name: str, spent: float) -> str:
    said = f"{name} {spent:,.0f} µs"
    label = said if width > 7.0 * len(said) else name if width > 7.0 * len(name) else ""
    return (
        f"<g><title>{escape(said)}</title>"
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(0.5, width):.1f}' height='{_ROW - 2}' "
        f"fill='{colour}' stroke='#fff' stroke-width='0.5'/>"
        f"<text x='{x + 4:.1f}' y='{y + 14:.1f}'>{escape(label)}</text></g>"
    )
