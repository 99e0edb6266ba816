"""The log's months, with the owner's role: read whole, and dropped once they are in files.

Guarantees: one process at a time; a month goes in one transaction with the note that it went,
and only if it still holds exactly what was archived; nobody waits for it for longer
than `_LOCK_TIMEOUT`. Leaves to `vault.audit.archive` what may go.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Self

import asyncpg

from vault.errors import Reason, VaultError
from vault.rows import CheckpointRow, LogMonth, MonthFacts
from vault.store.database import translated
from vault.store.queries import QUERIES
from vault.store.tree import BY_INDEX, TreeReader

_LOCK = 0x7064_7661_756C_7403
"""Advisory lock of archiving: the bytes of `pdvault` and 3."""
_LOCK_TIMEOUT = "2s"
"""How long calls may have to wait behind the end of a month, as it waits for those before it."""
_ATTEMPTS = 10
_PAUSE_S = 1.0
_RECORDS = 10_000
_CONNECT_S = 10


class ArchiveStore(TreeReader):
    """The owner's connection. Every method raises VaultError (DATABASE_UNAVAILABLE)."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._database = None
        self._connection = connection
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, url: str) -> Self:
        """Opens the connection."""
        with translated():
            connection = await asyncpg.connect(
                url,
                timeout=_CONNECT_S,
                server_settings={
                    "application_name": "pdvault-archive",
                    "timezone": "UTC",
                    "lock_timeout": _LOCK_TIMEOUT,
                    **BY_INDEX,
                },
            )
        return cls(connection)

    async def close(self) -> None:
        """Gives up connection and lock."""
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await self._connection.close(timeout=2)

    @contextlib.asynccontextmanager
    async def _own(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._turn:
            with translated():
                yield self._connection

    def _borrow(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        return self._own()

    async def lock(self) -> bool:
        """Whether no other process is archiving; then none can begin to."""
        async with self._borrow() as connection:
            return bool(await connection.fetchval(QUERIES["lock_archives"], _LOCK))

    async def months(self) -> list[LogMonth]:
        """The partitions that are there, the oldest first."""
        async with self._borrow() as connection:
            rows = await connection.fetch(QUERIES["log_months"])
        return [_month(row["name"]) for row in rows]

    async def month_facts(self, month: LogMonth) -> MonthFacts:
        """What a partition holds."""
        async with self._borrow() as connection:
            row = await connection.fetchrow(
                QUERIES["month_facts"], month.name, month.begin, month.end
            )
        return MonthFacts(*row)

    async def covering_checkpoint(self, size: int) -> CheckpointRow | None:
        """The first checkpoint of at least this size."""
        async with self._borrow() as connection:
            row = await connection.fetchrow(QUERIES["covering_checkpoint"], size)
        return None if row is None else CheckpointRow(*row)

    async def month_ids(
        self, month: LogMonth, first: int, last: int
    ) -> AsyncIterator[list[tuple[bytes, int]]]:
        """(entry id, leaf index) of the month's leaves within [first, last], by id."""
        async with self._borrow() as connection, connection.transaction(readonly=True):
            cursor = await connection.cursor(
                QUERIES["month_ids"], month.begin, month.end, first, last
            )
            while rows := await cursor.fetch(_RECORDS):
                yield [(row["entry_id"].bytes, row["leaf_index"]) for row in rows]

    async def drop(
        self, month: LogMonth, facts: MonthFacts, *, size: int, index_digest: bytes
    ) -> bool:
        """Drops a month's partition and notes that; False if it is not what was archived.

        Args:
            month: which.
            facts: what was archived.
            size: of the archive's checkpoint.
            index_digest: SHA-256 of the month's index file.
        """
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            async with self._borrow() as connection:
                try:
                    return bool(
                        await connection.fetchval(
                            QUERIES["drop_archived_partition"],
                            month.name,
                            facts.entries,
                            facts.first,
                            facts.last,
                            size,
                            index_digest,
                        )
                    )
                except asyncpg.LockNotAvailableError:
                    continue  # a long reader: let those pass who wait behind us
        raise VaultError(Reason.DATABASE_UNAVAILABLE, "the log is in use by a long statement")


def _month(name: str) -> LogMonth:
    year, month = int(name[-7:-3]), int(name[-2:])
    begin = dt.datetime(year, month, 1, tzinfo=dt.UTC)
    following = begin.replace(year=year + month // 12, month=month % 12 + 1)
    return LogMonth(name, begin, following)
