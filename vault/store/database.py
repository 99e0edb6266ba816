"""The connection pool, its life, and the one place where driver errors become ours.

PostgreSQL's messages quote values (a unique violation prints the row), so nothing
of them passes: an error says which kind of thing went wrong, no more.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from vault.errors import Reason, VaultError

# SQLSTATE classes and codes (PostgreSQL manual, appendix A).
_READ_ONLY = "25006"
_DATA_CLASSES = ("22", "23")
"""Data exception, integrity constraint violation: the fault of what a statement was given."""
_LOANS = 1000
"""Uses after which a connection goes through the driver's own pool again, for its housekeeping."""
_DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How to reach the database.

    Attributes:
        url: a libpq URL; holds a password, so it never shows.
        max_connections: at least 1.
        connect_timeout: seconds to open, or to wait for, a connection.
        statement_timeout: seconds for one statement.
        custom_plans: plan each execution for its own arguments.
        keeps_session: spare the round trip that clears settings, advisory locks and cursors after
            each use, and the driver's own lending; for a pool whose statements leave none of these.
    """

    url: str
    max_connections: int
    connect_timeout: float
    statement_timeout: float
    custom_plans: bool = False
    keeps_session: bool = False

    def __repr__(self) -> str:
        return f"PoolSettings(url=<hidden>, max_connections={self.max_connections})"


class Database:
    """A pool of connections to the primary."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._pool: asyncpg.Pool | None = None
        # Connections that the pool thinks are in use, for whoever comes next. The pool's own
        # lending makes two tasks and two timers every time.
        self._kept: list[_Lent] = []
        self._waiting = 0
        self._generation = 0
        self.greet: Callable[[asyncpg.Connection], Awaitable[None]] | None = None
        """Judges each connection that is made from now on, before anybody gets it."""

    async def open(self) -> None:
        """Connects.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        settings = self._settings
        server_settings = {"application_name": application_name(settings.url), "timezone": "UTC"}
        if settings.custom_plans:
            server_settings["plan_cache_mode"] = "force_custom_plan"
        with translated():
            self._pool = await asyncpg.create_pool(
                settings.url,
                min_size=1,
                max_size=settings.max_connections,
                timeout=settings.connect_timeout,
                command_timeout=settings.statement_timeout,
                max_inactive_connection_lifetime=300,
                init=self._meet,
                server_settings=server_settings,
                reset=_keep_session if settings.keeps_session else None,
            )

    async def _meet(self, connection: asyncpg.Connection) -> None:
        if self.greet is not None:
            await self.greet(connection)

    async def close(self) -> None:
        """Closes every connection, by force after two seconds."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                async with asyncio.timeout(2):
                    await self._release_kept(pool)
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    def connection(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """Lends a connection.

        Raises:
            VaultError: as `translated`.
        """
        return _Loan(self)

    async def _lend(self) -> "_Lent":
        pool = self._pool
        if pool is None:
            raise VaultError(Reason.DATABASE_UNAVAILABLE, "the database is not connected")
        while self._kept:
            lent = self._kept.pop()
            if lent.is_as_new():
                return lent
            await pool.release(lent.connection)
        self._waiting += 1
        try:
            connection = await pool.acquire(timeout=self._settings.connect_timeout)
        finally:
            self._waiting -= 1
        return _Lent(connection, pool, self._generation)

    async def _take_back(self, lent: "_Lent", error: BaseException | None) -> None:
        """Keeps a connection that is as it was for whoever comes next; others go to the pool."""
        lent.loans -= 1
        if (
            error is None
            and self._settings.keeps_session
            and lent.loans
            and not self._waiting
            and lent.pool is self._pool
            and lent.generation == self._generation
            and lent.is_as_new()
        ):
            self._kept.append(lent)
            return
        await lent.pool.release(lent.connection)
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate == _READ_ONLY:
            # A demoted primary: its connections still look healthy.
            self._generation += 1
            await lent.pool.expire_connections()
            await self._release_kept(lent.pool)

    async def _release_kept(self, pool: asyncpg.Pool) -> None:
        while self._kept:
            await pool.release(self._kept.pop().connection)


@dataclass(slots=True, eq=False)
class _Lent:
    """A connection out of the pool."""

    connection: asyncpg.Connection
    pool: asyncpg.Pool
    generation: int
    loans: int = _LOANS

    def is_as_new(self) -> bool:
        """Whether the next one may have it: open, and in no transaction."""
        try:
            return not self.connection.is_closed() and not self.connection.is_in_transaction()
        except asyncpg.InterfaceError:
            return False  # it broke, and the pool took it back by itself


class _Loan(AbstractAsyncContextManager[asyncpg.Connection]):
    """One use of a connection."""

    __slots__ = ("_database", "_lent")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> asyncpg.Connection:
        try:
            self._lent = await self._database._lend()  # noqa: SLF001  two halves of one thing
        except _DRIVER_ERRORS as error:
            raise _translation(error) from error
        return self._lent.connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._database._take_back(self._lent, error)  # noqa: SLF001 - its own
        except _DRIVER_ERRORS as fault:
            raise _translation(fault) from fault
        if isinstance(error, _DRIVER_ERRORS):
            raise _translation(error) from error


def application_name(url: str) -> str:
    """What PostgreSQL knows the connections of a pool by: the URL's own word for it, or else its
    role (`pdvault-service`, `pdvault-audit-reader`…), `pdvault` if it names none.
    """
    parts = urlsplit(url)
    given = parse_qs(parts.query).get("application_name")
    return given[0] if given else unquote(parts.username or "pdvault").replace("_", "-")


async def _keep_session(_: asyncpg.Connection) -> None:
    """In place of asyncpg's own reset. It has rolled back an open transaction before."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns driver errors into `VaultError`, without their text.

    Raises:
        VaultError: INTERNAL when a row is at fault, DATABASE_UNAVAILABLE when the server,
            its set-up (a right that was taken away) or the way to it is.
    """
    try:
        yield
    except _DRIVER_ERRORS as error:
        raise _translation(error) from error


def _translation(error: Exception) -> VaultError:
    state = (error.sqlstate or "") if isinstance(error, asyncpg.PostgresError) else ""
    if state[:2] in _DATA_CLASSES or isinstance(error, ValueError):
        return VaultError(Reason.INTERNAL, "the database refused a row")
    return _unavailable()


def _unavailable() -> VaultError:
    return VaultError(
        Reason.DATABASE_UNAVAILABLE, "the database does not answer", retry_after_ms=500
    )
