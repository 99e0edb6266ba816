"""The exposure report for an authority: one HTML file, without script, made to be printed. Pure.

What the log can answer is filled in. What only people know stands as a blank line.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from vault.audit.exposure import Exposure, Tally, moment
from vault.cli.exposure_report import Report, view_name
from vault.model import View

MOST_CONSUMERS = 1000
"""Handles on the page; the JSON report has all."""

_VIEWS = {
    View.FULL: "the whole value",
    View.MASKED: "the value with its middle hidden",
    View.COARSE: "only a category (a city, a year, a mail domain)",
    View.LAST4: "the last four characters",
}
_CSP = "default-src 'none'; style-src 'unsafe-inline'"
_BLANKS = (
    ("Organisation that handles the data", "name, registration number, address", 2),
    ("Contact for the authority and for consumers", "name, role, telephone, e-mail", 2),
    ("Data protection officer or responsible person", "name, telephone, e-mail", 1),
    ("When and how the leak was noticed", "date, time, by whom", 2),
    ("Cause", "what happened, and how it could", 4),
    ("Possible harm to the consumers", "likely consequences, how grave, for whom", 4),
    ("Remedies taken", "what was done at once, by whom, when; how effective it was", 4),
    ("What consumers can do to lessen the harm", "advice as it was or will be given", 3),
    ("Whether consumers were told", "when and how; or why that is not needed", 2),
    ("Reason, if this comes later than 72 hours after it was noticed", "", 2),
)


def page(report: Report) -> str:
    """The whole file."""
    style = files("vault.cli").joinpath("exposure.css").read_text(encoding="utf-8")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_CSP}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Exposure report</title><style>{style}</style></head><body><main>",
            *_head(report),
            *_summary(report),
            *_kinds(report),
            *_course(report),
            *_refused(report.exposure),
            *_human(),
            *_consumers(report),
            *_method(report),
            "</main></body></html>\n",
        ]
    )


def _head(report: Report) -> Iterable[str]:
    leak = report.exposure.leak
    asked = []
    if leak.callers is not None:
        asked += [("Leaked identity", caller) for caller in sorted(leak.callers)]
    if report.listed_tokens is not None:
        asked.append(("Leaked tokens", f"a list of {report.listed_tokens:,}"))
    asked.append(("From", "the beginning of the log" if leak.start is None else _time(leak.start)))
    asked.append(("Until", "this report was made" if leak.end is None else _time(leak.end)))
    asked.append(("Report made", _time(report.made_at)))
    yield "<h1>Exposure report</h1>"
    yield (
        "<p class=lead>Personal data that was revealed, for the notice of a leak to an authority "
        "(PIPL article 57; GDPR article 33). Numbers come from the audit log; "
        "<b>blank lines are to be filled in by hand.</b></p>"
    )
    yield _facts(asked)


def _summary(report: Report) -> Iterable[str]:
    exposure = report.exposure
    yield "<h2>1. How much was revealed</h2>"
    if not exposure.revealed.entries:
        yield (
            "<p class=none>Nothing. The entries that were read hold no value that was revealed "
            "under these conditions.</p>"
        )
        return
    yield "<div class=cards>"
    for number, text in (
        (exposure.consumers, "consumers concerned"),
        (exposure.data, "different pieces of data (consumer and kind)"),
        (exposure.revealed.items, "values revealed, repetitions included"),
    ):
        yield f"<div><b>{number:,}</b><span>{text}</span></div>"
    yield "</div>"
    facts = [
        ("First", _time(moment(exposure.revealed.first_us))),
        ("Last", _time(moment(exposure.revealed.last_us))),
    ]
    if report.listed_tokens is not None:
        revealed = f"{exposure.tokens_revealed:,} of {report.listed_tokens:,}"
        facts.append(("Listed tokens that were revealed", revealed))
    yield _facts(facts)


def _kinds(report: Report) -> Iterable[str]:
    exposure = report.exposure
    yield "<h2>2. What kinds of data</h2>"
    if not exposure.kinds:
        yield "<p>None.</p>"
        return
    rows = []
    for name, view in sorted(exposure.kinds):
        tally = exposure.kinds[name, view]
        label = escape(name)
        if report.sensitive.get(name):
            label += " <em>sensitive</em>"
        rows.append(
            (
                label,
                f"{view_name(view)}<small>{_VIEWS.get(view, '')}</small>",
                f"{exposure.consumers_of((name, view)):,}",
                f"{tally.items:,}",
                *_span(tally),
            )
        )
    yield _table(("Kind", "View", "Consumers", "Values", "First", "Last"), rows, numbers=(2, 3))
    views = []
    for view in sorted({kind[1] for kind in exposure.kinds}):
        kinds = [kind for kind in exposure.kinds if kind[1] is view]
        items = sum(exposure.kinds[kind].items for kind in kinds)
        views.append((view_name(view), f"{exposure.consumers_of(*kinds):,}", f"{items:,}"))
    yield "<h3>By view</h3>"
    yield _table(("View", "Consumers", "Values"), views, numbers=(1, 2))
    if report.sensitive:
        yield "<p class=note>“Sensitive” as in PIPL article 28, by the policy bundle given.</p>"
    else:
        yield (
            "<p class=note>Which kinds are sensitive (PIPL article 28) is said when the report is "
            "made with <code>--policies</code>.</p>"
        )


def _course(report: Report) -> Iterable[str]:
    exposure = report.exposure
    yield "<h2>3. By whom, what for, when</h2>"
    if not exposure.callers:
        yield "<p>Nobody.</p>"
        return
    for title, tallies in (("Caller", exposure.callers), ("Purpose", exposure.purposes)):
        rows = [
            (_id(name or "none"), f"{tally.items:,}", f"{tally.entries:,}", *_span(tally))
            for name, tally in sorted(tallies.items(), key=lambda each: -each[1].items)
        ]
        yield _table((title, "Values", "Entries", "First", "Last"), rows, numbers=(1, 2))
    most = max(tally.items for tally in exposure.days.values())
    days = [
        (
            day.isoformat(),
            f"{tally.items:,}",
            f'<span class=bar style="width:{max(1, tally.items * 100 // most)}%"></span>',
        )
        for day, tally in sorted(exposure.days.items())
    ]
    yield _table(("Day (UTC)", "Values", ""), days, numbers=(1,), wide=2)


def _refused(exposure: Exposure) -> Iterable[str]:
    yield "<h2>4. What was refused meanwhile</h2>"
    if not exposure.refused and not exposure.refused_calls:
        yield "<p>Nothing.</p>"
        return
    yield "<p>These values did not leave the vault.</p>"
    rows = [
        (_id(caller), reason, escape(name or "unknown"), f"{tally.items:,}", *_span(tally))
        for (caller, _, reason, name), tally in sorted(exposure.refused.items())
    ]
    heads = ("Caller", "Reason", "Kind", "Values", "First", "Last")
    if rows:
        yield _table(heads, rows, numbers=(3,))
    rows = [
        (
            _id(caller or "not established"),
            reason,
            escape(rpc.rpartition("/")[2]),
            f"{tally.entries:,}",
            *_span(tally),
        )
        for (caller, rpc, reason), tally in sorted(exposure.refused_calls.items())
    ]
    if rows:
        yield "<h3>Calls refused as a whole</h3>"
        heads = ("Caller", "Reason", "Call", "Calls", "First", "Last")
        yield _table(heads, rows, numbers=(3,))


def _human() -> Iterable[str]:
    yield "<h2>5. To be filled in by hand</h2>"
    for title, hint, lines in _BLANKS:
        small = f"<small>{escape(hint)}</small>" if hint else ""
        yield f"<section class=blank><h3>{escape(title)}{small}</h3>"
        yield "<div></div>" * lines + "</section>"
    yield "<section class=blank><h3>Place, date, signature</h3><div></div></section>"


def _consumers(report: Report) -> Iterable[str]:
    exposure = report.exposure
    if not exposure.consumers:
        return
    yield "<h2>Annex. Consumers concerned</h2>"
    yield (
        "<p>By the random handles that the vault knows them by; only the shop can tell who "
        "they are.</p>"
    )
    rows: list[tuple[str, ...]] = []
    for handle, tally, kinds in exposure.by_consumer():
        if len(rows) == MOST_CONSUMERS:
            break
        what = ", ".join(f"{escape(name)} ({view_name(view)})" for name, view in kinds)
        rows.append((f"<code>{handle}</code>", what, f"{tally.items:,}", *_span(tally)))
    yield _table(("Handle", "What", "Values", "First", "Last"), rows, numbers=(2,))
    more = exposure.consumers - len(rows)
    if more:
        yield f"<p class=note>{more:,} more are in the JSON report.</p>"


def _method(report: Report) -> Iterable[str]:
    source = report.source
    yield "<h2>How these numbers were made</h2><ul>"
    if source.kind == "service":
        yield "<li>Entries were read from the running vault, as it answered an auditor."
    else:
        yield (
            f"<li>Entries {source.begin:,} to {source.end:,} were read from an export of the log "
            f"<code>{escape(source.log)}</code> and verified against its signed checkpoint of "
            f"{source.size:,} entries: none is missing, added or changed."
        )
        if source.hidden:
            yield f"<li>{source.hidden:,} of them are another tenant's and could not be read."
    yield f"<li>{report.exposure.read:,} entries were looked at."
    yield (
        "<li>A value counts as revealed when the log says that it was allowed. The log is written "
        "before the answer leaves, so a few answers may not have arrived: the numbers err on the "
        "safe side."
    )
    yield (
        "<li>Not in these numbers: values that the leaked identity handed in itself, and what "
        "others did with values after they received them."
    )
    yield "</ul>"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f"<dl>{rows}</dl>"


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    wide: int | None = None,
) -> str:
    """A table; cells are HTML, heads text."""

    def kind(column: int) -> str:
        return " class=n" if column in numbers else " class=w" if column == wide else ""

    parts = ["<table><thead><tr>"]
    parts += [f"<th{kind(at)}>{escape(head)}</th>" for at, head in enumerate(heads)]
    parts.append("</tr></thead><tbody>")
    for row in rows:
        cells = "".join(f"<td{kind(at)}>{cell}</td>" for at, cell in enumerate(row))
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def _id(text: str) -> str:
    """A long name, which may be broken anywhere."""
    return f"<span class=id>{escape(text)}</span>"


def _span(tally: Tally) -> tuple[str, str]:
    return _short(moment(tally.first_us)), _short(moment(tally.last_us))


def _short(time: dt.datetime) -> str:
    return f"<time>{time:%Y-%m-%d %H:%M:%S}</time>"


def _time(time: dt.datetime) -> str:
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
