"""A backup's file: written beside its place, synced, and put there whole.

Guarantees: the place holds either nothing or a whole backup; what is there is never written over;
what was not finished goes, unless the process is killed (then a file `.NAME.*.partial` stays,
which no reader takes). Blocking; the writes are short.
"""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

_MODE = 0o600


class BackupFile:
    """The file that is being written."""

    def __init__(self, path: Path) -> None:
        """Opens a draft beside `path`.

        Raises:
            FileExistsError: `path` is there.
            OSError: as the file system says.
        """
        if path.exists() or path.is_symlink():
            raise FileExistsError(17, "is there already, and is not written over", str(path))
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        self._draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        self._file = os.fdopen(descriptor, "wb", buffering=1 << 20)

    def write(self, data: bytes) -> None:
        """Raises OSError, such as when the disk is full."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> bytes:
        """Makes it durable and puts it in its place.

        Returns:
            SHA-256 of the file.

        Raises:
            FileExistsError: something has come to be there meanwhile.
            OSError: as the file system says.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        # A link and no renaming: it fails if the place is taken.
        os.link(self._draft, self.path)
        self._draft.unlink()
        folder = os.open(self.path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._hash.digest()

    def drop(self) -> None:
        """Takes away what was written. Harmless after `finish`."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._draft.unlink(missing_ok=True)
