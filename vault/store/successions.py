"""The chain of the log's keys: read with the auditors' role, added to by who signs or rotates."""

from vault.errors import Reason, VaultError
from vault.rows import SuccessionRow
from vault.store.database import Database
from vault.store.queries import QUERIES


class SuccessionStore:
    """Insert-only. Raises VaultError (DATABASE_UNAVAILABLE).

    Args:
        readers: with the auditors' role.
        writers: with the sequencer's or the custodians'; None in a process that has neither.
    """

    def __init__(self, readers: Database, writers: Database | None) -> None:
        self._readers = readers
        self._writers = writers

    async def read(self, origin: str) -> tuple[list[SuccessionRow], str | None]:
        """The chain, the oldest first, and the newest checkpoint's note."""
        async with self._readers.connection() as connection:
            rows = await connection.fetch(QUERIES["key_successions"], origin)
            newest = await connection.fetchrow(QUERIES["newest_checkpoint"])
        return [SuccessionRow(*row) for row in rows], None if newest is None else newest["note"]

    async def add(self, origin: str, version: int, predecessor: int, note: str) -> None:
        """Keeps a step, unless there is one from the same predecessor."""
        if self._writers is None:
            raise VaultError(
                Reason.CUSTODY_UNAVAILABLE, "this process may not keep a key succession"
            )
        async with self._writers.connection() as connection:
            await connection.execute(
                QUERIES["add_key_succession"], origin, version, predecessor, note
            )
