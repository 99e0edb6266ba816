"""Entries of months that went to files: looked for in the archive's folder, page by page.

Guarantees: what is given has the hash that the tree has for its leaf, and the index that led
there is the one that was noted when its month went; a page looks at a bounded number of
entries. Leaves to its caller what is newer.
"""

import asyncio
import datetime as dt
import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vault.audit.archive_files import INDEX_RECORD, ArchiveError, EntryArchive, index_path
from vault.audit.entry import EntryFormatError, decode, leaf_hash
from vault.audit.tiles import WIDTH
from vault.errors import Reason, VaultError
from vault.model import TenantId
from vault.rows import ArchivedMonth, EntryFilter, StoredEntry
from vault.service.entry_filter import marks, passes
from vault.store.proofs import LeafPlace

LOOKS = 20_000
"""Entries that one page looks at (measured: 0.1 s, mostly reading)."""
_BLOCKS = 4
"""Bundles kept while a page is looked for: ids and leaves are nearly in the same order."""
_FIRST_TIME = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LAST_TIME = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
_AHEAD = dt.timedelta(minutes=1)
"""Ids of a burst may run ahead of their entries' times."""


class ArchivedPlaces(Protocol):
    """What the database knows of archived entries."""

    async def archived_months(
        self, start: dt.datetime, end: dt.datetime
    ) -> list[ArchivedMonth]: ...
    async def find_leaves(
        self, entry_ids: Sequence[uuid.UUID], tenant: TenantId
    ) -> dict[uuid.UUID, LeafPlace]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Entries, newest first.

    Attributes:
        reached: the last entry that was looked at, if older ones were not; None if all were.
    """

    entries: Sequence[StoredEntry]
    reached: uuid.UUID | None


class ArchivedEntries:
    """Looks through a folder."""

    def __init__(self, folder: Path, places: ArchivedPlaces, *, looks: int = LOOKS) -> None:
        """Takes the folder, and what the database knows; `looks` is for one page."""
        self._archive = EntryArchive(folder)
        self._looks = looks
        self._places = places
        self._checked: set[bytes] = set()

    async def find(self, wanted: EntryFilter, floor: uuid.UUID | None) -> Found:
        """The newest entries that pass, older than `wanted.before`, at most `wanted.limit`.

        Args:
            wanted: the filter.
            floor: older entries are of no interest.

        Raises:
            VaultError: the database failed; DATA_CORRUPT, the folder lacks a month or an entry,
                or has it otherwise than the tree.
        """
        start, end = wanted.start or _FIRST_TIME, wanted.end or _LAST_TIME
        newest = wanted.entry_id or wanted.before
        oldest = wanted.entry_id or floor
        if newest is not None:
            end = min(end, _time(newest) + _AHEAD)
        if oldest is not None:
            start = max(start, _time(oldest) - _AHEAD)
        months = await self._places.archived_months(start, end) if start < end else []
        if not months:
            return Found((), None)
        try:
            search = await asyncio.to_thread(self._search, months, wanted, floor)
        except (ArchiveError, OSError, EntryFormatError) as error:
            raise _unfit() from error
        places = await self._places.find_leaves(
            [stored.entry_id for _, stored in search.hits], wanted.tenant
        )
        for index, stored in search.hits:
            place = places.get(stored.entry_id)
            if place is None or (place.index, place.leaf_hash) != (index, stored.leaf_hash):
                raise _unfit()
        return Found([stored for _, stored in search.hits], search.reached)

    def _search(
        self, months: Sequence[ArchivedMonth], wanted: EntryFilter, floor: uuid.UUID | None
    ) -> "_Search":
        search = _Search(self._archive, wanted, floor, self._looks)
        for month in months:
            path = self._archive.root / index_path(month.label)
            index = path.read_bytes()
            if month.index_sha256 not in self._checked:
                if hashlib.sha256(index).digest() != month.index_sha256:
                    raise ArchiveError(index_path(month.label), "is not the index of its month")
                self._checked.add(month.index_sha256)
            if not search.go_through(index):
                break
        return search


class _Search:
    """One page's way through the months, from new to old.

    Attributes:
        hits: leaf index and entry.
        reached: as in `Found`.
    """

    def __init__(
        self, archive: EntryArchive, wanted: EntryFilter, floor: uuid.UUID | None, looks: int
    ) -> None:
        self.hits: list[tuple[int, StoredEntry]] = []
        self.reached: uuid.UUID | None = None
        self._archive = archive
        self._wanted = wanted
        self._marks = marks(wanted)
        self._floor = b"" if floor is None else floor.bytes
        self._left = looks
        self._blocks: OrderedDict[int, list[bytes]] = OrderedDict()

    def go_through(self, index: bytes) -> bool:
        """Goes through a month; False once there is nothing more to look for."""
        wanted = self._wanted
        at = len(index) // INDEX_RECORD.size
        if wanted.entry_id is not None:
            at = _position(index, wanted.entry_id.int + 1)
        elif wanted.before is not None:
            at = _position(index, wanted.before.int)
        while at:
            at -= 1
            entry_id, leaf = INDEX_RECORD.unpack_from(index, at * INDEX_RECORD.size)
            if entry_id <= self._floor or (wanted.entry_id and entry_id != wanted.entry_id.bytes):
                return False
            self._look(leaf, uuid.UUID(bytes=entry_id))
            self._left -= 1
            if len(self.hits) == wanted.limit:
                return False
            if not self._left:
                self.reached = uuid.UUID(bytes=entry_id)
                return False
        return True

    def _look(self, leaf: int, entry_id: uuid.UUID) -> None:
        entries = self._block(leaf // WIDTH)
        if leaf % WIDTH >= len(entries):
            raise ArchiveError("", "an entry is missing")
        data = entries[leaf % WIDTH]
        if all(mark in data for mark in self._marks):
            entry = decode(data)
            if entry.entry_id != entry_id:
                raise ArchiveError("", "an index leads to another entry")
            if passes(entry, self._wanted):
                self.hits.append((leaf, StoredEntry(entry_id, data, leaf_hash(data))))

    def _block(self, number: int) -> list[bytes]:
        if number not in self._blocks:
            if len(self._blocks) == _BLOCKS:
                self._blocks.popitem(last=False)
            self._blocks[number] = self._archive.block(number)
        return self._blocks[number]


def _position(index: bytes, entry_id: int) -> int:
    """How many of an index's records have a smaller id."""
    low, high = 0, len(index) // INDEX_RECORD.size
    while low < high:
        middle = (low + high) // 2
        at = middle * INDEX_RECORD.size
        if int.from_bytes(index[at : at + 16]) < entry_id:
            low = middle + 1
        else:
            high = middle
    return low


def _time(entry_id: uuid.UUID) -> dt.datetime:
    """The time in an id; that of another version is bounded to what can be told."""
    milliseconds = min(entry_id.int >> 80, int(_LAST_TIME.timestamp() * 1000))
    return _FIRST_TIME + dt.timedelta(milliseconds=milliseconds)


def _unfit() -> VaultError:
    return VaultError(
        Reason.DATA_CORRUPT, "audit.archive_directory lacks a month or an entry, or has another"
    )
