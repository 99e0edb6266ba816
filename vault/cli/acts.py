"""`pdvault keys request, requests, approve, withdraw, carry-out`, and `pdvault erase, erasure`."""

import argparse
import sys

from vault.cli.connection import connect, subject_ref
from vault.cli.key_picture import erasure_facts, request_facts
from vault.cli.keys import document
from vault.cli.output import DONE, FAILED, USAGE, CommandError, emit, emit_json, printable
from vault.cli.tables import show_facts
from vault.client import Act, ActRequest, Erasure


def request(args: argparse.Namespace) -> int:
    """Asks for an act. Raises VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        made = vault.keys.request_act(
            Act(args.act, args.argument), args.cause, idempotency_key=args.idempotency_key
        )
    _show(args, made)
    if not args.json:
        emit(f"\na different custodian approves it:\n{approval(made)}")
    return DONE


def requests(args: argparse.Namespace) -> int:
    """The newest requests. Raises VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        found = vault.keys.act_requests(args.limit, only_open=args.open)
    for number, one in enumerate(found):
        if number and not args.json:
            emit("")
        _show(args, one)
    if not found and not args.json:
        emit("no request" + (" is open" if args.open else " was ever made"))
    return DONE


def approve(args: argparse.Namespace) -> int:
    """Approves. Raises CommandError, VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        if args.dry_run:
            found = [one for one in vault.keys.act_requests(1000) if one.request_id == args.id]
            if not found:
                raise CommandError("no such request")
            _show(args, found[0])
            return DONE if found[0].digest == args.digest else FAILED
        _show(args, vault.keys.approve(args.id, args.digest))
    return DONE


def withdraw(args: argparse.Namespace) -> int:
    """Takes a request back. Raises VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        _show(args, vault.keys.withdraw(args.id))
    return DONE


def carry_out(args: argparse.Namespace) -> int:
    """Carries out; exit code 1 if, on a dry run, something stands against it.

    Raises:
        VaultCallError, CredentialFilesError.
    """
    with connect(args) as vault:
        done = vault.keys.carry_out(args.id, dry_run=args.dry_run)
    if args.json:
        emit_json({**document(done), "dry_run": args.dry_run})
    else:
        emit(printable(f"{'would be done' if args.dry_run else 'done'}: {done.effect}"))
        for obstacle in done.obstacles:
            emit(printable(f"  stands against it: {obstacle}"))
    return FAILED if done.obstacles else DONE


def erase(args: argparse.Namespace) -> int:
    """Erases. Raises CommandError, VaultCallError, CredentialFilesError."""
    ref = subject_ref(args)
    if (ref is None) == (args.token is None):
        raise CommandError(
            "whom? give --subject-ref, --subject-ref-file or --token, one of them", code=USAGE
        )
    if not args.dry_run and not args.yes and not _is_sure():
        raise CommandError(
            "nothing was erased: erasing can't be undone", hint="try --dry-run; then --yes"
        )
    with connect(args) as vault:
        erased = vault.erase_subject(
            subject_ref=ref, token=args.token, cause=args.cause, dry_run=args.dry_run
        )
    if erased.erasure is not None:
        _certificate(args, erased.erasure)
    elif args.json:
        emit_json({"dry_run": True, "tokens": erased.tokens})
    else:
        emit(f"would erase the consumer behind {erased.tokens:,} tokens")
    return DONE


def erasure(args: argparse.Namespace) -> int:
    """A certificate. Raises VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        _certificate(args, vault.get_erasure(args.id))
    return DONE


def approval(made: ActRequest) -> str:
    """The command that approves a request."""
    return f"  pdvault keys approve {made.request_id} --digest {made.digest}"


def _is_sure() -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("Erase this consumer for good? Type erase: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == "erase"


def _show(args: argparse.Namespace, one: ActRequest) -> None:
    if args.json:
        emit_json(document(one))
    else:
        show_facts(request_facts(one))


def _certificate(args: argparse.Namespace, one: Erasure) -> None:
    if args.json:
        emit_json(document(one))
    else:
        show_facts(erasure_facts(one))
