"""`pdvault audit …`: what the log says."""

import argparse
import base64
import dataclasses
import itertools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from vault.cli.audit_filters import add_times, entry_filters
from vault.cli.audit_words import item_words, short_caller, verdict_words
from vault.cli.connection import connect
from vault.cli.output import DONE, USAGE, CommandError, emit, emit_json, say
from vault.cli.tables import show_facts, show_table
from vault.cli.trace_store import TraceStore
from vault.cli.waterfall import waterfall
from vault.client import Entry, Reason, VaultClient
from vault.telemetry.span_file import StoredSpan, gaps, read_spans, span_tree

_HEX = re.compile(r"[0-9a-f]{32}")
_MAX_PAGE = 500


def list_entries(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    filters = add_times(entry_filters(args), args)
    filters["page_size"] = min(args.limit, _MAX_PAGE)
    with connect(args) as vault:
        found = vault.list_entries(**filters)
        entries = itertools.islice(found, args.limit)
        if args.json:
            for entry in entries:
                emit_json(as_json(entry))
            return DONE
        shown = list(entries)
    if not shown:
        say("no entries")
        return DONE
    show_table(
        ("time (UTC)", "caller", "rpc", "purpose", "subject", "items", "verdict", "trace"),
        [_row(entry) for entry in shown],
    )
    if len(shown) == args.limit:
        say(f"the newest {args.limit}; more with --limit")
    return DONE


def show(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError, OSError."""
    wanted = args.id.lower().replace("-", "")
    if not _HEX.fullmatch(wanted):
        raise CommandError("an entry id or a trace id is 32 hex digits", code=USAGE)
    source = _span_source(args)
    with connect(args) as vault:
        entries = _find(vault, wanted)
    if not entries:
        raise CommandError(
            "no entry and no trace of this tenant has that id",
            hint="pdvault audit list shows trace ids; with --json, entry ids too",
        )
    for entry in entries:
        if args.json:
            emit_json(as_json(entry))
        else:
            _show_entry(entry)
    if source is not None and not args.json:
        name, read = source
        _show_spans(name, read(entries[0].trace_id), entries)
    return DONE


def as_json(entry: Entry) -> dict[str, object]:
    """All of an entry; bytes in base64, the hash in hex, codes by name."""
    document = dataclasses.asdict(entry)
    document |= {
        "time": entry.time.isoformat(),
        "verdict": entry.verdict.name,
        "reason": entry.reason.name,
        "items": [
            dataclasses.asdict(item)
            | {
                "wanted_view": item.wanted_view.name,
                "view": item.view.name,
                "verdict": item.verdict.name,
                "reason": item.reason.name,
            }
            for item in entry.items
        ],
        "entry": base64.b64encode(entry.entry).decode(),
        "leaf_hash": entry.leaf_hash.hex(),
    }
    return document


def _find(vault: VaultClient, wanted: str) -> list[Entry]:
    """The entry with that id, or all entries of that trace, oldest first."""
    found = list(vault.list_entries(entry_id=wanted))
    return found or list(vault.list_entries(trace_id=wanted))[::-1]


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.time.strftime("%Y-%m-%d %H:%M:%S"),
        short_caller(entry.caller),
        entry.rpc.rpartition("/")[2],
        entry.purpose,
        entry.subject_id[:8],
        "\n".join(item_words(entry.items)),
        verdict_words(entry.verdict, entry.reason),
        entry.trace_id,
    )


def _show_entry(entry: Entry) -> None:
    show_facts(
        [
            ("entry", entry.entry_id),
            ("time", entry.time.isoformat()),
            ("caller", f"{entry.caller or 'not established'} ({entry.authentication})"),
            ("roles", ", ".join(entry.roles) or "none"),
            ("tenant", entry.tenant),
            ("rpc", entry.rpc),
            ("purpose", entry.purpose or "none"),
            *([("case", entry.case)] if entry.case else []),
            *([("act request", entry.act)] if entry.act else []),
            ("subject", entry.subject_id or "none"),
            ("verdict", verdict_words(entry.verdict, entry.reason)),
            *([("field at fault", entry.field)] if entry.field else []),
            ("policy bundle", entry.bundle_digest),
            ("call", entry.call_id),
            ("trace", entry.trace_id),
            ("leaf hash", entry.leaf_hash.hex()),
        ]
    )
    if entry.items:
        show_table(
            ("field type", "wanted", "view", "verdict", "reason", "policies", "token digest"),
            [
                (
                    item.field_type or "unknown",
                    item.wanted_view.name.lower() if item.wanted_view else "most",
                    item.view.name.lower() if item.view else "",
                    item.verdict.name,
                    "" if item.reason is Reason.NONE else item.reason.name,
                    ", ".join(item.policies) or "none",
                    item.token_digest[:16],
                )
                for item in entry.items
            ],
        )


def _span_source(
    args: argparse.Namespace,
) -> tuple[str, Callable[[str], list[StoredSpan]]] | None:
    """Where spans are read from, by name; None if nothing was named."""
    store = args.trace_store or os.environ.get("PDVAULT_TRACE_STORE")
    if store:
        ca_file = args.trace_store_ca or os.environ.get("PDVAULT_TRACE_STORE_CA")
        found = TraceStore(store, ca_file=Path(ca_file) if ca_file else None, seconds=args.timeout)
        return "the trace store", found.spans
    spans = args.spans or os.environ.get("PDVAULT_SPANS")
    if not spans:
        return None
    path = Path(spans)
    if not path.exists():
        raise CommandError(f"{path}: no such file", hint="telemetry.span_file says where it lies")
    return str(path), lambda trace_id: read_spans(path, trace_id)


def _show_spans(source: str, spans: Sequence[StoredSpan], entries: Sequence[Entry]) -> None:
    trace_id = entries[0].trace_id
    lines = waterfall(span_tree(spans, trace_id))
    if not lines:
        say(f"{source} has no spans of this trace (yet, or any more)")
        return
    emit("where the time went; [name] and ~ is a round trip shared with other calls")
    for line in lines:
        emit(f"  {line}")
    missing = gaps(spans, trace_id, [entry.span_id for entry in entries])
    if missing:
        say(f"spans are missing: {', '.join(missing)} (not written yet, dropped, or rotated away)")
