"""Waiting until no write is under way that still saw the keys of before.

Whoever stores under a key looks, after its first insert and before its commit, whether that key
is in force (`vault.store.claims.current_keys`). So its transaction has a number, and a
transaction that saw a key in force has a lower number than one that begins after the key was
replaced. Guarantees: once `settled` has said so, none of them can commit any more.
"""

import asyncio

from vault.store.database import Database
from vault.store.queries import QUERIES

_LOOK_S = 0.05


async def settled(database: Database, *, within_seconds: float) -> bool:
    """Waits for every transaction that has written until now, by whomever.

    Returns:
        False: one of them has not ended; ask again.

    Raises:
        VaultError: DATABASE_UNAVAILABLE.
    """
    async with database.connection() as connection:
        own = await connection.fetchval(QUERIES["current_transaction"])
        for _ in range(max(1, int(within_seconds / _LOOK_S))):
            if await connection.fetchval(QUERIES["oldest_transaction"]) > own:
                return True
            await asyncio.sleep(_LOOK_S)
    return False
