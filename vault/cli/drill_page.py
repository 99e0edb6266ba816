"""The report of a restore drill for an assessor: one HTML file, without script, made to be printed.

Pure. It holds counts, names and times; nothing of any value.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from vault.app.drill import DrillReport

_CSP = "default-src 'none'; style-src 'unsafe-inline'"
_DAY, _HOUR, _MINUTE = 86_400, 3600, 60


def span(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} days {seconds % _DAY // _HOUR:.0f} h"


def page(report: DrillReport) -> str:
    """The whole file."""
    style = files("vault.cli").joinpath("exposure.css").read_text(encoding="utf-8")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_CSP}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Restore drill</title><style>{style}</style></head><body><main>",
            *_head(report),
            *_figures(report),
            *_checks(report),
            *_contents(report),
            *_sample(report),
            *_method(),
            "</main></body></html>\n",
        ]
    )


def _head(report: DrillReport) -> Iterable[str]:
    verdict = "passed" if report.passed else "FAILED"
    yield f"<h1>Restore drill: {verdict}</h1>"
    yield (
        "<p class=lead>A backup of the vault was restored into a scratch database, brought up to "
        "the ledger of erasures, and examined. <b>No value was shown or kept.</b></p>"
    )
    facts = [
        ("Drill begun", _time(report.began_at)),
        ("Carried out by", report.operator),
        ("Program", f"pdvault {report.pdvault}"),
        ("File", report.file),
    ]
    if report.filled is not None:
        manifest = report.filled.manifest
        facts += [
            ("Backup", manifest.backup_id.hex),
            ("Snapshot taken", _time(manifest.taken_at)),
            ("Made by", f"{manifest.made_by}, pdvault {manifest.pdvault}"),
            ("Kept until", _time(manifest.keep_until)),
            ("Database", f"PostgreSQL {manifest.postgres}"),
        ]
    yield _facts(facts)


def _figures(report: DrillReport) -> Iterable[str]:
    yield "<h2>1. Times</h2><div class=cards>"
    yield f"<div><b>{span(report.rto_seconds)}</b><span>to restore and replay (RTO)</span></div>"
    yield f"<div><b>{span(report.rpo_seconds)}</b><span>age of the backup (RPO)</span></div>"
    if report.lost_entries is not None:
        yield (
            f"<div><b>{report.lost_entries:,}</b><span>entries of the audit log made since</span>"
            "</div>"
        )
    yield "</div>"
    yield _table(
        ("Phase", "Seconds"),
        [(escape(name), f"{seconds:,.1f}") for name, seconds in report.phases.items()],
        numbers=(1,),
    )


def _checks(report: DrillReport) -> Iterable[str]:
    yield "<h2>2. What was verified</h2>"
    yield _table(
        ("Result", "What", "Found"),
        [
            (
                "passed" if one.passed else "<em>FAILED</em>",
                escape(one.name),
                escape(one.detail),
            )
            for one in report.checks
        ],
    )


def _contents(report: DrillReport) -> Iterable[str]:
    filled, log = report.filled, report.log
    if filled is None:
        return
    yield "<h2>3. What was restored</h2>"
    yield _table(
        ("Table", "Rows"),
        [(escape(name), f"{rows:,}") for name, rows in sorted(filled.tables.items()) if rows],
        numbers=(1,),
    )
    if log is not None:
        yield "<h3>Audit log</h3>"
        yield _facts(
            [
                ("Log", log.origin),
                ("Entries", f"{log.leaves:,}, of these archived before: {log.archived:,}"),
                ("Checkpoint", f"{log.size:,} entries"),
                ("Root", log.root or "none"),
            ]
        )
    if report.before is not None and report.after is not None:
        yield "<h3>Erased consumers</h3>"
        rows = [
            (name, f"{getattr(report.before, key):,}", f"{getattr(report.after, key):,}")
            for name, key in (("Keys", "keys"), ("References", "refs"), ("Values", "values"))
        ]
        yield _table(("Of the erased", "In the backup", "After the replay"), rows, numbers=(1, 2))


def _sample(report: DrillReport) -> Iterable[str]:
    yield "<h2>4. Values opened, as a sample</h2>"
    rows = [
        (
            escape(one.field_type),
            escape(one.tenant),
            str(one.root_version),
            f"{count:,}",
            "opened" if one.is_open else "<em>did not open</em>",
        )
        for one, count in sorted(report.opened.items(), key=lambda item: str(item[0]))
    ]
    if rows:
        heads = ("Kind", "Tenant", "Root key version", "Values", "Result")
        yield _table(heads, rows, numbers=(2, 3))
    else:
        yield "<p class=none>The backup holds no value.</p>"


def _method() -> Iterable[str]:
    yield "<h2>How this was done</h2><ul>"
    yield (
        "<li>The file is encrypted and authenticated in chunks under a key that only the key store "
        "(Transit) unwraps. Rows are committed once the last chunk was found good."
    )
    yield (
        "<li>The scratch database is a PostgreSQL of its own, in a folder that was deleted "
        "afterwards. Key store and ledger of erasures were the real ones, the ledger as a copy."
    )
    yield (
        "<li>RTO counts restore and replay on this machine; providing a server, and restoring the "
        "key store from its own snapshot where that is lost too, come on top."
    )
    yield (
        "<li>The audit log was derived anew from its entries and compared with the signed "
        "checkpoint, as an auditor does with an export."
    )
    yield "</ul><section class=blank><h3>Place, date, signature</h3><div></div></section>"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f"<dl>{rows}</dl>"


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()
) -> str:
    """A table; cells are HTML, heads text."""

    def kind(column: int) -> str:
        return " class=n" if column in numbers else ""

    head = "".join(f"<th{kind(at)}>{escape(text)}</th>" for at, text in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind(at)}>{cell}</td>" for at, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
