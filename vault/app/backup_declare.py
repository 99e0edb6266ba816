"""Backups that others made, and what is on record."""

import datetime as dt
import uuid

from vault.app.backup_tools import ledger_parts, owner_database
from vault.clock import Clock
from vault.config import Config
from vault.errors import Reason, VaultError
from vault.service.backup_ledger import BackupLedger
from vault.store.backups import ARCHIVE, DECLARED, GONE, BackupRow, BackupStore


async def list_backups(owner_url: str) -> list[BackupRow]:
    """What is on record, the newest first.

    Raises:
        VaultError: DATABASE_UNAVAILABLE.
    """
    async with owner_database(owner_url) as database:
        return await BackupStore(database).all()


async def declare_backup(
    config: Config,
    *,
    owner_url: str,
    until: dt.datetime,
    begun: dt.datetime | None,
    is_archive: bool,
    label: str,
    clock: Clock,
) -> BackupRow:
    """Puts somebody else's backup on record, here and in the ledger.

    Raises:
        VaultError: REQUEST_MALFORMED: times that can't be; the database or the ledger fails.
    """
    now = dt.datetime.now(dt.UTC)
    if (begun is not None and begun > now) or until <= now:
        raise VaultError(
            Reason.REQUEST_MALFORMED, "a backup was begun in the past and is kept into the future"
        )
    backup_id = uuid.uuid4()
    async with owner_database(owner_url) as database:
        parts = await ledger_parts(config, database, clock)
        await parts.backups.begin(
            backup_id,
            kind=ARCHIVE if is_archive else DECLARED,
            keep_until=until,
            label=label,
            taken_at=begun,
        )
        [row] = [one for one in await parts.backups.all() if one.backup_id == backup_id]
        recorder = BackupLedger(
            ledger=parts.ledger, replayer=parts.replayer, store=parts.erasures, clock=clock
        )
        await recorder.add(row)
    return row


async def declare_gone(owner_url: str, backup_id: uuid.UUID) -> bool:
    """Takes a backup off; False if there is none to take off.

    Raises:
        VaultError: DATABASE_UNAVAILABLE.
    """
    async with owner_database(owner_url) as database:
        return await BackupStore(database).end(backup_id, GONE)
