"""Stacked bars as an SVG file, by hand. Pure.

Horizontal bars with their names at the left, or columns over time. Texts are escaped; colours
differ in lightness too, so that print and colour-blind readers keep them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 960
_ROW = 26
_BAR = 18
_TOP = 84
_LEFT = 300
_RIGHT = 70
_COLUMNS_HEIGHT = 300
_MAX_STEP = 60
_MAX_LABELS = 12
_FONT = "font-family='system-ui, DejaVu Sans, Noto Sans CJK SC, sans-serif'"


@dataclass(frozen=True, slots=True)
class Series:
    """A part of each bar: its name in the legend, and its colour."""

    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar; `counts` by the name of the series."""

    name: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def bars_svg(title: str, subtitle: str, series: Sequence[Series], bars: Sequence[Bar]) -> str:
    """Horizontal bars, in the order given."""
    height = _TOP + _ROW * max(1, len(bars)) + 24
    most = max((bar.total for bar in bars), default=0) or 1
    room = _WIDTH - _LEFT - _RIGHT
    parts = [_head(height, title, subtitle, series)]
    for row, bar in enumerate(bars):
        y = _TOP + row * _ROW
        middle = y + _BAR / 2 + 5
        parts.append(_text(_LEFT - 10, middle, _cut(bar.name), "end"))
        x = float(_LEFT)
        for one in series:
            width = bar.counts.get(one.name, 0) * room / most
            if width:
                parts.append(_rect((x, y, width, _BAR), one, bar))
            x += width
        parts.append(_text(x + 8, middle, f"{bar.total:,}", "start"))
    return _closed(parts)


def columns_svg(title: str, subtitle: str, series: Sequence[Series], bars: Sequence[Bar]) -> str:
    """Columns from left to right, as for hours."""
    left, right, floor = 70, 24, _TOP + _COLUMNS_HEIGHT
    most = max((bar.total for bar in bars), default=0) or 1
    step = min(_MAX_STEP, (_WIDTH - left - right) / max(1, len(bars)))
    parts = [_head(floor + 64, title, subtitle, series)]
    for mark in sorted({0, most // 2, most}):
        y = floor - mark * _COLUMNS_HEIGHT / most
        parts.append(
            f"<line x1='{left}' x2='{_WIDTH - right}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>"
        )
        parts.append(_text(left - 8, y + 4, f"{mark:,}", "end"))
    every = -(-len(bars) // _MAX_LABELS) or 1
    for at, bar in enumerate(bars):
        x, y = left + at * step, float(floor)
        for one in series:
            tall = bar.counts.get(one.name, 0) * _COLUMNS_HEIGHT / most
            if tall:
                y -= tall
                parts.append(_rect((x + step * 0.1, y, step * 0.8, tall), one, bar))
        if at % every == 0:
            day, _, hour = bar.name.partition(" ")
            parts.append(_text(x + step / 2, floor + 20, hour or day, "middle"))
            if hour and (at == 0 or bars[at - every].name.partition(" ")[0] != day):
                parts.append(_text(x + step / 2, floor + 40, day, "middle"))
    return _closed(parts)


def _head(height: int, title: str, subtitle: str, series: Sequence[Series]) -> str:
    legend, x = [], 24.0
    for one in series:
        legend.append(f"<rect x='{x:.0f}' y='54' width='12' height='12' fill='{one.colour}'/>")
        legend.append(_text(x + 18, 65, one.name.lower(), "start"))
        x += 18 + 9 * len(one.name) + 24
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' "
        f"width='{_WIDTH}' height='{height}' {_FONT} font-size='13' fill='#222'>"
        f"<title>{escape(title)}</title>"
        f"<rect width='100%' height='100%' fill='#fff'/>"
        f"<text x='24' y='26' font-size='17' font-weight='600'>{escape(title)}</text>"
        f"<text x='24' y='45' fill='#666'>{escape(subtitle)}</text>" + "".join(legend)
    )


def _rect(place: tuple[float, float, float, float], series: Series, bar: Bar) -> str:
    x, y, width, height = place
    said = f"{bar.name}: {bar.counts.get(series.name, 0):,} {series.name.lower()}"
    return (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' "
        f"fill='{series.colour}'><title>{escape(said)}</title></rect>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(text)}</text>"


def _cut(name: str) -> str:
    longest = 38
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _closed(parts: Sequence[str]) -> str:
    return "\n".join((*parts, "</svg>")) + "\n"
