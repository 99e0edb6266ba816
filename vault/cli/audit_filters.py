"""The filters of `audit list` and `audit tail`, from the command line."""

import argparse

from vault.cli.connection import subject_ref
from vault.client import EntryFilters, Verdict, View


def entry_filters(args: argparse.Namespace) -> EntryFilters:
    """Raises: CommandError: the file of the subject's reference is not one line."""
    filters: EntryFilters = {}
    ref = subject_ref(args)
    if ref is not None:
        filters["subject_ref"] = ref
    if args.subject_id:
        filters["subject_id"] = args.subject_id
    if args.caller:
        filters["caller"] = args.caller
    if args.purpose:
        filters["purpose"] = args.purpose
    if args.verdict:
        filters["verdict"] = Verdict[args.verdict.upper()]
    if args.field_type:
        filters["field_type"] = args.field_type
    if args.view:
        filters["view"] = View[args.view.upper()]
    if args.policy:
        filters["policy"] = args.policy
    if args.case:
        filters["case"] = args.case
    if args.case_id:
        filters["case_id"] = args.case_id
    if args.bundle_digest:
        filters["bundle_digest"] = args.bundle_digest
    if args.trace_id:
        filters["trace_id"] = args.trace_id
    return filters


def add_times(filters: EntryFilters, args: argparse.Namespace) -> EntryFilters:
    """With `--since` and `--until`."""
    if args.since:
        filters["since"] = args.since
    if args.until:
        filters["until"] = args.until
    return filters
