"""What witnesses cosigned, written with the sequencer's role; read in `vault.store.proofs`."""

from vault.rows import CosignatureRow
from vault.store.database import Database
from vault.store.queries import QUERIES


class CosignatureStore:
    """Insert-only. Raises VaultError (DATABASE_UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: CosignatureRow) -> None:
        """Keeps a cosignature, unless the witness has one at this size already."""
        async with self._database.connection() as connection:
            await connection.execute(
                QUERIES["add_cosignature"], row.size, row.witness, row.line, row.signed_at
            )
