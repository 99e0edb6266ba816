"""The whole database out, as it was at one moment, and into an empty one.

Guarantees: a dump is one snapshot (repeatable read), and while it is read no month of the log
goes to files and no migration runs; writers go on. A restore is one transaction: schema, rows and
whatever its caller adds are there after `commit`, or nothing is. Memory does not grow
with the database. Leaves to `vault.backup` the file, and to others what a restored database needs
before it may serve.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

import asyncpg

from vault.errors import Reason, VaultError
from vault.store.backups import RootCount
from vault.store.database import translated
from vault.store.migrate import MIGRATION_LOCK, apply_in_transaction, check_migrated
from vault.store.queries import QUERIES
from vault.store.tree import SEQUENCER_LOCK

_CONNECT_S = 10
_SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": "30s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "maintenance_work_mem": "256MB",  # a restore makes indexes
}


@dataclass(frozen=True, slots=True)
class DumpTable:
    """A table or partition; rows of a partition go into its parent."""

    name: str
    parent: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpFacts:
    """What a snapshot holds.

    Attributes:
        leaves: of the log; checkpoint: its newest signed note, or empty.
        ledger: index and hash of the newest line that is applied; None: there is no ledger.
        about_rows, about_bytes: for a progress bar.
    """

    taken_at: dt.datetime
    postgres: str
    migrations: tuple[tuple[str, str], ...]
    tables: tuple[DumpTable, ...]
    leaves: int
    checkpoint: str
    ledger: tuple[int, bytes] | None
    roots: tuple[RootCount, ...]
    about_rows: int
    about_bytes: int

    @property
    def partitions(self) -> tuple[str, ...]:
        """The log's months."""
        return tuple(
            table.name
            for table in self.tables
            if table.parent != table.name and not table.name.endswith("_rest")
        )


class _Session:
    """One connection of the owner's, for one task."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, url: str) -> Self:
        """Opens the connection.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        with translated():
            connection = await asyncpg.connect(
                url,
                timeout=_CONNECT_S,
                server_settings={"application_name": "pdvault-backup", **_SETTINGS},
            )
        return cls(connection)

    async def close(self) -> None:
        """Gives up the connection, and with it whatever was not committed."""
        try:
            await self._connection.close(timeout=2)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            self._connection.terminate()


class Dumper(_Session):
    """Reads one snapshot. Every method raises VaultError (DATABASE_UNAVAILABLE)."""

    async def begin(self) -> DumpFacts:
        """Takes the snapshot.

        Raises:
            VaultError: also INTERNAL: the database is not migrated.
        """
        connection = self._connection
        with translated():
            await connection.execute("select pg_advisory_lock_shared($1)", MIGRATION_LOCK)
            await connection.execute("begin isolation level repeatable read, read only")
            try:
                await connection.execute(QUERIES["lock_dumped"])
            except asyncpg.UndefinedTableError as error:
                raise VaultError(
                    Reason.INTERNAL, "this is no database of pdvault; run: pdvault migrate"
                ) from error
            facts = await connection.fetchrow(QUERIES["dump_facts"])
            applied = await connection.fetch(QUERIES["applied_migrations"])
            tables = await connection.fetch(QUERIES["dumped_tables"])
            roots = await connection.fetch(QUERIES["count_roots"])
        index = facts["ledger_index"]
        return DumpFacts(
            taken_at=facts["taken_at"],
            postgres=facts["postgres"],
            migrations=tuple((row["name"], row["checksum"]) for row in applied),
            tables=tuple(
                DumpTable(row["name"], row["parent"], tuple(row["columns"])) for row in tables
            ),
            leaves=facts["leaves"],
            checkpoint=facts["checkpoint"],
            ledger=None if index is None else (index, facts["ledger_hash"]),
            roots=tuple(RootCount(*row) for row in roots),
            about_rows=facts["about_rows"],
            about_bytes=facts["about_bytes"],
        )

    async def copy(self, table: DumpTable, sink: Callable[[bytes], Awaitable[None]]) -> int:
        """Gives a table's rows to `sink`, in PostgreSQL's binary COPY format.

        Returns:
            How many rows.
        """
        failed: list[BaseException] = []

        async def output(data: bytes) -> None:
            try:
                await sink(data)
            except BaseException as error:
                failed.append(error)
                raise

        try:
            with translated():
                status = await self._connection.copy_from_table(
                    table.name,
                    output=output,
                    columns=table.columns,
                    schema_name="public",
                    format="binary",
                )
        except VaultError:
            if failed:  # the fault is the sink's: a full disk, say
                raise failed[0] from None
            raise
        return _rows(status)


class Restorer(_Session):
    """Fills an empty database. Every method raises VaultError (DATABASE_UNAVAILABLE)."""

    async def begin(self, migrations: Sequence[tuple[str, str]], partitions: Sequence[str]) -> None:
        """Makes the schema of these migrations, in the transaction that `commit` ends.

        Raises:
            VaultError: REQUEST_MALFORMED: something is in the database already; INTERNAL:
                this release has not these migrations, or a role is missing.
        """
        connection = self._connection
        with translated():
            await connection.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
            if await connection.fetchval(QUERIES["count_relations"]):
                raise VaultError(
                    Reason.REQUEST_MALFORMED,
                    "the database is not empty; a backup goes into a new one only",
                )
            await connection.execute(QUERIES["make_restore_functions"])
            await connection.execute("begin")
            try:
                await apply_in_transaction(connection, migrations)
            except asyncpg.UndefinedObjectError as error:
                raise VaultError(
                    Reason.INTERNAL, "a login is missing; run deploy/postgres/roles.sql first"
                ) from error
            await connection.execute(QUERIES["restore_begin"])
            for partition in partitions:
                await connection.execute(QUERIES["restore_month"], partition)

    async def begin_adopted(self) -> dt.datetime | None:
        """Takes a database that somebody else restored, in place of `begin`.

        Returns:
            When its newest entry was recorded.

        Raises:
            VaultError: DATABASE_UNAVAILABLE: a process grows its log; INTERNAL: not migrated.
        """
        connection = self._connection
        with translated():
            await connection.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
            await check_migrated(connection)
            if not await connection.fetchval(QUERIES["lead_sequencer"], SEQUENCER_LOCK):
                raise VaultError(
                    Reason.DATABASE_UNAVAILABLE, "a process serves this database; stop it first"
                )
            await connection.execute("begin")
            await connection.execute(QUERIES["withdraw_restored_requests"])
            newest: dt.datetime | None = await connection.fetchval(QUERIES["newest_entry_time"])
        return newest

    async def copy(self, table: DumpTable, source: AsyncIterator[bytes]) -> int:
        """Puts rows, as `Dumper.copy` gave them, where they belong.

        Returns:
            How many rows.

        Raises:
            VaultError: INTERNAL: a row does not fit.
        """
        failed: list[BaseException] = []

        async def checked() -> AsyncIterator[bytes]:
            try:
                async for data in source:
                    yield data
            except BaseException as error:
                failed.append(error)
                raise

        try:
            with translated():
                status = await self._connection.copy_to_table(
                    table.parent,
                    source=checked(),
                    columns=table.columns,
                    schema_name="public",
                    format="binary",
                )
        except VaultError:
            if failed:
                raise failed[0] from None
            raise
        return _rows(status)

    async def end(self) -> None:
        """All rows are there. Open requests of custodians end: an approval is used once."""
        with translated():
            await self._connection.execute(QUERIES["restore_end"])
            await self._connection.execute(QUERIES["withdraw_restored_requests"])

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """The transaction, for readers of `vault.store` that borrow a connection."""
        with translated():
            yield self._connection

    async def commit(self) -> None:
        """Makes it all durable, then has the planner look at it."""
        with translated():
            await self._connection.execute("commit")
            await self._connection.execute("select pg_advisory_unlock($1)", MIGRATION_LOCK)
            with contextlib.suppress(asyncpg.PostgresError, TimeoutError):
                async with asyncio.timeout(600):
                    await self._connection.execute(QUERIES["analyze_all"])


def _rows(status: str) -> int:
    return int(status.rpartition(" ")[2])
