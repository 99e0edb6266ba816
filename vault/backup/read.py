"""A backup's file, read from its beginning to its end once.

Guarantees: what `records` gives is of this backup and in order (`stream`, `contents`). Only when it
has ended without an error is it sure that nothing is missing: whoever acts on records must be
able to take it back until then.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from vault.backup.contents import Record, read_records
from vault.backup.stream import BackupError, Header, open_chunks, read_header


class BackupReader:
    """An opened backup.

    Attributes:
        size: bytes of the file; `done`: of them read so far.
        header: what stands in clear, not yet proved.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file and reads its header.

        Raises:
            BackupError: it is no backup.
            OSError: as the file system says.
        """
        self._file = path.open("rb")
        try:
            status = os.fstat(self._file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BackupError("not a regular file")
            self.size, self.done = status.st_size, 0
            self.header: Header = read_header(self._read)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def records(self, data_key: bytes) -> Iterator[Record]:
        """Everything in it, once.

        Raises:
            BackupError: it was changed or cut, or the key is another.
            OSError: as the file system says.
        """
        return read_records(open_chunks(self._read, self.header, data_key))

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        self.done += len(data)
        return data
