"""Checkpoints (C2SP tlog-checkpoint): a log's origin, size and root as a signed note.

Strict: parsing what `body` wrote gives the same values, and the reader takes one
spelling only. Which key signs, when, and that no smaller tree is ever signed are the
sequencer's matters.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from vault.audit.merkle import EMPTY_ROOT, HASH_SIZE
from vault.audit.note import (
    KeyType,
    Note,
    NoteError,
    SignatureError,
    Signed,
    VerifierKey,
    base64_bytes,
    check_note,
    parse_note,
)

_MAX_DIGITS = 19
"""Decimal digits of the largest size, 2^63 - 1."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log states of itself at one size.

    Attributes:
        origin: the log's name; one line, not empty.
        size: leaves, 0 to 2^63 - 1.
        root: 32 bytes; the empty tree's root if and only if the size is 0.
        extensions: further lines, not empty; opaque.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises: NoteError: a part is out of range or would break the lines."""
        for line in (self.origin, *self.extensions):
            if not line or any(char < " " for char in line):
                raise NoteError("origin or extension is empty or not one line")
        if not 0 <= self.size < 1 << 63:
            raise NoteError("the size is out of range")
        if len(self.root) != HASH_SIZE:
            raise NoteError("the root is not 32 bytes")
        if (self.size == 0) != (self.root == EMPTY_ROOT):
            raise NoteError("the root is not one of a tree of this size")

    def body(self) -> str:
        """The note's text: what is signed."""
        root = base64.b64encode(self.root).decode()
        return "".join(
            f"{line}\n" for line in (self.origin, str(self.size), root, *self.extensions)
        )


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint whose signatures were verified.

    Attributes:
        note: the whole note, signatures of unknown keys included.
        logs: the trusted log keys that signed it; at least one.
        witnesses: the trusted witness keys that cosigned it.
    """

    checkpoint: Checkpoint
    note: Note
    logs: tuple[Signed, ...]
    witnesses: tuple[Signed, ...]


def parse_body(text: str) -> Checkpoint:
    """Reads a note's text as a checkpoint.

    Raises:
        NoteError: the text is not a checkpoint in its one spelling.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:  # noqa: PLR2004 - three lines and what follows the last newline
        raise NoteError("a checkpoint has at least three lines")
    origin, size, root, *extensions = lines[:-1]
    if not (size.isascii() and size.isdecimal()) or len(size) > _MAX_DIGITS:
        raise NoteError("the size is not a decimal number")
    if str(int(size)) != size:
        raise NoteError("the size has leading zeroes")
    try:
        digest = base64_bytes(root)
    except ValueError as error:
        raise NoteError("the root is not base64") from error
    return Checkpoint(origin, int(size), digest, tuple(extensions))


def open_checkpoint(
    data: bytes,
    keys: Sequence[VerifierKey],
    *,
    origin: str | None = None,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
) -> SignedCheckpoint:
    """Reads a checkpoint and verifies who signed it.

    Args:
        data: the note.
        keys: the log's keys (type Ed25519): one is enough, but none that is known
            may have signed badly. Several while a key is being replaced.
        origin: the log's name, as the caller knows it; None takes any that the keys sign.
        witnesses: keys of witnesses (type cosignature).
        quorum: how many different witness keys must have cosigned.

    Raises:
        ValueError: the keys are of the wrong type, or the quorum can't be reached with them.
        SignatureError: no log key signed, a known key's signature is bad, or the quorum is missed.
        NoteError: the note or its text is malformed, or of another origin.
    """
    if not keys or any(key.type is not KeyType.ED25519 for key in keys):
        raise ValueError("a checkpoint needs at least one log key, all of them Ed25519")
    if any(key.type is not KeyType.COSIGNATURE for key in witnesses):
        raise ValueError("a witness's key must be of the type cosignature")
    if not 0 <= quorum <= len({key.public_key for key in witnesses}):
        raise ValueError("the quorum can't be reached with these witnesses")
    note = parse_note(data)
    signed = check_note(note, [*keys, *witnesses])
    logs = tuple(one for one in signed if one.key.type is KeyType.ED25519)
    cosigned = tuple(one for one in signed if one.key.type is KeyType.COSIGNATURE)
    if not logs:
        raise SignatureError("no trusted log key has signed the checkpoint")
    # One key under two names is one witness.
    if len({one.key.public_key for one in cosigned}) < quorum:
        raise SignatureError(f"{len(cosigned)} of {quorum} needed witnesses have cosigned")
    checkpoint = parse_body(note.text)
    if origin is not None and checkpoint.origin != origin:
        raise NoteError("the checkpoint is another log's")
    return SignedCheckpoint(checkpoint, note, logs, cosigned)
