"""Takes old months of the log into an archive: what may go, and the files.

Guarantees: only whole months go that are over, and whose entries all stand under a signed
checkpoint; every entry is derived anew before it is written; the archive is a complete log of its
own at its checkpoint, which is replaced last, so that it is sound at any time. Leaves to its
caller to verify what was written, and then to drop the month (`vault.store.archives`).
"""

import asyncio
import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.audit.archive_files import INDEX_RECORD, ArchiveError, ArchiveWriter, index_path
from vault.audit.checkpoint import Checkpoint
from vault.audit.entry import leaf_hash
from vault.audit.tiles import WIDTH, Tile, TileBuilder, write_bundle
from vault.rows import CheckpointRow, LeafRow, LogMonth, MonthFacts

_BATCH = 16 * WIDTH
"""Leaves in one trip."""


class RefusedError(Exception):
    """Nothing can be archived now.

    Attributes:
        faults: why, one each.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class MonthReader(Protocol):
    """The log with its owner's role. Raises VaultError."""

    async def months(self) -> list[LogMonth]: ...
    async def month_facts(self, month: LogMonth) -> MonthFacts: ...
    async def covering_checkpoint(self, size: int) -> CheckpointRow | None: ...
    async def leaves(self, start: int, count: int) -> list[LeafRow]: ...
    def month_ids(
        self, month: LogMonth, first: int, last: int
    ) -> AsyncIterator[list[tuple[bytes, int]]]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done.

    Attributes:
        months: that go, the oldest first.
        checkpoint: that the archive will have.
        size: leaves that the archive has already.
    """

    months: tuple[tuple[LogMonth, MonthFacts], ...]
    checkpoint: CheckpointRow
    size: int

    @property
    def begin(self) -> int:
        """The first leaf that this run answers for."""
        firsts = [facts.first for _, facts in self.months if facts.first is not None]
        return min([self.size, *firsts])


async def make_plan(
    log: MonthReader, before: dt.date, today: dt.date, old: Checkpoint | None
) -> Plan | None:
    """Chooses months that end before the month `before` begins.

    Args:
        log: read, never changed.
        before: the first day of a month.
        today: in UTC.
        old: the checkpoint that the folder has, opened with the log's key.

    Returns:
        None if there is no such month.

    Raises:
        RefusedError: one of them can't go yet, or the folder is not this log's.
        VaultError: the database failed.
    """
    if before > today:
        raise RefusedError([f"the month before {before:%Y-%m} is not over"])
    chosen = [month for month in await log.months() if month.end.date() <= before]
    months = [(month, await log.month_facts(month)) for month in chosen]
    if not months:
        return None
    faults = [
        f"{month.name}: {facts.entries - facts.sequenced} entries have no place in the log yet"
        for month, facts in months
        if facts.entries != facts.sequenced
    ]
    if old is not None:
        stored = await log.covering_checkpoint(old.size)
        if stored is None or (stored.size, stored.root) != (old.size, old.root):
            faults.append("the folder's checkpoint is not one of this database")
    size = 0 if old is None else old.size
    lasts = [facts.last + 1 for _, facts in months if facts.last is not None]
    checkpoint = await log.covering_checkpoint(max([1, size, *lasts]))
    if checkpoint is None:
        faults.append("no checkpoint covers these months yet")
    if faults or checkpoint is None:
        raise RefusedError(faults)
    return Plan(tuple(months), checkpoint, size)


async def write_archive(
    log: MonthReader, writer: ArchiveWriter, plan: Plan, progress: Callable[[int, int], None]
) -> dict[str, bytes]:
    """Writes the files, those that are there already excepted, and the checkpoint last.

    Args:
        log: read, never changed.
        writer: of the folder; its caller closes it.
        plan: from `make_plan`.
        progress: called with leaves done and leaves in all.

    Returns:
        The SHA-256 of each month's index, by the month's name.

    Raises:
        ArchiveError: a file is there with other bytes, or the log is damaged.
        OSError, VaultError: disk or database failed.
    """
    target = plan.checkpoint
    growing = _Growing(writer, plan.size)
    ahead = asyncio.create_task(log.leaves(plan.size, min(_BATCH, target.size - plan.size)))
    try:
        while growing.size < target.size:
            rows = await ahead
            if not rows:
                raise ArchiveError("", f"leaf {growing.size} is not in the database")
            begin = growing.size + len(rows)
            ahead = asyncio.create_task(log.leaves(begin, min(_BATCH, target.size - begin)))
            await asyncio.to_thread(growing.add, rows)
            progress(growing.size - plan.size, target.size - plan.size)
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)
    await asyncio.to_thread(growing.finish, target.root)
    digests = {}
    for month, facts in plan.months:
        digest = hashlib.sha256()
        with writer.keep_long(index_path(month.label)) as file:
            if facts.first is not None and facts.last is not None:
                async for records in log.month_ids(month, facts.first, facts.last):
                    data = b"".join(INDEX_RECORD.pack(*record) for record in records)
                    digest.update(data)
                    file.write(data)
        digests[month.name] = digest.digest()
    await asyncio.to_thread(writer.replace_checkpoint, target.note.encode(), target.successions)
    return digests


class _Growing:
    """The archive's right edge."""

    def __init__(self, writer: ArchiveWriter, size: int) -> None:
        """Takes up the archive where its checkpoint ends.

        Raises:
            ArchiveError: its last bundle is not there.
            OSError: as the file system says.
        """
        self._writer = writer
        self._tiles = TileBuilder(size, self._stored)
        self._block: list[bytes] = []
        if size % WIDTH:
            path, entries = writer.entries(Tile(0, size // WIDTH, size % WIDTH))
            if entries is None:
                raise ArchiveError(path, "is missing")
            self._block = entries

    @property
    def size(self) -> int:
        return self._tiles.size

    def add(self, rows: Sequence[LeafRow]) -> None:
        """Adds leaves.

        Raises:
            ArchiveError: one does not follow, or its entry is gone or damaged.
            OSError: as the file system says.
        """
        for row in rows:
            if row.entry is None:
                raise ArchiveError("", f"the entry of leaf {row.index} is not in the database")
            if row.index != self.size or leaf_hash(row.entry) != row.leaf_hash:
                raise ArchiveError("", f"leaf {self.size} of the database is damaged")
            self._block.append(row.entry)
            full = self._tiles.append(row.leaf_hash)
            if full:
                bundle = write_bundle(self._block)
                self._writer.keep(Tile(0, row.index // WIDTH).entries_path, bundle)
                self._block = []
            for tile, data in full:
                self._writer.keep(tile.path, data)

    def finish(self, root: bytes) -> None:
        """Writes the edge, if all gave the root that was signed.

        Raises:
            ArchiveError: they did not.
            OSError: as the file system says.
        """
        if self._tiles.root() != root:
            raise ArchiveError("", "the database's entries do not give the root that was signed")
        for tile, data in self._tiles.edge():
            self._writer.keep(tile.path, data)
            if tile.level == 0:
                self._writer.keep(tile.entries_path, write_bundle(self._block))
        self._writer.settle()

    def _stored(self, tile: Tile) -> bytes:
        path, data = self._writer.tile(tile)
        if data is None:
            raise ArchiveError(path, "is missing")
        return data
