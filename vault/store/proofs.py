"""What auditors read of the tree, with the auditors' own role."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from vault.model import TenantId
from vault.rows import ArchivedMonth, CheckpointRow, StoredEntry
from vault.store.database import Database
from vault.store.queries import QUERIES
from vault.store.tree import TreeReader


@dataclass(frozen=True, slots=True)
class LeafPlace:
    """Where an entry stands."""

    index: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class ExportLeaf:
    """A leaf.

    Attributes:
        entry: None where it is another tenant's, or in an archive.
        is_archived: it is the tenant's, and only an archive has it.
    """

    index: int
    leaf_hash: bytes
    entry: bytes | None
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class AccessCount:
    """Entries that share everything else here; `verdicts` as in `EntryRow`."""

    hour: dt.datetime
    rpc: str
    caller: str
    purpose: str
    verdicts: int
    entries: int


class ProofReader(TreeReader):
    """Reads for one answer. Every method raises VaultError (DATABASE_UNAVAILABLE).

    Args:
        quorum: cosignatures that a checkpoint should have.
    """

    def __init__(self, database: Database, *, quorum: int = 0) -> None:
        super().__init__(database)
        self._reader = database
        self._quorum = quorum

    async def newest_checkpoint(self) -> CheckpointRow | None:
        """The largest checkpoint with its cosignatures.

        Cosignatures come a moment after publication. So one that has `quorum` of them is
        taken in its place, unless it is more than 5 seconds older.
        """
        async with self._reader.connection() as connection:
            row = await connection.fetchrow(QUERIES["cosigned_checkpoint"], self._quorum)
        return None if row is None else CheckpointRow(*row)

    async def find_leaves(
        self, entry_ids: Sequence[UUID], tenant: TenantId
    ) -> dict[UUID, LeafPlace]:
        """Where each of these entries stands, those left out that the tenant may not know."""
        async with self._reader.connection() as connection:
            rows = await connection.fetch(QUERIES["find_leaves"], entry_ids, tenant)
        return {row["entry_id"]: LeafPlace(row["leaf_index"], row["leaf_hash"]) for row in rows}

    async def covering_checkpoint(self, size: int) -> CheckpointRow | None:
        """The first checkpoint of at least this size."""
        async with self._reader.connection() as connection:
            row = await connection.fetchrow(QUERIES["covering_checkpoint"], size)
        return None if row is None else CheckpointRow(*row)

    async def export_leaves(self, start: int, end: int, tenant: TenantId) -> list[ExportLeaf]:
        """The leaves [start, end) that exist, in order."""
        async with self._reader.connection() as connection:
            rows = await connection.fetch(QUERIES["export_leaves"], start, end, tenant)
        return [ExportLeaf(*row) for row in rows]

    async def entries_after(
        self, index: int, tenant: TenantId, limit: int
    ) -> list[tuple[int, StoredEntry]]:
        """Entries from a leaf index on, oldest first, at most `limit`."""
        async with self._reader.connection() as connection:
            rows = await connection.fetch(QUERIES["entries_after"], index, tenant, limit)
        return [
            (row["leaf_index"], StoredEntry(row["entry_id"], row["entry"], row["leaf_hash"]))
            for row in rows
        ]

    async def count_accesses(
        self, tenant: TenantId, start: dt.datetime, end: dt.datetime, case_id: UUID | None = None
    ) -> list[AccessCount]:
        """Accesses within [start, end) by hour; at most 100,001 rows. Of archived months the
        hours that begin within it, and none by case.
        """
        async with self._reader.connection() as connection:
            rows = await connection.fetch(QUERIES["count_accesses"], tenant, start, end, case_id)
        return [AccessCount(*row) for row in rows]

    async def archived_months(self, start: dt.datetime, end: dt.datetime) -> list[ArchivedMonth]:
        """The months that went to files and have a part of [start, end), the newest first."""
        async with self._reader.connection() as connection:
            rows = await connection.fetch(QUERIES["archived_months"], start, end)
        return [ArchivedMonth(*row) for row in rows]
