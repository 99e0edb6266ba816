"""A consumer's access record: written with `audit subject`, checked with `audit verify-record`."""

import argparse
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from vault.audit.access_record import (
    MAX_RECORD,
    AccessRecord,
    AccessRecordError,
    ProvedEntry,
    check_record,
)
from vault.audit.entry import encode
from vault.cli.audit_words import story
from vault.cli.entry_values import client_entry
from vault.cli.log_keys import Quorum, read_keys, read_quorum, trusted_keys
from vault.cli.output import DONE, FAILED, USAGE, CommandError, emit, emit_json, say
from vault.client import Entry, InclusionProofs, VaultClient

_PATIENCE_S = 10.0
"""How long to wait for the newest entries to get their place; usually well below one second."""


def write_record(
    vault: VaultClient, entries: Sequence[Entry], path: Path, key: str | None, quorum: Quorum
) -> None:
    """Has the entries proved, checks the record as its receiver would, and writes it.

    Raises:
        CommandError: nothing to write, or what the vault sent does not hold.
        VaultCallError, OSError.
    """
    if not entries:
        raise CommandError("there are no entries, so there is no record")
    proofs = _prove(vault, [entry.entry_id for entry in entries])
    found = sorted(
        (proof.leaf_index, entry.entry, proof.path)
        for entry, proof in zip(entries, proofs.proofs, strict=True)
        if proof.is_included
    )
    record = AccessRecord(
        subject_id=uuid.UUID(hex=entries[0].subject_id),
        checkpoint=proofs.checkpoint.note,
        entries=tuple(ProvedEntry(*each) for each in found),
        successions=proofs.checkpoint.successions,
    )
    try:
        data = record.document()
        check_record(
            data,
            trusted_keys(key, proofs.checkpoint),
            witnesses=quorum.keys,
            quorum=quorum.count,
        )
    except ValueError as error:
        raise CommandError(f"the vault's proofs do not hold: {error}") from error
    path.write_bytes(data)
    say(f"{path}: {len(found)} entries with their proofs")
    if len(found) < len(entries):
        say(f"{len(entries) - len(found)} entries are not yet in the signed log and left out")


def verify_record(args: argparse.Namespace) -> int:
    """Raises CommandError."""
    keys, quorum = read_keys(args.key), read_quorum(args)
    try:
        with args.file.open("rb") as file:
            data = file.read(MAX_RECORD + 1)
    except OSError as error:
        raise CommandError(f"{args.file}: {error.strerror}", code=USAGE) from error
    try:
        record = check_record(data, keys, witnesses=quorum.keys, quorum=quorum.count)
    except AccessRecordError as error:
        if args.json:
            emit_json({"sound": False, "first_index": error.index, "detail": str(error)})
        else:
            where = "" if error.index is None else f" (entry at index {error.index})"
            say(f"DAMAGED: {error}{where}")
        return FAILED
    tree = record.checkpoint.checkpoint
    if args.json:
        emit_json(
            {
                "sound": True,
                "subject_id": record.subject_id.hex,
                "entries": len(record.entries),
                "origin": tree.origin,
                "size": tree.size,
            }
        )
        return DONE
    say(
        f"sound: {len(record.entries)} entries of consumer {record.subject_id.hex} stand in the "
        f"log {tree.origin}, {tree.size} leaves"
    )
    say("it can't be seen from a record whether there are others")
    entries = [client_entry(entry, encode(entry)) for _, entry in record.entries]
    entries.sort(key=lambda entry: entry.time)
    for line in story(entries, names_subject=False):
        emit(line)
    return DONE


def _prove(vault: VaultClient, ids: Sequence[str]) -> InclusionProofs:
    """Proofs under a checkpoint that covers all, as far as one comes in time."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        proofs = vault.prove_inclusion(ids)
        if all(proof.is_included for proof in proofs.proofs) or time.monotonic() > deadline:
            return proofs
        time.sleep(0.5)
