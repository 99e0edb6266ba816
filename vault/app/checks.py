"""What must hold before the service may listen, and what its health follows.

Guarantees: nothing here changes anything. Leaves to `vault.app` what follows from a fault.
"""

import asyncio
from pathlib import Path
from typing import Protocol

from vault.audit.account import Account, EntryIds
from vault.audit.alarms import Alarm, Alarms, TreeDamageError
from vault.audit.cosigner import Cosigner
from vault.audit.witnessed import WitnessError, WitnessFile, check_history
from vault.authn.issuers import Issuers, IssuersError, load_issuers
from vault.crypto.transit import Transit
from vault.errors import Reason, VaultError, Violation
from vault.model import Verdict
from vault.policy.bundle import Bundle
from vault.policy.faults import BundleError
from vault.policy.load import load_bundle
from vault.rpc.health import Check
from vault.service.ledger_gate import LedgerGate
from vault.store.database import Database
from vault.store.log import LogStore
from vault.store.restored import next_origin
from vault.store.tree import TreeReader
from vault.telemetry.logs import Log

_log = Log("vault.app")

_HISTORY = {
    Alarm.ROLLED_BACK: (
        "the database is older than the audit log's witnessed checkpoint of {size} entries: "
        "it was rolled back"
    ),
    Alarm.FORKED: (
        "the audit log has another history than its witnessed checkpoint of {size} entries: "
        "it was forked"
    ),
}
_DAMAGED = "the audit log's tree is damaged at leaf {size}"


class UnsafeError(Exception):
    """The service refuses to start.

    Attributes:
        faults: why, one line each.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def load_rules(directory: Path) -> Bundle:
    """A bundle as the service takes it: its issuers of bearer tokens are sound as well.

    Raises:
        BundleError: one or the other is not sound.
    """
    bundle = load_bundle(directory)
    issuers_of(bundle)
    return bundle


def issuers_of(bundle: Bundle) -> Issuers:
    """Whom a bundle lets vouch for people.

    Raises:
        BundleError: they are not sound; never for a bundle of `load_rules`.
    """
    try:
        return load_issuers(bundle.issuers_document, bundle.read_file, file="issuers.yaml")
    except IssuersError as error:
        raise BundleError([Violation("issuers.yaml:1", str(error))]) from error


def health_checks(
    database: Database, transit: Transit, log: LogStore, ids: EntryIds
) -> dict[str, Check]:
    async def database_answers() -> None:
        async with database.connection() as connection:
            if await connection.fetchval("select pg_is_in_recovery()"):
                raise VaultError(Reason.DATABASE_UNAVAILABLE, "the database is a standby")

    async def transit_answers() -> None:
        down = transit.state
        if down is not None:
            raise VaultError(down.reason, "transit is unfit")

    async def log_takes_entries() -> None:
        probe = Account(rpc="", call_id=ids.next()[0], trace_id=bytes(16), span_id=bytes(8))
        await log.check_writable(probe.close_failed(ids, Reason.INTERNAL, Verdict.FAILED)[0])

    return {"database": database_answers, "transit": transit_answers, "audit": log_takes_entries}


def log_soundness(alarms: Alarms) -> Check:
    async def log_is_sound() -> None:
        if alarms.is_halted:
            raise VaultError(Reason.AUDIT_UNAVAILABLE, "the log is damaged")

    return log_is_sound


class Gated(Protocol):
    @property
    def gate(self) -> LedgerGate: ...


def ledger_checks(ledger: Gated | None) -> dict[str, Check]:
    """What health asks of the ledger of erasures, where there is one."""
    if ledger is None:
        return {}
    gate = ledger.gate

    async def ledger_is_applied() -> None:
        gate.require()

    return {"ledger": ledger_is_applied}


async def check_not_ended(database: Database, origin: str) -> None:
    """Refuses to go on with a log that a restore ended (docs/backup.md)."""
    follows = await next_origin(database, origin)
    if follows is not None:
        raise UnsafeError(
            [f"the log {origin} ended with a restore and goes on as {follows}: set audit.origin"]
        )


async def check_witnessed(witness: WitnessFile, tree: TreeReader) -> None:
    """Refuses a database that does not go on from the checkpoint in the witness file."""
    try:
        checkpoint = await asyncio.to_thread(witness.read)
        if checkpoint is not None:
            await check_history(tree, checkpoint)
        elif await tree.newest_checkpoint() is not None:
            _log.warning("witness.missing")
    except WitnessError as error:
        raise UnsafeError([str(error)]) from error
    except TreeDamageError as error:
        raise _refused(error) from error


async def check_cosigned(cosigner: Cosigner) -> None:
    """Refuses a database that is older than what an outside witness has cosigned."""
    try:
        await cosigner.check()
    except TreeDamageError as error:
        raise _refused(error) from error


def _refused(error: TreeDamageError) -> UnsafeError:
    return UnsafeError([_HISTORY.get(error.alarm, _DAMAGED).format(size=error.at)])
