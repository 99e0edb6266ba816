"""`pdvault tokenize` and `pdvault detokenize`: for trying things out."""

import argparse

from vault.cli.connection import connect, subject_ref
from vault.cli.output import DONE, FAILED, USAGE, CommandError, emit_json
from vault.cli.tables import show_table
from vault.client import Issued, Refused, Revealed, View


def tokenize(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    ref = subject_ref(args)
    if ref is None:
        raise CommandError(
            "no consumer: give --subject-ref REF or --subject-ref-file FILE", code=USAGE
        )
    fields = dict(args.fields)
    if len(fields) < len(args.fields):
        raise CommandError("a field type is given twice", code=USAGE)
    with connect(args) as vault:
        outcome = vault.tokenize([(ref, fields)], case=args.case or "")
    rows = []
    for name, item in outcome.subjects[0].items.items():
        match item:
            case Issued(token=token):
                rows.append({"field_type": name, "verdict": "ALLOWED", "token": token})
            case Refused():
                rows.append({"field_type": name, **_refusal(item)})
    _show(args, rows, ("field_type", "verdict", "token"))
    return DONE if outcome.is_complete else FAILED


def detokenize(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    view = View[args.view.upper()] if args.view else None
    with connect(args) as vault:
        outcome = vault.detokenize(args.purpose, args.tokens, view=view, case=args.case or "")
    rows = []
    for token, item in zip(args.tokens, outcome.items, strict=True):
        match item:
            case Revealed():
                rows.append(
                    {
                        "token": token,
                        "field_type": item.field_type,
                        "verdict": "ALLOWED",
                        "view": item.view.name.lower(),
                        "value": item.value,
                    }
                )
            case Refused():
                rows.append({"token": token, **_refusal(item)})
    _show(args, rows, ("field_type", "verdict", "view", "value"))
    return FAILED if any(isinstance(item, Refused) for item in outcome.items) else DONE


def _refusal(item: Refused) -> dict[str, str]:
    return {"verdict": item.verdict.name, "reason": item.reason.name, "detail": item.detail}


def _show(args: argparse.Namespace, rows: list[dict[str, str]], columns: tuple[str, ...]) -> None:
    if args.json:
        for row in rows:
            emit_json(row)
        return
    reasons = [
        row.get("reason", "") + (f": {row['detail']}" if row.get("detail") else "") for row in rows
    ]
    extra = ("reason",) if any(reasons) else ()
    show_table(
        [name.replace("_", " ") for name in (*columns, *extra)],
        [
            [*(row.get(name, "") for name in columns), *([reason] if extra else [])]
            for row, reason in zip(rows, reasons, strict=True)
        ],
    )
