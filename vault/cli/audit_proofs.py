"""`pdvault audit checkpoint` and `audit prove`: fetched from the vault, verified here."""

import argparse
import re
from pathlib import Path

from vault.audit.checkpoint import Checkpoint
from vault.audit.merkle import ProofError, verify_consistency, verify_inclusion
from vault.audit.note import VerifierKey
from vault.cli.connection import connect
from vault.cli.log_keys import (
    NO_QUORUM,
    Quorum,
    check_note,
    read_checkpoint,
    read_quorum,
    trusted_keys,
)
from vault.cli.output import DONE, USAGE, CommandError, emit, emit_json, say
from vault.client import Checkpoint as SentCheckpoint
from vault.client import VaultClient

_ID = re.compile(r"[0-9a-f]{32}")
_SIZE = re.compile(r"[1-9][0-9]{0,18}")
_MAX_SIZES = 2


def checkpoint(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    quorum = read_quorum(args)
    with connect(args) as vault:
        sent = vault.get_checkpoint()
    _open(args, sent, quorum)
    if args.json:
        emit_json(
            {
                "note": sent.note,
                "size": sent.size,
                "root": sent.root.hex(),
                "signed_at": sent.signed_at.isoformat(),
                "verifier_key": sent.verifier_key,
                "successions": list(sent.successions),
                "verified": args.key is not None,
                "witnesses_needed": quorum.count,
            }
        )
    else:
        emit(sent.note.removesuffix("\n"))
    return DONE


def prove(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    quorum = read_quorum(args)
    if args.consistency:
        if len(args.what) > _MAX_SIZES:
            raise CommandError("--consistency takes FIRST and maybe SECOND", code=USAGE)
        return _prove_consistency(args, quorum)
    wanted = args.what[0].lower().replace("-", "")
    if len(args.what) > 1 or not _ID.fullmatch(wanted):
        raise CommandError("an entry id is 32 hex digits", code=USAGE)
    with connect(args) as vault:
        answer = vault.prove_inclusion([wanted])
    tree = _open(args, answer.checkpoint, quorum)
    (proof,) = answer.proofs
    if not proof.is_included:
        raise CommandError(
            "no such entry of this tenant stands in the signed log",
            hint="a new entry gets its place within a second",
        )
    try:
        verify_inclusion(proof.leaf_hash, proof.leaf_index, tree.size, proof.path, tree.root)
    except ProofError as error:
        raise CommandError(f"the vault's proof does not hold: {error}") from error
    if args.json:
        emit_json(
            {
                "entry_id": wanted,
                "included": True,
                "index": proof.leaf_index,
                "leaf_hash": proof.leaf_hash.hex(),
                "proof": [each.hex() for each in proof.path],
                "checkpoint": answer.checkpoint.note,
            }
        )
    else:
        emit(
            f"proved: entry {wanted} with leaf hash {proof.leaf_hash.hex()} stands at index "
            f"{proof.leaf_index} of the log {tree.origin}, {tree.size} leaves"
        )
    return DONE


def _prove_consistency(args: argparse.Namespace, quorum: Quorum) -> int:
    with connect(args) as vault:
        newest = vault.get_checkpoint()
        keys = trusted_keys(args.key, newest)
        second = (
            _named(vault, args.what[1], keys, quorum)
            if len(args.what) == _MAX_SIZES
            else check_note(newest.note, keys, quorum).checkpoint
        )
        first = _named(vault, args.what[0], keys)
        if first.size > second.size:
            raise CommandError(
                f"the log has shrunk or the order is wrong: {first.size} leaves, then {second.size}"
            )
        answer = vault.prove_consistency(first.size, second.size)
    _say_whose_key(args)
    try:
        verify_consistency(first.size, first.root, second.size, second.root, answer.path)
    except ProofError as error:
        raise CommandError(f"not the same log: {error}") from error
    if args.json:
        emit_json(
            {
                "consistent": True,
                "first": first.size,
                "second": second.size,
                "proof": [each.hex() for each in answer.path],
            }
        )
    else:
        emit(
            f"proved: the log of {second.size} leaves begins with the one of {first.size} leaves; "
            "nothing before was changed"
        )
    return DONE


def _named(
    vault: VaultClient, given: str, keys: list[VerifierKey], quorum: Quorum = NO_QUORUM
) -> Checkpoint:
    """The checkpoint in a file, or the vault's of that size."""
    if not _SIZE.fullmatch(given):
        return read_checkpoint(Path(given), keys, quorum).checkpoint
    size = int(given)
    found = check_note(vault.get_checkpoint(size).note, keys, quorum).checkpoint
    if found.size != size:
        raise CommandError(
            f"no checkpoint was signed at {size} leaves; the next one has {found.size}"
        )
    return found


def _open(args: argparse.Namespace, sent: SentCheckpoint, quorum: Quorum) -> Checkpoint:
    """Verifies a checkpoint that the vault sent, against what else it said of it."""
    found = check_note(sent.note, trusted_keys(args.key, sent), quorum).checkpoint
    if (found.size, found.root) != (sent.size, sent.root):
        raise CommandError("the vault's answer is not what its checkpoint says")
    _say_whose_key(args)
    return found


def _say_whose_key(args: argparse.Namespace) -> None:
    if args.key is None:
        say("checked with the key that the vault names itself; --key takes one that you trust")
