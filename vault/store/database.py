"""The connection pool, its life, and the one place where driver errors become ours.

PostgreSQL's messages quote values (a unique violation prints the row), so nothing
of them passes: an error says which kind of thing went wrong, no more.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from vault.errors import Reason, VaultError

# SQLSTATE classes and codes (PostgreSQL manual, appendix A).
_READ_ONLY = "25006"
_DATA_CLASSES = ("22", "23")
"""Data exception, integrity constraint violation: the fault of what a statement was given."""


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
            each use; for a pool whose statements leave none of these.
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
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lends a connection.

        Raises:
            VaultError: as `translated`.
        """
        if self._pool is None:
            raise VaultError(Reason.DATABASE_UNAVAILABLE, "the database is not connected")
        with translated():
            try:
                async with self._pool.acquire(timeout=self._settings.connect_timeout) as connection:
                    yield connection
            except asyncpg.PostgresError as error:
                if error.sqlstate == _READ_ONLY:
                    # A demoted primary: its connections still look healthy.
                    await self._pool.expire_connections()
                raise


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
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    ) as error:
        state = (error.sqlstate or "") if isinstance(error, asyncpg.PostgresError) else ""
        if state[:2] in _DATA_CLASSES or isinstance(error, ValueError):
            raise VaultError(Reason.INTERNAL, "the database refused a row") from error
        raise _unavailable() from error


def _unavailable() -> VaultError:
    return VaultError(
        Reason.DATABASE_UNAVAILABLE, "the database does not answer", retry_after_ms=500
    )
