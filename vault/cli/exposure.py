"""`pdvault audit exposure`: what a leak really revealed, from a running vault or an export.

Exit code 0 means that the report is made, whatever it says; that nothing could be read must never
be mistaken for "nothing was revealed".
"""

import argparse
import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path

from vault.audit.entry import Entry, EntryFormatError, decode, leaf_hash
from vault.audit.export_format import ExportFormatError, LeafLine, bounded_lines, parse_line
from vault.audit.exposure import Exposure, Leak, moment
from vault.audit.verify import verify_export
from vault.cli.connection import connect
from vault.cli.exposure_page import page
from vault.cli.exposure_report import Report, Source, view_name
from vault.cli.log_keys import read_keys
from vault.cli.output import DONE, USAGE, CommandError, emit, emit_json, printable, say
from vault.cli.progress import Progress
from vault.cli.tables import show_facts, show_table
from vault.client import EntryFilters
from vault.crypto.tokens import TokenForm, token_digest, token_form
from vault.policy import load_bundle

_PAGE = 500
_MAX_TOKEN_LINE = 256
_MAX_TOKENS = 5_000_000


def exposure(args: argparse.Namespace) -> int:
    """Raises CommandError, BundleError, VaultCallError, CredentialFilesError, OSError."""
    tokens = None if args.tokens is None else _read_tokens(args.tokens)
    callers = None if args.caller is None else frozenset(args.caller)
    if callers is None and tokens is None and args.since is None and args.until is None:
        raise CommandError(
            "what has leaked? give --caller, --tokens, --since or --until", code=USAGE
        )
    if args.since and args.until and args.since >= args.until:
        raise CommandError("--until is not after --since", code=USAGE)
    if (args.export is None) != (args.key is None):
        raise CommandError("--export and --key belong together", code=USAGE)
    sensitive = _sensitive(args.policies)
    counted = Exposure(Leak(callers, tokens, args.since, args.until))
    source = _from_service(args, counted) if args.export is None else _from_export(args, counted)
    report = Report(
        exposure=counted,
        source=source,
        made_at=dt.datetime.now(dt.UTC),
        listed_tokens=None if tokens is None else len(tokens),
        sensitive=sensitive,
    )
    if args.html is not None:
        args.html.write_text(page(report), encoding="utf-8")
        say(f"written: {args.html}")
    if args.json:
        emit_json(report.document())
    else:
        _show(report)
    return DONE


def _from_service(args: argparse.Namespace, counted: Exposure) -> Source:
    """Counts what the vault lists, caller by caller."""
    filters: EntryFilters = {"page_size": _PAGE}
    if args.since:
        filters["since"] = args.since
    if args.until:
        filters["until"] = args.until
    with connect(args) as vault:
        for caller in sorted(counted.leak.callers) if counted.leak.callers else [None]:
            if caller is not None:
                filters["caller"] = caller
            for listed in vault.list_entries(**filters):
                counted.add(_checked(listed.entry, listed.leaf_hash))
    return Source("service")


def _from_export(args: argparse.Namespace, counted: Exposure) -> Source:
    """Counts an export while it is verified; an unsound one gives no report."""
    keys = read_keys(args.key)
    progress = Progress("verified")
    with args.export.open("rb") as file:
        lines = _counted(bounded_lines(file.readline), counted)
        found = verify_export(lines, keys, part=args.part, progress=progress)
    progress.end()
    if not found.is_sound or found.checkpoint is None:
        first = found.findings[0]
        where = "" if first.first_index is None else f" at index {first.first_index}"
        raise CommandError(
            f"{args.export}: not sound{where} ({first.damage}): {first.detail}",
            hint="pdvault audit verify says more; --part takes an export of a part of the log",
        )
    return Source(
        "export",
        log=found.checkpoint.checkpoint.origin,
        begin=found.begin,
        end=found.end,
        size=found.checkpoint.checkpoint.size,
        hidden=found.hidden,
    )


def _counted(lines: Iterator[bytes], counted: Exposure) -> Iterator[bytes]:
    """The same lines; entries are counted on the way. What can't be read, the verifier names."""
    for line in lines:
        yield line
        if not line.startswith(b'{"i":'):
            continue
        try:
            leaf = parse_line(line)
            if isinstance(leaf, LeafLine) and leaf.entry is not None:
                counted.add(decode(leaf.entry))
        except (ExportFormatError, EntryFormatError):
            continue


def _checked(data: bytes, expected: bytes) -> Entry:
    try:
        entry = decode(data)
    except EntryFormatError as error:
        raise CommandError(f"the vault listed something that is no entry: {error}") from error
    if leaf_hash(data) != expected:
        raise CommandError("the vault listed an entry that does not match its leaf hash")
    return entry


def _read_tokens(given: Path) -> frozenset[bytes]:
    """Digests of a file's tokens, one a line; no message repeats a line."""
    digests: set[bytes] = set()
    bad: list[int] = []
    file = sys.stdin.buffer if str(given) == "-" else given.open("rb")
    with file:
        for number, line in enumerate(bounded_lines(file.readline), start=1):
            text = line[: _MAX_TOKEN_LINE + 1].decode("ascii", errors="replace").strip()
            if not text:
                continue
            if token_form(text) is TokenForm.GOOD:
                digests.add(token_digest(text))
            else:
                bad.append(number)
            if len(digests) > _MAX_TOKENS:
                raise CommandError(f"--tokens: more than {_MAX_TOKENS:,}", code=USAGE)
    if bad or not digests:
        raise CommandError(
            "--tokens: not one token a line" + (f", see line {bad[0]}" if bad else ""),
            details=[f"{len(bad):,} lines are no token"] if len(bad) > 1 else (),
            code=USAGE,
        )
    return frozenset(digests)


def _sensitive(policies: Path | None) -> dict[str, bool]:
    if policies is None:
        return {}
    return {name: each.sensitive for name, each in load_bundle(policies).field_types.items()}


def _show(report: Report) -> None:
    counted = report.exposure
    if not counted.revealed.entries:
        emit(f"nothing was revealed; {counted.read:,} entries were looked at")
    else:
        show_facts(
            [
                ("consumers concerned", f"{counted.consumers:,}"),
                ("pieces of data", f"{counted.data:,}"),
                ("values revealed", f"{counted.revealed.items:,}"),
                ("first", moment(counted.revealed.first_us).isoformat()),
                ("last", moment(counted.revealed.last_us).isoformat()),
                *(
                    [("listed tokens revealed", f"{counted.tokens_revealed} of {listed}")]
                    if (listed := report.listed_tokens) is not None
                    else []
                ),
                ("callers", "\n".join(printable(each) for each in sorted(counted.callers))),
                ("purposes", ", ".join(sorted(counted.purposes))),
                ("entries looked at", f"{counted.read:,}"),
            ]
        )
        show_table(
            ("field type", "view", "consumers", "values"),
            [
                (
                    name,
                    view_name(view),
                    f"{counted.consumers_of((name, view)):,}",
                    f"{counted.kinds[name, view].items:,}",
                )
                for name, view in sorted(counted.kinds)
            ],
        )
    refused = sum(tally.items for tally in counted.refused.values())
    calls = sum(tally.entries for tally in counted.refused_calls.values())
    emit(f"refused meanwhile: {refused:,} values, and {calls:,} calls as a whole")
