"""The log in a restored database: does it go on, or did it end. And what a drill looks at.

Guarantees: a log is ended in the transaction that restores it, so no process ever sees a database
that is older than its log's checkpoints and still bears the log's name. Leaves to
`vault.app.restored_log` the decision.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from vault.model import SubjectId
from vault.rows import CheckpointRow, EntryRow
from vault.store.database import Database
from vault.store.dump import Restorer
from vault.store.log import copy_entries
from vault.store.queries import QUERIES
from vault.store.tree import TreeReader


class RestoredLog(TreeReader):
    """The log within a restore's transaction. Every method raises VaultError."""

    def __init__(self, restorer: Restorer) -> None:
        self._database = None
        self._restorer = restorer

    def _borrow(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        return self._restorer.connection()

    async def add_entry(self, entry: EntryRow) -> None:
        """Records that the database was restored."""
        async with self._borrow() as connection:
            await copy_entries(connection, [entry])

    async def end(
        self, *, origin: str, last: CheckpointRow, kept: int, next_origin: str, entry: EntryRow
    ) -> None:
        """Ends the log of this name; `entry` is the first of the one that follows.

        Args:
            origin: the log that ends.
            last: its newest checkpoint that is known.
            kept: leaves that the next log takes over.
            next_origin: the name of that.
            entry: tells all of it; has the first place behind them.
        """
        async with self._borrow() as connection:
            await connection.execute(
                QUERIES["end_log"],
                origin,
                last.size,
                last.root,
                last.note,
                kept,
                next_origin,
                entry.entry_id,
            )
            await copy_entries(connection, [entry])
            await connection.execute(QUERIES["place_entry"], entry.entry_id, kept)


async def next_origin(database: Database, origin: str) -> str | None:
    """Under which name a log goes on that a restore ended; None: it did not end.

    Raises:
        VaultError: DATABASE_UNAVAILABLE.
    """
    async with database.connection() as connection:
        found: str | None = await connection.fetchval(QUERIES["next_origin"], origin)
    return found


async def first_origin(database: Database, origin: str) -> str:
    """The name of this deployment's first log, which its ledger bears; `origin` is today's.

    Raises:
        VaultError: DATABASE_UNAVAILABLE.
    """
    async with database.connection() as connection:
        found: str | None = await connection.fetchval(QUERIES["first_origin"])
    return found or origin


@dataclass(frozen=True, slots=True)
class SampledValue:
    """A sealed value and the wrapped key to it."""

    token: str = field(repr=False)
    tenant: str
    subject_id: SubjectId
    field_type: str
    envelope: bytes = field(repr=False)
    key_version: int
    wrapped: str = field(repr=False)
    root_version: int
    key_salt: bytes = field(repr=False)
    commitment: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of some subjects: rows; `tokens` may stay, without their values."""

    keys: int
    refs: int
    values: int
    tokens: int


class DrillReader:
    """What a drill reads of a restored database. Every method raises VaultError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sample(self, probes: Sequence[UUID], each: int) -> list[SampledValue]:
        """Values of the subjects whose handles follow random ones, `each` subjects at each."""
        async with self._database.connection() as connection:
            subjects: set[UUID] = set()
            for probe in probes:
                rows = await connection.fetch(QUERIES["sample_subjects"], probe, each)
                subjects |= {row["subject_id"] for row in rows}
            found = await connection.fetch(QUERIES["sample_values"], sorted(subjects))
        return [SampledValue(*row) for row in found]

    async def remains(self, subjects: Sequence[SubjectId]) -> Remains:
        """What is left of subjects."""
        async with self._database.connection() as connection:
            return Remains(*await connection.fetchrow(QUERIES["count_left_of"], subjects))
