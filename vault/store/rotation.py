"""Waiting until no write is under way that still saw the keys of before.

Whoever stores under a key looks, after its first insert and before its commit, whether that key
is in force (`vault.store.claims.current_keys`). So its transaction has a number by then, and one
that saw a key in force is among those that are under way once the key was replaced.
Guarantees: once `settled` has said so, none of them can commit any more. Other databases of the
same PostgreSQL are not waited for, however long they write.
"""

import asyncio

import asyncpg

from vault.store.database import Database
from vault.store.queries import QUERIES

_LOOK_S = 0.05


async def settled(database: Database, *, within_seconds: float) -> bool:
    """Waits for every transaction of this database that has written until now, by whomever.

    Returns:
        False: one of them has not ended; ask again.

    Raises:
        VaultError: DATABASE_UNAVAILABLE.
    """
    async with database.connection() as connection:
        writing = await _writing(connection)
        for _ in range(max(1, int(within_seconds / _LOOK_S))):
            if not writing:
                return True
            await asyncio.sleep(_LOOK_S)
            writing &= await _writing(connection)
    return not writing


async def _writing(connection: asyncpg.Connection) -> set[str]:
    return {row["number"] for row in await connection.fetch(QUERIES["writing_transactions"])}
