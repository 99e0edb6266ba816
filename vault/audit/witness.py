"""The words of a witness (C2SP tlog-witness): what `add-checkpoint` is asked, what it answers.

Guarantees: a request is in its one spelling; of an answer nothing is kept but a cosignature
that the witness's own key made over this checkpoint. Pure: no network, no clock. Leaves to
`vault.audit.witness_client` the way there, and to `vault.audit.cosigner` whom to ask when.
"""

import base64
import enum
from collections.abc import Sequence
from dataclasses import dataclass

from vault.audit.merkle import HASH_SIZE
from vault.audit.note import Note, NoteError, SignatureLine, VerifierKey, check_note, parse_note

MAX_PROOF = 63
"""Hashes of a consistency proof that a request may hold."""
MAX_ANSWER = 1 << 16
"""Bytes of an answer; room for a dozen post-quantum signatures."""

_SIZE_TYPE = "text/x.tlog.size"
_MAX_DIGITS = 19
_OK, _CONFLICT = 200, 409


class Fault(enum.StrEnum):
    """Why there is no cosignature. `vault.telemetry.names.WITNESS_OUTCOMES` has the same words."""

    UNREACHABLE = "unreachable"
    """No answer in time, or none of HTTP, or the witness's own fault (5xx)."""
    MALFORMED = "malformed"
    """An answer that the specification does not have."""
    BAD_SIGNATURE = "bad_signature"
    """No good cosignature by the witness's key: it lies, or the key here is not its own."""
    FORBIDDEN = "forbidden"
    """403: it does not know the key of the log, or finds the signature bad."""
    UNKNOWN_LOG = "unknown_log"
    """404: nobody has told it of this log."""
    INCONSISTENT = "inconsistent"
    """422: the log does not go on from what it has cosigned."""
    AHEAD = "ahead"
    """409: it has cosigned a larger tree than there is."""


_FAULTS = {403: Fault.FORBIDDEN, 404: Fault.UNKNOWN_LOG, 422: Fault.INCONSISTENT}


class WitnessError(Exception):
    """There is no cosignature.

    Attributes:
        size: of the tree that an `AHEAD` is about; else 0.
    """

    def __init__(self, fault: Fault, *, size: int = 0) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.size = size


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP; `content_type` is "" if there is none."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A verified cosignature; `timestamp` in seconds since 1970, not 0."""

    line: SignatureLine
    timestamp: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """The witness has last cosigned a tree of this size, another one than it was told."""

    size: int


def add_checkpoint_body(old: int, proof: Sequence[bytes], note: Note) -> bytes:
    """The body of a request.

    Args:
        old: size that the witness has last cosigned, as far as is known here; 0 for none.
        proof: consistency from `old` to the note's size; empty from 0 and to the same size.
        note: with the log's signature.

    Raises:
        ValueError: the proof is too long, or not of hashes.
    """
    if len(proof) > MAX_PROOF or any(len(one) != HASH_SIZE for one in proof):
        raise ValueError("not a consistency proof")
    lines = [f"old {old}", *(base64.b64encode(one).decode() for one in proof), "", ""]
    return "\n".join(lines).encode() + bytes(note)


def read_answer(answer: Answer, note: Note, key: VerifierKey) -> Cosigned | Conflict:
    """What a witness says to the note that it was sent.

    Cosignatures of other keys are passed over.

    Raises:
        WitnessError: there is neither a cosignature nor a size.
    """
    if answer.status == _OK:
        return _cosigned(answer.body, note, key)
    if answer.status == _CONFLICT:
        return Conflict(_size(answer))
    # 429 and whatever is the witness's own fault passes by itself.
    is_own = answer.status == 429 or answer.status >= 500  # noqa: PLR2004  RFC 6585, RFC 9110
    raise WitnessError(_FAULTS.get(answer.status, Fault.UNREACHABLE if is_own else Fault.MALFORMED))


def _cosigned(body: bytes, note: Note, key: VerifierKey) -> Cosigned:
    try:
        # As the specification proposes: the lines are read as a note's.
        answered = parse_note(note.text.encode() + b"\n" + body)
    except NoteError as error:
        raise WitnessError(Fault.MALFORMED) from error
    # An empty line within the answer would have moved the end of the text.
    if answered.text != note.text:
        raise WitnessError(Fault.MALFORMED)
    own = [line for line in answered.signatures if (line.name, line.key_id) == (key.name, key.id)]
    try:
        (signed,) = check_note(Note(note.text, tuple(own)), [key])
    except NoteError as error:
        raise WitnessError(Fault.BAD_SIGNATURE) from error
    if not signed.timestamp:  # a cosignature of a whole tree must be dated
        raise WitnessError(Fault.BAD_SIGNATURE)
    return Cosigned(own[0], signed.timestamp)


def _size(answer: Answer) -> int:
    text = answer.body.decode("latin-1")
    digits = text.removesuffix("\n")
    if (
        answer.content_type.partition(";")[0].strip().lower() != _SIZE_TYPE
        or text == digits
        or not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS)
        or str(int(digits)) != digits
        or int(digits) >= 1 << 63
    ):
        raise WitnessError(Fault.MALFORMED)
    return int(digits)
