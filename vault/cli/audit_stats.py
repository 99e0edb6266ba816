"""`pdvault audit stats`: how many accesses, as bars in the terminal or as an SVG file."""

import argparse
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from rich.text import Text

from vault.cli.audit_words import short_caller
from vault.cli.bar_svg import Bar, Series, bars_svg, columns_svg
from vault.cli.connection import connect
from vault.cli.output import DONE, emit, emit_json, printable, say
from vault.cli.tables import console
from vault.client import AccessCount, Verdict

SERIES = (
    Series("ALLOWED", "#2e7d5b"),
    Series("REFUSED", "#e0a030"),
    Series("INVALID", "#9aa5b1"),
    Series("FAILED", "#b3261e"),
)
_STYLES = {"ALLOWED": "green", "REFUSED": "yellow", "INVALID": "bright_black", "FAILED": "red"}
_MARKS = {"ALLOWED": "█", "REFUSED": "▓", "INVALID": "░", "FAILED": "▒"}
_DAY = dt.timedelta(days=1)
_HOUR = dt.timedelta(hours=1)
_BAR_WIDTH = 40
_MAX_NAME = 44
_MAX_HOURS = 24 * 31
"""Hours without accesses are drawn as gaps up to this length; beyond, only those that have some."""


def stats(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError, OSError."""
    until = args.until or dt.datetime.now(dt.UTC)
    since = args.since or until - _DAY
    with connect(args) as vault:
        counts = vault.get_stats(since, until, case=args.case or "", case_id=args.case_id or "")
    bars = gather(counts, args.by)
    if args.svg:
        draw = columns_svg if args.by == "hour" else bars_svg
        total = sum(bar.total for bar in bars)
        said = f"{total:,} entries, {_time(since)} to {_time(until)} UTC"
        args.svg.write_text(draw(f"Accesses by {args.by}", said, SERIES, bars), encoding="utf-8")
        say(f"{args.svg}: {len(bars)} bars")
    if args.json:
        for bar in bars:
            emit_json({args.by: bar.name, "entries": bar.total, "verdicts": dict(bar.counts)})
    elif bars:
        _show(bars)
    else:
        say("no entries")
    return DONE


def gather(counts: Iterable[AccessCount], by: str) -> list[Bar]:
    """The counts as bars: hours in their order, everything else by size."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    hours = set()
    for count in counts:
        name = {
            "caller": short_caller(count.caller) or "not established",
            "purpose": count.purpose or "none",
            "verdict": count.verdict.name,
            "hour": f"{count.hour:%Y-%m-%d %H:00}",
        }[by]
        hours.add(count.hour)
        sums[name][_series(count.verdict)] += count.entries
    if by == "hour" and hours and (max(hours) - min(hours)) / _HOUR <= _MAX_HOURS:
        hour = min(hours)
        while hour <= max(hours):
            sums[f"{hour:%Y-%m-%d %H:00}"].update({})
            hour += _HOUR
    bars = [Bar(name, dict(parts)) for name, parts in sums.items()]
    return sorted(bars, key=lambda bar: bar.name if by == "hour" else (-bar.total, bar.name))


def _series(verdict: Verdict) -> str:
    return (verdict or Verdict.FAILED).name


def _show(bars: Sequence[Bar]) -> None:
    most = max(bar.total for bar in bars) or 1
    width = min(_MAX_NAME, max(len(bar.name) for bar in bars))
    out = console()
    for bar in bars:
        line = Text(f"{printable(bar.name)[-width:]:<{width}}  ")
        for series in SERIES:
            count = bar.counts.get(series.name, 0)
            length = max(1, round(count * _BAR_WIDTH / most)) if count else 0
            line.append(_MARKS[series.name] * length, style=_STYLES[series.name])
        line.append(f" {bar.total:,}")
        out.print(line, soft_wrap=True)
    used = [one.name for one in SERIES if any(bar.counts.get(one.name) for bar in bars)]
    emit("")
    emit("  ".join(f"{_MARKS[name]} {name.lower()}" for name in used))


def _time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")
