"""The tree over the log: read by anybody with the auditors' role, grown by one sequencer.

Guarantees: all writes of a sequencer go over the very connection whose session holds the
advisory lock, so whoever loses the one has lost the other; an index is given once,
a tile and a checkpoint are written once, a checkpoint only grows. Leaves to
`vault.audit.sequencer`: what is written, and whether it is sound.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Self

import asyncpg

from vault.rows import Backlog, CheckpointRow, LeafRow, Sequenced, TileRow
from vault.store.database import Database, translated
from vault.store.queries import QUERIES

SEQUENCER_LOCK = 0x7064_7661_756C_7402
"""Advisory lock of the sequencer: the bytes of `pdvault` and 2."""
_MOST_COUNTED = 1_000_000
"""Pending entries beyond this are not counted one by one."""
# How soon the server gives up a leader whose machine vanished (and with it its lock): about 8 s.
_KEEPALIVES = {
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "5",
    "tcp_user_timeout": "8000",
}
# A few hundred rows by key out of a log of any size: always by index, planned once. By statistics
# the planner reads whole partitions while they are new (measured: 70 ms a step in place of 4).
BY_INDEX = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class TreeReader:
    """Reads the tree. Every method raises VaultError (DATABASE_UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database: Database | None = database

    def _borrow(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        if self._database is None:
            raise TypeError("a tree without a database")
        return self._database.connection()

    async def size(self) -> int:
        """How many leaves there are."""
        async with self._borrow() as connection:
            return int(await connection.fetchval(QUERIES["tree_size"]))

    async def leaves(self, start: int, count: int) -> list[LeafRow]:
        """The leaves from `start` on with their entries, at most `count`."""
        async with self._borrow() as connection:
            rows = await connection.fetch(QUERIES["stored_leaves"], start, count)
        return [LeafRow(*row) for row in rows]

    async def leaf_hashes(self, start: int, end: int) -> list[tuple[int, bytes]]:
        """(index, leaf hash) of the leaves in [start, end) that exist, in order."""
        async with self._borrow() as connection:
            rows = await connection.fetch(QUERIES["leaf_hashes"], start, end)
        return [(row[0], row[1]) for row in rows]

    async def tiles(self, level: int, start: int, end: int) -> list[TileRow]:
        """The full tiles in [start, end) of a level that exist, in order."""
        async with self._borrow() as connection:
            rows = await connection.fetch(QUERIES["tiles"], level, start, end)
        return [TileRow(level, row[0], row[1]) for row in rows]

    async def newest_checkpoint(self) -> CheckpointRow | None:
        """The largest checkpoint."""
        async with self._borrow() as connection:
            row = await connection.fetchrow(QUERIES["newest_checkpoint"])
        return None if row is None else CheckpointRow(*row)


class TreeWriter(TreeReader):
    """One process's connection of the sequencer's role; `lead` makes it the only writer.

    For one task at a time. After any error the connection is of no more use: close it.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._database = None
        self._connection = connection

    @classmethod
    async def connect(cls, url: str, *, connect_timeout: float, statement_timeout: float) -> Self:
        """Opens the connection; timeouts in seconds.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        with translated():
            connection = await asyncpg.connect(
                url,
                timeout=connect_timeout,
                command_timeout=statement_timeout,
                server_settings={
                    "application_name": "pdvault-sequencer",
                    "timezone": "UTC",
                    **BY_INDEX,
                    **_KEEPALIVES,
                },
            )
        return cls(connection)

    async def close(self) -> None:
        """Gives up connection and lock, by force after a second."""
        try:
            await self._connection.close(timeout=1)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            self._connection.terminate()

    def abort(self) -> None:
        """Drops the connection at once; the server then frees the lock."""
        self._connection.terminate()

    @contextlib.asynccontextmanager
    async def _own(self) -> AsyncIterator[asyncpg.Connection]:
        with translated():
            yield self._connection

    def _borrow(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        return self._own()

    async def is_mighty(self) -> bool:
        """Whether the role may do more than a sequencer must."""
        async with self._borrow() as connection:
            return bool(await connection.fetchval(QUERIES["check_sequencer_role"]))

    async def lead(self) -> bool:
        """Tries to become the leader; for life, if so."""
        async with self._borrow() as connection:
            return bool(await connection.fetchval(QUERIES["lead_sequencer"], SEQUENCER_LOCK))

    async def sequence(self, size: int, limit: int) -> Sequenced:
        """Gives the indexes from `size` on to the oldest pending entries.

        Raises:
            VaultError: DATABASE_UNAVAILABLE; INTERNAL if the indexes are taken. Either way
                the caller does not know what is stored, and begins anew.
        """
        async with self._borrow() as connection:
            row = await connection.fetchrow(QUERIES["sequence_pending"], size, limit)
        return Sequenced(row["entries"] if row["are_sound"] else 0, row["damaged"])

    async def backlog(self) -> Backlog:
        """What waits for an index."""
        async with self._borrow() as connection:
            return Backlog(*await connection.fetchrow(QUERIES["pending_backlog"], _MOST_COUNTED))

    async def ensure_partitions(self, months: int) -> bool | None:
        """Makes the log's partitions of this month and of the `months` after it.

        Returns:
            Whether every entry lies in its month's; None if the log was too busy to make one.
        """
        async with self._borrow() as connection:
            try:
                await connection.execute(QUERIES["ensure_partitions"], months)
            except asyncpg.LockNotAvailableError:
                return None
            return not await connection.fetchval(QUERIES["has_rest"])

    async def add_tiles(self, tiles: Sequence[TileRow]) -> None:
        """Stores full tiles that are not there yet; what is there stays as it is."""
        async with self._borrow() as connection:
            await connection.executemany(
                QUERIES["add_tile"], [(tile.level, tile.index, tile.hashes) for tile in tiles]
            )

    async def add_checkpoint(self, row: CheckpointRow) -> bool:
        """Publishes a checkpoint; False if there is one as large or larger."""
        async with self._borrow() as connection:
            size = await connection.fetchval(
                QUERIES["add_checkpoint"], row.size, row.root, row.note, row.signed_at
            )
        return size is not None
