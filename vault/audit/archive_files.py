"""A folder that a log was archived into: C2SP tlog-tiles and an index for each month.

docs/formats.md, "archive", is the contract. Guarantees: a file appears whole and durable or not at
all, under its name it never changes again, and only `checkpoint` is ever replaced. Leaves to
`vault.audit.archive` what is written, to `vault.audit.archive_verify` whether it is sound, and
to its caller that only one process writes.
"""

import contextlib
import filecmp
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from vault.audit.merkle import HASH_SIZE
from vault.audit.note import MAX_NOTE
from vault.audit.succession import MAX_CHAIN, read_chain, write_chain
from vault.audit.tiles import MAX_BUNDLED_ENTRY, WIDTH, Tile, TileError, read_bundle

CHECKPOINT = "checkpoint"
SUCCESSIONS = "successions"
"""The chain of the log's keys, if there is one."""
INDEX_RECORD = struct.Struct(">16sQ")
"""Entry id, leaf index."""
MAX_BUNDLE = WIDTH * (MAX_BUNDLED_ENTRY + 2)

_MODE = 0o444
_DRAFT = ".new"
_WRITERS = 8
"""Files on their way to the disk at a time: most of the time is spent waiting for it."""
_MAX_WAITING = 256
_OTHER = "is there with other bytes; it is left as it is"


class ArchiveError(Exception):
    """The folder can't be used as it is.

    Attributes:
        path: which file, below the folder; empty for the folder itself.
    """

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}" if path else text)
        self.path = path


def index_path(month: str) -> str:
    """Of a month such as `2024-01`."""
    return f"index/{month}"


class ArchiveReader:
    """Reads. Every method raises OSError as the file system says."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str, limit: int) -> bytes | None:
        """A file's bytes, at most `limit` and one more; None if there is no file."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def checkpoint(self) -> bytes | None:
        return self.read(CHECKPOINT, MAX_NOTE)

    def successions(self) -> tuple[str, ...]:
        """The chain of the log's keys.

        Raises:
            NoteError: the file is none.
        """
        data = self.read(SUCCESSIONS, MAX_CHAIN)
        return () if data is None else read_chain(data)

    def tile(self, tile: Tile) -> tuple[str, bytes | None]:
        """A tile's hashes and where they come from: its own file, or the full tile's beginning."""
        data = self.read(tile.path, WIDTH * HASH_SIZE)
        full = Tile(tile.level, tile.index)
        if data is None and not tile.is_full:
            data = self.read(full.path, WIDTH * HASH_SIZE)
            if data is not None:
                return full.path, data[: tile.width * HASH_SIZE]
        return tile.path, data

    def entries(self, tile: Tile) -> tuple[str, list[bytes] | None]:
        """The entries of a tile of level 0, and where they come from, as `tile`.

        Raises:
            ArchiveError: the file is no bundle.
        """
        for one in (tile,) if tile.is_full else (tile, Tile(0, tile.index)):
            data = self.read(one.entries_path, MAX_BUNDLE)
            if data is not None:
                try:
                    return one.entries_path, read_bundle(data, one.width)[: tile.width]
                except TileError as error:
                    raise ArchiveError(one.entries_path, str(error)) from error
        return tile.entries_path, None


class EntryArchive(ArchiveReader):
    """Entries for the service. What it gives is to be compared with the leaf's hash."""

    def block(self, index: int) -> list[bytes]:
        """The entries of the leaves from 256 x `index` on, as many as there are.

        Raises:
            ArchiveError: a file is no bundle.
            OSError: a file can't be read.
        """
        tile = Tile(0, index)
        entries = self.entries(tile)[1]
        partial = self.root / f"{tile.entries_path}.p"
        if entries is None and partial.is_dir():
            widths = [int(file.name) for file in partial.iterdir() if file.name.isdecimal()]
            entries = self.entries(Tile(0, index, max(widths)))[1] if widths else None
        return entries or []


class ArchiveWriter(ArchiveReader):
    """Writes; for one thread. Close it.

    Attributes:
        written: files that were not there before.
    """

    def __init__(self, root: Path) -> None:
        """Raises: OSError: the folder can't be made."""
        super().__init__(root)
        root.mkdir(parents=True, exist_ok=True)
        self.written = 0
        self._folders: set[Path] = {root}
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="archive")
        self._waiting: list[Future[None]] = []

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def keep(self, path: str, data: bytes) -> None:
        """Writes a file, or makes sure that it is there with these very bytes.

        It is durable after `settle`, which may also raise what went wrong here.

        Raises:
            ArchiveError: it is there with others.
            OSError: as the file system says.
        """
        there = self.read(path, len(data))
        if there is not None:
            if there != data:
                raise ArchiveError(path, _OTHER)
            return
        self._make_folder((self.root / path).parent)
        if len(self._waiting) >= _MAX_WAITING:
            self._wait()
        self._waiting.append(self._pool.submit(self._write, path, data))
        self.written += 1

    @contextlib.contextmanager
    def keep_long(self, path: str) -> Iterator[BinaryIO]:
        """As `keep`, for a long file that is written piece by piece.

        Raises:
            ArchiveError, OSError: as `keep`.
        """
        whole = self.root / path
        self._make_folder(whole.parent)
        draft, file = _open_draft(whole)
        with file:
            yield file
            _finish(file)
        if not whole.exists():
            draft.replace(whole)
            self.written += 1
            return
        same = filecmp.cmp(draft, whole, shallow=False)
        draft.unlink()
        if not same:
            raise ArchiveError(path, _OTHER)

    def replace_checkpoint(self, note: bytes, successions: Sequence[str] = ()) -> None:
        """Puts another checkpoint in the place of the one that is there, after `settle`; before
        it, the chain of the log's keys, if there is one.

        Raises:
            OSError: as the file system says.
        """
        chain = write_chain(successions) if successions else None
        if chain is not None and self.read(SUCCESSIONS, MAX_CHAIN) != chain:
            self._write(SUCCESSIONS, chain)
        self.settle()
        if self.checkpoint() != note:
            self._write(CHECKPOINT, note)
        self.settle()

    def settle(self) -> None:
        """Waits until everything is on the disk.

        Raises:
            OSError: as the file system says.
        """
        self._wait()
        for folder in self._folders:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._folders = {self.root}

    def _wait(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.result()

    def _make_folder(self, folder: Path) -> None:
        if folder in self._folders:
            return
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
        self._folders.add(folder)

    def _write(self, path: str, data: bytes) -> None:
        whole = self.root / path
        draft, file = _open_draft(whole)
        with file:
            file.write(data)
            _finish(file)
        draft.replace(whole)


def _open_draft(path: Path) -> tuple[Path, BinaryIO]:
    draft = path.with_name(f".{path.name}{_DRAFT}")
    draft.unlink(missing_ok=True)  # of a run that was cut off
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    return draft, os.fdopen(descriptor, "wb")


def _finish(file: BinaryIO) -> None:
    file.flush()
    os.fchmod(file.fileno(), _MODE)
    os.fsync(file.fileno())
