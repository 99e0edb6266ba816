"""The ledger's file: read whole, added to durably, by one process at a time.

Guarantees: what `add` was given is on the disk when it returns (file and folder synced), or it
raises and the file ends where it ended; a line that a crash cut off was never relied on, is passed
over by readers and taken away by the next who adds. What a process has read once is not read
again while it is unchanged at the end. Leaves to `vault.service.ledger`: the order of file and
database. Blocking; call from a thread.

Locks are `flock`: on network file systems use one that carries them (NFS 4 does).
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vault.keys.ledger import (
    MAX_LINE,
    Head,
    Header,
    LedgerError,
    Line,
    Linked,
    encode_header,
    encode_line,
    line_hash,
    read_header,
    read_line,
)

_MODE = 0o600


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What a ledger holds, as far as somebody asked.

    Attributes:
        head: where it ends.
        known: the line at the index that was asked about; None: it is shorter.
        missing: the lines behind that index.
        first: the header; None if it was not read anew.
        end: bytes of whole lines; what is behind was cut off by a crash.
    """

    head: Head
    known: Head | None
    missing: tuple[Linked, ...]
    first: Head | None
    end: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """A line that was read: its place in the file and in the chain."""

    head: Head
    begin: int
    end: int


class LedgerFile:
    """One process's way to the ledger."""

    def __init__(self, path: Path, *, origin: str, sync: Callable[[int], None] = os.fsync) -> None:
        """Describe it.

        Args:
            path: where it lies.
            origin: name of the audit log of this deployment; a ledger of another is refused.
            sync: makes a descriptor's content durable.
        """
        self.path = path
        self.origin = origin
        self._sync = sync
        self._mark: _Mark | None = None

    def open(self, *, write: bool) -> "OpenLedger | None":
        """Opens the file, not locked yet; None if there is none and only reading is wanted.

        Raises:
            OSError: as the file system says.
        """
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        try:
            descriptor = os.open(self.path, flags | os.O_CLOEXEC, _MODE)
        except FileNotFoundError:
            if write:
                raise
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError("the ledger is no regular file")
        return OpenLedger(self, descriptor, write=write)


class OpenLedger:
    """The file, opened by somebody who wants it alone (to add) or with other readers."""

    def __init__(self, ledger: LedgerFile, descriptor: int, *, write: bool) -> None:
        self._ledger = ledger
        self._descriptor = descriptor
        self._write = write

    def try_lock(self) -> bool:
        """Whether the lock is ours now; False: somebody else has it, or the file was replaced.

        Raises:
            OSError: as the file system says.
        """
        try:
            how = fcntl.LOCK_EX if self._write else fcntl.LOCK_SH
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_current(self) -> bool:
        """Whether the path still leads to this file."""
        try:
            there = self._ledger.path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(self._descriptor)
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def close(self) -> None:
        """Gives up lock and file."""
        os.close(self._descriptor)

    def view(self, index: int) -> LedgerView | None:
        """Reads and checks the lines, at least all that this process has not read yet.

        Args:
            index: how far the caller knows it; -1 for not at all.

        Returns:
            None for a file without a whole line: no ledger was begun.

        Raises:
            LedgerError: it is not what it must be, or another deployment's.
            OSError: as the file system says.
        """
        mark = self._trusted_mark(index)
        begin: Head | None = None
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            if mark is None:
                file.seek(0)
                first = file.readline(MAX_LINE + 1)
                if not first.endswith(b"\n"):
                    if len(first) > MAX_LINE:
                        raise LedgerError("is too long", 0)
                    return None
                header, begin = read_header(first[:-1])
                if header.origin != self._ledger.origin:
                    raise LedgerError("it is the ledger of another deployment")
                mark = _Mark(begin, 0, len(first))
            file.seek(mark.end)
            known = mark if mark.head.index <= index else None
            missing: list[Linked] = []
            while True:
                data = file.readline(MAX_LINE + 2)
                if not data.endswith(b"\n"):
                    if len(data) > MAX_LINE:
                        raise LedgerError("is too long", mark.head.index + 1)
                    break
                linked = read_line(data[:-1], mark.head)
                mark = _Mark(linked.head, mark.end, mark.end + len(data))
                if linked.head.index <= index:
                    known = mark
                else:
                    missing.append(linked)
        if known is not None:
            self._ledger._mark = known  # noqa: SLF001 - the two are one
        found = known.head if known is not None and known.head.index == index else None
        return LedgerView(mark.head, found, tuple(missing), begin, mark.end)

    def begin(self, header: Header) -> Head:
        """Writes the first line into a file without one.

        Raises:
            OSError: as the file system says; the file is empty then.
        """
        data = encode_header(header)
        self._put(data + b"\n", 0)
        return Head(0, line_hash(data))

    def add(self, line: Line, after: Head, end: int) -> Head:
        """Writes a line behind what was viewed: its head and end.

        Raises:
            OSError: as the file system says; the file ends where it ended.
        """
        data = encode_line(line, after)
        if len(data) > MAX_LINE:
            raise OSError("the line is too long")
        self._put(data + b"\n", end)
        return Head(after.index + 1, line_hash(data))

    def _put(self, data: bytes, at: int) -> None:
        descriptor = self._descriptor
        os.ftruncate(descriptor, at)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, data[written:], at + written)
            self._ledger._sync(descriptor)  # noqa: SLF001 - the two are one
            # The folder each time: whoever made the file may have died before it was durable.
            folder = os.open(self._ledger.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._ledger._sync(folder)  # noqa: SLF001 - the two are one
            finally:
                os.close(folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, at)
                self._ledger._sync(descriptor)  # noqa: SLF001 - the two are one
            raise

    def _trusted_mark(self, index: int) -> _Mark | None:
        """Where reading may go on: a line that was read before and still lies there."""
        mark = self._ledger._mark  # noqa: SLF001 - the two are one
        if mark is None or mark.head.index > index:
            return None
        data = os.pread(self._descriptor, mark.end - mark.begin, mark.begin)
        if len(data) != mark.end - mark.begin or line_hash(data[:-1]) != mark.head.hash:
            return None
        return mark
