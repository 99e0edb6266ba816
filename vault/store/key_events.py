"""What other processes say about keys: LISTEN on a connection of its own.

Guarantees: whoever caches keys is told to stop as soon as the connection is lost (by an error, or
because the server has not answered for two seconds), and may begin again only after LISTEN
stands anew and what was missed meanwhile can't matter. Leaves to the callbacks: the caches.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg

from vault.errors import VaultError
from vault.store.database import translated
from vault.store.queries import QUERIES

CHANNEL = "pdvault_keys"
"""As in the query `notify_keys`."""
APPLICATION = "pdvault-listener"
_BEAT_S = 1.0
_ANSWER_S = 2.0
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class KeyEventCallbacks:
    """Who is told.

    Attributes:
        told: a notification's payload.
        lost: the connection is gone; called once for each loss.
        listening: LISTEN stands; awaited before anything is counted as heard again.
    """

    told: Callable[[str], None]
    lost: Callable[[], None]
    listening: Callable[[], Awaitable[None]]


class KeyEvents:
    """The listener of one process."""

    def __init__(self, url: str, callbacks: KeyEventCallbacks, *, connect_timeout: float) -> None:
        self._url = url
        self._callbacks = callbacks
        self._connect_timeout = connect_timeout
        self._connection: asyncpg.Connection | None = None
        self._gone = asyncio.Event()
        self.is_listening = False
        self.losses = 0
        """How often the connection was lost."""

    async def start(self) -> None:
        """Connects for the first time.

        Raises:
            VaultError: DATABASE_UNAVAILABLE, or from `listening`.
        """
        await self._connect()

    async def run(self) -> None:
        """Keeps it up until cancelled."""
        attempt = 0
        while True:
            if self._connection is None:
                try:
                    await self._connect()
                    attempt = 0
                except VaultError:
                    await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                    attempt += 1
                    continue
            await self._until_lost()
            await self._lose()

    async def stop(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        self.is_listening = False
        if connection is not None:
            with contextlib.suppress(
                asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError
            ):
                await connection.close(timeout=1)

    def __repr__(self) -> str:
        return f"KeyEvents(is_listening={self.is_listening})"

    async def _connect(self) -> None:
        self._gone.clear()
        with translated():
            connection = await asyncpg.connect(
                self._url,
                timeout=self._connect_timeout,
                command_timeout=_ANSWER_S,
                server_settings={"application_name": APPLICATION, "timezone": "UTC"},
            )
        try:
            with translated():
                connection.add_termination_listener(lambda _: self._gone.set())
                await connection.add_listener(CHANNEL, self._hear)
            await self._callbacks.listening()
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self.is_listening = True

    async def _until_lost(self) -> None:
        connection = self._connection
        if connection is None:
            return
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), _BEAT_S)
            if self._gone.is_set():
                return
            try:
                with translated():
                    await connection.execute(QUERIES["heartbeat"])
            except VaultError:
                return

    async def _lose(self) -> None:
        connection, self._connection = self._connection, None
        self.is_listening = False
        self.losses += 1
        self._callbacks.lost()
        if connection is not None:
            connection.terminate()

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._callbacks.told(str(payload))
