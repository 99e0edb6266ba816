"""The newest checkpoint, kept in a file outside the database: the log may not go back behind it.

Guarantees: the file is replaced as a whole and durably, and never by a smaller checkpoint.
A database that is older than the file, or holds another history, is found by `check`.
Leaves to the operator to keep the file where a restore of the database does not reach.
"""

import os
import secrets
from pathlib import Path

from vault.audit.alarms import Alarm, TreeDamageError
from vault.audit.checkpoint import Checkpoint
from vault.audit.growth import StoredTree, take_up
from vault.audit.note import NoteError
from vault.audit.signer import CheckpointSigner

_MODE = 0o600


class WitnessError(Exception):
    """The witness file is there but can't be used."""


class WitnessFile:
    """One process's memory of the log. Blocking; call from a thread."""

    def __init__(self, path: Path, *, signer: CheckpointSigner) -> None:
        self._path = path
        self._signer = signer
        self._size = 0

    def read(self) -> Checkpoint | None:
        """The checkpoint in the file; None if there is no file.

        Raises:
            WitnessError: the file can't be read, or holds no checkpoint of this log.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WitnessError("the witness file can't be read") from error
        try:
            checkpoint = self._signer.check(data)
        except NoteError as error:
            raise WitnessError("the witness file holds no checkpoint of this log's key") from error
        self._size = max(self._size, checkpoint.size)
        return checkpoint

    def write(self, size: int, note: str) -> None:
        """Keeps a checkpoint, unless a larger one is kept.

        Args:
            size: of the tree that the note is about.
            note: verified by the caller.

        Raises:
            OSError: as the file system says; the old file is untouched.
        """
        if size <= self._size:
            return
        draft = self._path.with_name(f".{secrets.token_hex(4)}.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(note.encode())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._size = size


async def check_history(stored: StoredTree, checkpoint: Checkpoint) -> None:
    """Makes sure that what is stored goes on from a checkpoint.

    Raises:
        TreeDamageError: ROLLED_BACK: it is smaller; FORKED: it has another root at that size;
            LEAF_DAMAGED, TILE_DAMAGED: the root can't be computed.
        VaultError: the database does not answer.
    """
    if await stored.size() < checkpoint.size:
        raise TreeDamageError(Alarm.ROLLED_BACK, checkpoint.size)
    if (await take_up(stored, checkpoint.size)).root() != checkpoint.root:
        raise TreeDamageError(Alarm.FORKED, checkpoint.size)
