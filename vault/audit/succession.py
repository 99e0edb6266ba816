"""Key successions: the log's old key vouches for the new one in a signed note.

docs/formats.md, "Key succession", is the contract. Whoever trusts one key of the log follows
the notes forward to the key that signs today; never backward, and past no gap. Pure.
What it can't tell: that an old key was stolen. Whoever gives up trust in a key no longer names it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from vault.audit.note import (
    KeyFormatError,
    KeyType,
    NoteError,
    SignatureError,
    VerifierKey,
    check_note,
    parse_note,
)

HEAD = "pdvault audit log: key succession v1"
"""No log's name may look like this, and no checkpoint has a log's name in its second line."""
_LINES = 5
MAX_CHAIN = 1 << 20
"""Bytes of a file with a chain; a step has a few hundred."""


class SuccessionError(SignatureError):
    """The notes are each sound, but they are no chain."""


@dataclass(frozen=True, slots=True)
class Succession:
    """One step, from a key of a log to the one that signs after it."""

    old: VerifierKey
    new: VerifierKey

    def __post_init__(self) -> None:
        """Raises: NoteError: not two keys of one log."""
        if self.old.name != self.new.name or self.old.public_key == self.new.public_key:
            raise NoteError("a key succession is of two keys of one log")
        if {self.old.type, self.new.type} != {KeyType.ED25519}:
            raise NoteError("a key succession is of keys that sign checkpoints")

    def text(self) -> str:
        """What the old key signs. No time in it: made twice, it is the same."""
        return f"{HEAD}\n{self.old.name}\n{self.old}\n{self.new}\n"


def open_succession(data: bytes) -> Succession:
    """Reads one note and verifies that its old key signed it. That key is not trusted by this.

    Raises:
        SignatureError: the old key did not sign it.
        NoteError: it is no succession in its one spelling.
    """
    note = parse_note(data)
    lines = note.text.split("\n")
    if len(lines) != _LINES or lines[0] != HEAD:
        raise NoteError("not a key succession")
    try:
        step = Succession(VerifierKey.parse(lines[2]), VerifierKey.parse(lines[3]))
    except KeyFormatError as error:
        raise NoteError(f"a key succession names no key: {error}") from error
    if step.text() != note.text:
        raise NoteError("the key succession is not in its one spelling")
    check_note(note, [step.old])
    return step


def open_chain(notes: Sequence[str], *, origin: str) -> tuple[Succession, ...]:
    """Every step of a chain, each signed, each going on where the one before ends.

    Raises:
        SignatureError: a step is not signed by its old key.
        SuccessionError: a step is missing, doubled, out of order or another log's.
        NoteError: one is no succession.
    """
    steps: list[Succession] = []
    for note in notes:
        step = open_succession(note.encode())
        if step.old.name != origin:
            raise SuccessionError("a key succession is another log's")
        if steps and step.old != steps[-1].new:
            raise SuccessionError(
                "the key successions are no chain: one is missing or out of place"
            )
        if any(step.new == before.old for before in steps):
            raise SuccessionError("the key successions lead back to a key that was replaced")
        steps.append(step)
    return tuple(steps)


def follow(
    keys: Sequence[VerifierKey], notes: Sequence[str], *, origin: str | None = None
) -> list[VerifierKey]:
    """The trusted keys, and those that they vouch for.

    Args:
        keys: that are trusted already.
        notes: the chain, the oldest first; may begin before the first trusted key.
        origin: the log's name; None: the name of the first key.

    Raises:
        NoteError: as `open_chain`: a chain that is damaged anywhere is not followed at all.
    """
    trusted = list(keys)
    for step in open_chain(notes, origin=origin or keys[0].name):
        if step.old in trusted and step.new not in trusted:
            trusted.append(step.new)
    return trusted


def signing_key(note: bytes, keys: Sequence[VerifierKey]) -> VerifierKey | None:
    """The first of these keys whose signature a note has, by its id alone; None: of none.

    Raises:
        NoteError: it is no note.
    """
    signed = {(line.name, line.key_id) for line in parse_note(note).signatures}
    return next((key for key in keys if (key.name, key.id) in signed), None)


def write_chain(notes: Sequence[str]) -> bytes:
    """A file for a chain: a JSON list of notes, one a line."""
    lines = ",\n".join(json.dumps(note, ensure_ascii=False) for note in notes)
    return f"[\n{lines}\n]\n".encode()


def read_chain(data: bytes) -> tuple[str, ...]:
    """The notes in such a file; none is looked at.

    Raises:
        NoteError: not such a file, in its one spelling.
    """
    try:
        notes = json.loads(data)
        is_chain = write_chain(notes) == data and all(isinstance(note, str) for note in notes)
    except (ValueError, TypeError, RecursionError) as error:
        raise NoteError("not a chain of key successions") from error
    if not is_chain or len(data) > MAX_CHAIN:
        raise NoteError("not a chain of key successions in its one spelling")
    return tuple(notes)
