"""`pdvault audit subject` and `audit caller`: entries told as a story."""

import argparse
import itertools

from vault.cli.audit import as_json
from vault.cli.audit_filters import add_times
from vault.cli.audit_record import write_record
from vault.cli.audit_words import short_caller, story
from vault.cli.connection import connect, subject_ref
from vault.cli.log_keys import read_quorum
from vault.cli.output import DONE, USAGE, CommandError, emit, emit_json, say
from vault.client import Entry, EntryFilters

_PAGE = 500


def subject(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError, OSError."""
    filters: EntryFilters = {"page_size": _PAGE}
    ref = subject_ref(args)
    if ref is not None:
        filters["subject_ref"] = ref
    elif args.subject_id:
        filters["subject_id"] = args.subject_id
    else:
        raise CommandError(
            "no consumer: give --subject-ref-file FILE, --subject-ref REF or --subject-id HEX",
            code=USAGE,
        )
    quorum = read_quorum(args)
    with connect(args) as vault:
        entries = list(vault.list_entries(**add_times(filters, args)))[::-1]
        if args.proofs:
            write_record(vault, entries, args.proofs, args.key, quorum)
    if entries and not args.json:
        emit(f"consumer {entries[0].subject_id}")
    _tell(args, entries, names_subject=False)
    return DONE


def caller(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    filters: EntryFilters = {"caller": args.id, "page_size": min(args.limit, _PAGE)}
    with connect(args) as vault:
        found = vault.list_entries(**add_times(filters, args))
        entries = list(itertools.islice(found, args.limit))[::-1]
    if not args.json:
        consumers = len({entry.subject_id for entry in entries if entry.subject_id})
        emit(f"caller {short_caller(args.id)}, {consumers} consumers")
    _tell(args, entries, names_subject=True)
    if len(entries) == args.limit:
        say(f"the newest {args.limit}; more with --limit")
    return DONE


def _tell(args: argparse.Namespace, entries: list[Entry], *, names_subject: bool) -> None:
    if args.json:
        for entry in entries:
            emit_json(as_json(entry))
        return
    for line in story(entries, names_subject=names_subject):
        emit(line)
