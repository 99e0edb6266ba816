"""`pdvault erasures replay`: a database is brought up to its ledger, with the custodians' login.

Needs no Transit: an erasure destroys, and opens nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from vault.app.backup_tools import ledger_parts
from vault.clock import Clock
from vault.config import Config
from vault.config_files import read_secret
from vault.errors import Reason, VaultError
from vault.keys.ledger import EraseLine
from vault.service.ledger import Comparison, Standing
from vault.store.database import Database, PoolSettings


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was missing, and is applied now unless it was a dry run.

    Attributes:
        obstacle: why nothing can be replayed; empty: it can.
        erasures, backups: lines that were missing, by kind.
        applied: the index up to which lines were applied before; -1: none, not even the header.
        ledger: the index of the ledger's newest line.
    """

    obstacle: str
    erasures: int
    backups: int
    applied: int
    ledger: int


async def replay_ledger(
    config: Config, *, clock: Clock, dry_run: bool, progress: Callable[[int, int], None]
) -> Replayed:
    """Applies what is missing, or only looks.

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
            return _told(await parts.replayer.compare())
        return _told(await parts.replayer.replay(progress))
    finally:
        await database.close()


def _told(before: Comparison) -> Replayed:
    erasures = sum(isinstance(linked.line, EraseLine) for linked in before.missing)
    applied = -1 if before.applied is None else before.applied.index
    return Replayed(
        obstacle=before.text if before.standing is Standing.LOST else "",
        erasures=erasures,
        backups=len(before.missing) - erasures,
        applied=applied,
        ledger=before.missing[-1].head.index if before.missing else max(0, applied),
    )
