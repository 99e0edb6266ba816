"""What accepted policy bundles reveal. `ActWork` adds to it, with the custodians' login."""

from dataclasses import dataclass, field

from vault.store.database import Database
from vault.store.queries import QUERIES


@dataclass(frozen=True, slots=True)
class AcceptedBundle:
    """The newest.

    Attributes:
        number: from 1.
        reach: as `vault.policy.reach` writes it.
    """

    number: int
    digest: bytes
    reach: bytes = field(repr=False)


class AcceptedStore:
    """Every method raises VaultError (DATABASE_UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> AcceptedBundle | None:
        """None before the first."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["newest_accepted"])
        return None if row is None else AcceptedBundle(row["number"], row["digest"], row["reach"])

    async def was_accepted(self, digest: bytes) -> bool:
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(QUERIES["was_accepted"], digest))
