"""A consumer's access record: their entries with proofs, and nothing of anybody else.

docs/formats.md, "access record", is the contract. What a clean check means: each entry stands,
byte by byte, in the log that the key signed, and all of them are about this one consumer. What
it does not mean: that there are no further entries. Pure: no clock, no input or output.
"""

import base64
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from vault.audit.checkpoint import SignedCheckpoint, open_checkpoint, parse_body
from vault.audit.entry import Entry, EntryFormatError, decode, leaf_hash
from vault.audit.merkle import ProofError, verify_inclusion
from vault.audit.note import NoteError, VerifierKey, base64_bytes, parse_note
from vault.audit.succession import follow

FORMAT = "pdvault-access-record/1"
MAX_RECORD = 1 << 28
"""Bytes of a record that is read."""


class AccessRecordError(ValueError):
    """The record is not sound.

    Attributes:
        index: the leaf of the first entry that fails; None if none can be named.
    """

    def __init__(self, text: str, index: int | None = None) -> None:
        super().__init__(text)
        self.index = index


@dataclass(frozen=True, slots=True)
class ProvedEntry:
    """An entry, its place, and its inclusion proof from the leaf upwards."""

    index: int
    entry: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """What is handed out.

    Attributes:
        checkpoint: the signed note that all proofs lead to.
        entries: by rising index.
        successions: the chain of the log's keys (`vault.audit.succession`).
    """

    subject_id: uuid.UUID
    checkpoint: str
    entries: tuple[ProvedEntry, ...]
    successions: tuple[str, ...] = ()

    def document(self) -> bytes:
        """The file: JSON, one entry a line."""
        head: dict[str, object] = {
            "format": FORMAT,
            "origin": parse_body(parse_note(self.checkpoint.encode()).text).origin,
            "subject_id": self.subject_id.hex,
            "checkpoint": self.checkpoint,
        }
        if self.successions:
            head["successions"] = list(self.successions)
        lines = [
            _json(
                {
                    "i": each.index,
                    "e": base64.b64encode(each.entry).decode(),
                    "proof": [base64.b64encode(one).decode() for one in each.proof],
                }
            )
            for each in self.entries
        ]
        body = ",\n".join(lines)
        return f'{_json(head)[:-1]},"entries":[\n{body}\n]}}\n'.encode()


@dataclass(frozen=True, slots=True)
class CheckedRecord:
    """A record that was found sound; `entries` by rising index."""

    subject_id: uuid.UUID
    checkpoint: SignedCheckpoint
    entries: Sequence[tuple[int, Entry]]


def parse_record(data: bytes) -> AccessRecord:
    """Reads a record without checking what it says.

    Raises:
        AccessRecordError: not a record in its one spelling.
    """
    try:
        document = json.loads(data)
        record = AccessRecord(
            subject_id=uuid.UUID(hex=document["subject_id"]),
            checkpoint=document["checkpoint"],
            entries=tuple(
                ProvedEntry(
                    index=each["i"],
                    entry=base64_bytes(each["e"]),
                    proof=tuple(base64_bytes(one) for one in each["proof"]),
                )
                for each in document["entries"]
            ),
            successions=tuple(document.get("successions", [])),
        )
        written = record.document()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AccessRecordError("not an access record") from error
    has_numbers = all(type(each.index) is int for each in record.entries)
    has_texts = all(type(each) is str for each in record.successions)
    if not has_numbers or not has_texts or written != data:
        raise AccessRecordError("the access record is not in its one spelling")
    return record


def check_record(
    data: bytes,
    keys: Sequence[VerifierKey],
    *,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
) -> CheckedRecord:
    """Verifies a record with public keys alone: the log's, and perhaps those of witnesses, of
    which `quorum` must have cosigned.

    Raises:
        AccessRecordError: what is wrong, and with which entry.
        ValueError: the keys are not keys of a log.
    """
    record = parse_record(data)
    try:
        trusted = follow(keys, record.successions)
        signed = open_checkpoint(
            record.checkpoint.encode(),
            trusted,
            origin=keys[0].name,
            witnesses=witnesses,
            quorum=quorum,
        )
    except NoteError as error:
        raise AccessRecordError(f"the checkpoint is not to be trusted: {error}") from error
    tree = signed.checkpoint
    checked: list[tuple[int, Entry]] = []
    for each in record.entries:
        if checked and each.index <= checked[-1][0]:
            raise AccessRecordError("an entry stands twice or out of order", each.index)
        try:
            hash_ = leaf_hash(each.entry)
            verify_inclusion(hash_, each.index, tree.size, each.proof, tree.root)
            entry = decode(each.entry)
        except ProofError as error:
            text = "the entry is not what the log holds at its place"
            raise AccessRecordError(text, each.index) from error
        except EntryFormatError as error:
            raise AccessRecordError(f"signed, but not an entry: {error}", each.index) from error
        if entry.subject_id != record.subject_id:
            raise AccessRecordError("the entry is about somebody else", each.index)
        checked.append((each.index, entry))
    return CheckedRecord(record.subject_id, signed, checked)


def _json(document: dict[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
