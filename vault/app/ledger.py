"""The ledger of erasures in this process: the gate, the listener, and what custody does with it.

Guarantees: a database that is behind its ledger, or does not belong to it, is not served. Leaves
to `vault.app.custody` the RPCs.
"""

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vault.app.checks import UnsafeError
from vault.app.upkeep import cancelled
from vault.clock import Clock
from vault.config import Config
from vault.config_files import read_secret
from vault.crypto.keyring import Keyring
from vault.errors import Reason, VaultError
from vault.keys.ledger import Head
from vault.model import SubjectId
from vault.service.index_keys import IndexKeys
from vault.service.ledger import Ledger, Standing
from vault.service.ledger_gate import LedgerGate
from vault.service.replay import Replayer
from vault.store.backups import BackupStore
from vault.store.database import Database
from vault.store.erasures import ErasureReader, ErasureStore, newest_applied
from vault.store.key_events import KeyEventCallbacks, KeyEvents
from vault.store.ledger_file import LedgerFile
from vault.store.restored import first_origin
from vault.telemetry import names
from vault.telemetry.logs import Log
from vault.telemetry.metrics import Metrics

_log = Log("vault.app")

_TEND_S = 10.0
_REPEATS = dt.timedelta(hours=24)
_LATELY = dt.timedelta(hours=1)
"""Longer than any call that began before an erasure lasts."""


@dataclass(frozen=True, slots=True)
class CustodyLedger:
    """What only the custodians' login may do."""

    store: ErasureStore
    backups: BackupStore
    replayer: Replayer


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """Attributes:
    custody: None where this process has no custodians' login.
    """

    ledger: Ledger
    gate: LedgerGate
    custody: CustodyLedger | None


async def open_ledger(
    config: Config,
    *,
    stack: contextlib.AsyncExitStack,
    database: Database,
    open_database: Callable[[Path, int], Awaitable[Database]],
    keyring: Keyring,
    index_keys: IndexKeys,
    metrics: Metrics,
    clock: Clock,
) -> LedgerParts | None:
    """Listens, compares, and lets in whom the comparison lets; None without a ledger.

    Raises:
        UnsafeError: database and ledger differ.
        VaultError: one of them does not answer.
    """
    path = config.custody.ledger_file
    if path is None:
        return None
    origin = await first_origin(database, config.audit.origin)
    ledger = Ledger(LedgerFile(path, origin=origin), clock=clock)
    gate = LedgerGate(ledger=ledger, applied=ErasureReader(database))
    custody = None
    if config.database.custodian_url_file is not None:
        custodians = await open_database(config.database.custodian_url_file, 2)
        custody = custody_ledger(custodians, ledger, clock)
        await _begin(ledger, custody)

    def lost() -> None:
        _log.error("key_events.lost")
        keyring.pause()
        index_keys.pause()

    async def listening() -> None:
        with contextlib.suppress(VaultError):  # the gate is closed then, and looks again
            await gate.look()
        keyring.resume()
        index_keys.resume()
        _log.info("key_events.listening")

    def told(payload: str) -> None:
        subject, applied = read_event(payload)
        if subject is None:
            keyring.clear()
            index_keys.clear()
        else:
            keyring.drop(subject)
        gate.note(applied)

    url = await asyncio.to_thread(read_secret, config.database.url_file)
    events = KeyEvents(
        url.strip(),
        KeyEventCallbacks(told=told, lost=lost, listening=listening),
        connect_timeout=config.database.connect_timeout_seconds,
    )
    await events.start()
    stack.push_async_callback(events.stop)
    if not gate.is_open:
        found = await gate.look()
        raise UnsafeError([found.text])

    async def greet(connection: Any) -> None:
        gate.meet(await newest_applied(connection))

    database.greet = greet
    work = [events.run(), gate.run()]
    if custody is not None:
        work.append(_tend(ledger, custody))
    for each in work:
        stack.push_async_callback(cancelled, asyncio.create_task(each))
    metrics.watch(names.KEY_EVENTS_LISTENING, lambda: {(): int(events.is_listening)})
    metrics.watch(names.KEY_EVENTS_LOSSES, lambda: {(): events.losses})
    metrics.watch(names.LEDGER_AGREES, lambda: {(): int(gate.is_open)})
    return LedgerParts(ledger, gate, custody)


def custody_ledger(custodians: Database, ledger: Ledger, clock: Clock) -> CustodyLedger:
    """What custody does with the ledger, on a database that was opened with its login."""
    store, backups = ErasureStore(custodians), BackupStore(custodians)
    replayer = Replayer(store=store, backups=backups, ledger=ledger, clock=clock)
    return CustodyLedger(store, backups, replayer)


def read_event(payload: str) -> tuple[SubjectId | None, Head | None]:
    """Whom a notification is about, and how far the ledger is applied with it. Anything else
    than `erased SUBJECT INDEX HASH` and `replaced SUBJECT` is about everybody.
    """
    try:
        if payload.startswith("replaced "):
            return SubjectId(uuid.UUID(hex=payload.removeprefix("replaced "))), None
        word, subject, index, digest = payload.split(" ")
        if word != "erased":
            return None, None
        return SubjectId(uuid.UUID(hex=subject)), Head(int(index), bytes.fromhex(digest))
    except ValueError:
        return None, None


async def _begin(ledger: Ledger, custody: CustodyLedger) -> None:
    """Begins the ledger if there is none, and finishes what a crash cut off."""
    try:
        async with ledger.hold(write=True) as held:
            await custody.replayer.mend(held)
    except VaultError as error:
        if error.reason is Reason.LEDGER_NOT_REPLAYED:
            raise UnsafeError([error.text]) from error
        raise


async def _tend(ledger: Ledger, custody: CustodyLedger) -> None:
    """Finishes what another process began and did not end, and looks after those erased lately."""
    while True:
        await asyncio.sleep(_TEND_S)
        try:
            if (await custody.replayer.compare()).standing is Standing.BEHIND:
                async with ledger.hold(write=True) as held:
                    await custody.replayer.mend(held)
            await custody.store.sweep(retention=_REPEATS, lately=_LATELY)
        except VaultError as error:
            _log.warning("ledger.untended", error=error)
