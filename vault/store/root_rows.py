"""Which root versions a tenant's wrapped keys need, read from what is wrapped.

Guarantees: no row is left out and no column beside the wrapped text is believed. Ranges of
subjects are read one after the other, so no statement takes long.
"""

from collections import Counter
from uuid import UUID

from vault.model import TenantId
from vault.store.database import Database
from vault.store.queries import QUERIES

_RANGES = 256
_SPAN = 2**128 // _RANGES


class RootRows:
    """Raises VaultError (DATABASE_UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, tenant: TenantId) -> dict[int | None, int]:
        """Rows by the root version that they need; None: their wrapping can't be read."""
        found: Counter[int | None] = Counter()
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["count_tenant_keys_by_root"], tenant)
            for part in range(_RANGES):
                first, last = UUID(int=part * _SPAN), UUID(int=(part + 1) * _SPAN - 1)
                rows += await connection.fetch(
                    QUERIES["count_subject_keys_by_root"], tenant, first, last
                )
        for row in rows:
            found[row["version"]] += row["found"]
        return dict(found)
