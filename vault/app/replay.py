"""`pdvault erasures replay`: a database is brought up to its ledger, with the custodians' login.

Needs no Transit: an erasure destroys, and opens nothing.
"""

import asyncio
from collections.abc import Callable

from vault.app.backup_tools import ledger_parts
from vault.clock import Clock
from vault.config import Config
from vault.config_files import read_secret
from vault.errors import Reason, VaultError
from vault.service.ledger import Comparison
from vault.store.database import Database, PoolSettings


async def replay_ledger(
    config: Config, *, clock: Clock, dry_run: bool, progress: Callable[[int, int], None]
) -> Comparison:
    """Applies what is missing, or only looks.

    Returns:
        How the database stood before.

    Raises:
        VaultError: CUSTODY_UNAVAILABLE: the configuration has no ledger or no custodians' login;
            LEDGER_NOT_REPLAYED: the ledger can't be read; DATABASE_UNAVAILABLE.
    """
    section = config.database
    if section.custodian_url_file is None:
        raise VaultError(
            Reason.CUSTODY_UNAVAILABLE, "database.custodian_url_file is not configured"
        )
    url = await asyncio.to_thread(read_secret, section.custodian_url_file)
    database = Database(
        PoolSettings(
            url=url.strip(),
            max_connections=2,
            connect_timeout=section.connect_timeout_seconds,
            statement_timeout=section.statement_timeout_seconds,
        )
    )
    await database.open()
    try:
        parts = await ledger_parts(config, database, clock)
        if dry_run:
            return await parts.replayer.compare()
        return await parts.replayer.replay(progress)
    finally:
        await database.close()
