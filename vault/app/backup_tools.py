"""What backup, restore and drill share: logins, the ledger, how far they are."""

import contextlib
import getpass
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from vault.app.parts import custody_transit_settings
from vault.audit.note import KeyType, VerifierKey
from vault.clock import Clock
from vault.config import Config
from vault.crypto.transit_admin import TransitAdmin
from vault.errors import Reason, VaultError
from vault.service.ledger import Ledger
from vault.service.replay import Replayer
from vault.store.backups import BackupStore
from vault.store.database import Database, PoolSettings
from vault.store.erasures import ErasureStore
from vault.store.ledger_file import LedgerFile
from vault.store.restored import first_origin

Progress = Callable[[str, int, int], None]
"""Called with what is under way, how much of it is done, and how much there is, in bytes."""
LOG_VERIFIED = "verified"
"""What is under way while a log is derived anew: counted in entries."""


def operator() -> str:
    """Who runs this, as the system knows him: `LOGIN@HOST`."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = "unknown"
    return f"{login}@{socket.gethostname()}"[:200]


@contextlib.asynccontextmanager
async def owner_database(url: str) -> AsyncIterator[Database]:
    """The owner's login, for short statements.

    Raises:
        VaultError: DATABASE_UNAVAILABLE.
    """
    database = Database(
        PoolSettings(url=url, max_connections=3, connect_timeout=10.0, statement_timeout=120.0)
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def custody_transit(config: Config, clock: Clock) -> AsyncIterator[TransitAdmin]:
    """The custodians' login to Transit.

    Raises:
        VaultError: KEY_STORE_*; CUSTODY_UNAVAILABLE: the configuration has none.
    """
    try:
        settings = custody_transit_settings(config)
    except ValueError as error:
        raise VaultError(
            Reason.CUSTODY_UNAVAILABLE, "section [custody] has no login to Transit"
        ) from error
    admin = TransitAdmin(settings, clock=clock)
    try:
        await admin.open([])
        yield admin
    finally:
        await admin.close()


async def log_keys(config: Config, admin: TransitAdmin, origin: str) -> tuple[VerifierKey, ...]:
    """The public keys of a log, the newest first.

    Raises:
        VaultError: KEY_STORE_*.
    """
    keys = await admin.public_keys(config.audit.signing_key)
    return tuple(
        VerifierKey(origin, KeyType.ED25519, keys[version])
        for version in sorted(keys, reverse=True)
    )


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """The ledger and what keeps a database and it together."""

    ledger: Ledger
    replayer: Replayer
    erasures: ErasureStore
    backups: BackupStore


async def ledger_parts(config: Config, database: Database, clock: Clock) -> LedgerParts:
    """The ledger of the configuration, beside this database.

    Raises:
        VaultError: CUSTODY_UNAVAILABLE: the configuration names none; DATABASE_UNAVAILABLE.
    """
    path = config.custody.ledger_file
    if path is None:
        raise VaultError(Reason.CUSTODY_UNAVAILABLE, "custody.ledger_file is not configured")
    origin = await first_origin(database, config.audit.origin)
    ledger = Ledger(LedgerFile(path, origin=origin), clock=clock)
    erasures, backups = ErasureStore(database), BackupStore(database)
    replayer = Replayer(store=erasures, backups=backups, ledger=ledger, clock=clock)
    return LedgerParts(ledger, replayer, erasures, backups)
