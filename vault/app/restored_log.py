"""Whether the log of a restored database goes on, and the entry that says it was restored.

Guarantees: a log goes on only if the restored database holds all that its newest known checkpoint
covers, with the same root. Otherwise it ends: the log that follows has another name (so
that no two signed trees of one name differ), takes over the leaves that were restored, and
its first own entry names backup, operator, and the old log's last checkpoint. Either way
nothing is hidden: docs/backup.md, "The log after a restore".
"""

import asyncio
import datetime as dt
import uuid
from dataclasses import dataclass
from pathlib import Path

from vault.audit.account import Account, EntryIds
from vault.audit.alarms import TreeDamageError
from vault.audit.checkpoint import Checkpoint, open_checkpoint
from vault.audit.growth import take_up
from vault.audit.note import NoteError, VerifierKey
from vault.audit.witnessed import check_history
from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.model import Authentication, Principal, TenantId
from vault.rows import CheckpointRow, EntryRow
from vault.store.restored import RestoredLog

RPC = "pdvault.Backup/Restore"
"""What stands in the entry in place of an RPC."""


@dataclass(frozen=True, slots=True)
class LogFate:
    """What became of the log.

    Attributes:
        origin: the name that it bears from now on.
        leaves: that were restored.
        last_size: of the newest checkpoint that is known of it; 0: none.
        goes_on: whether it bears its old name.
        lost: leaves that the checkpoint covers and the backup has not.
    """

    origin: str
    leaves: int
    last_size: int
    goes_on: bool

    @property
    def lost(self) -> int:
        return max(0, self.last_size - self.leaves)


def read_witnessed(path: Path, keys: tuple[VerifierKey, ...]) -> tuple[Checkpoint, str] | None:
    """The checkpoint outside the database and its note; None if there is no file.

    Raises:
        VaultError: AUDIT_UNAVAILABLE: it can't be read, or is not this log's.
    """
    try:
        data = path.read_bytes()
        return open_checkpoint(data, keys, origin=keys[0].name).checkpoint, data.decode()
    except FileNotFoundError:
        return None
    except (OSError, NoteError, ValueError) as error:
        raise VaultError(
            Reason.AUDIT_UNAVAILABLE, "the witness file holds no checkpoint of the backup's log"
        ) from error


async def settle_log(
    log: RestoredLog,
    *,
    origin: str,
    source: str,
    witnessed: tuple[Checkpoint, str] | None,
    next_origin: str | None,
    operator: str,
    clock: Clock,
) -> LogFate:
    """Lets the log go on or end, within the restore's transaction, and records the restore.

    Args:
        log: as restored.
        origin: the name that it bears.
        source: what was restored, in words without anything personal.
        witnessed: the newest checkpoint that is kept outside the database; None: none is.
        next_origin: the name under which it is to go on if it ends; None: refuse then.
        operator: who restores.
        clock: the time.

    Raises:
        VaultError: AUDIT_UNAVAILABLE: the log can't go on and there is no other name for it, or
            what was restored is no sound tree.
    """
    leaves, newest = await log.size(), await log.newest_checkpoint()
    obstacle = await _obstacle(log, witnessed, newest)
    if obstacle and next_origin is None:
        raise VaultError(
            Reason.AUDIT_UNAVAILABLE,
            f"{obstacle}; the log {origin} can't go on. Give its successor's name with --next-log",
        )
    last = newest
    if witnessed is not None and (newest is None or witnessed[0].size > newest.size):
        seen, note = witnessed
        last = CheckpointRow(seen.size, seen.root, note, dt.datetime.now(dt.UTC))
    size = 0 if last is None else last.size
    if not obstacle or next_origin is None or last is None:
        told = f"{source} by={operator} log={origin} goes-on kept={leaves}"
        entry = _entry(told, last, clock)
        await log.add_entry(entry)
        return LogFate(origin, leaves, size, goes_on=True)
    try:
        (await take_up(log, leaves)).root()
    except TreeDamageError as error:
        raise VaultError(Reason.AUDIT_UNAVAILABLE, "the restored log is damaged") from error
    told = f"{source} by={operator} log={origin} ended kept={leaves} next={next_origin}"
    entry = _entry(told, last, clock)
    await log.end(origin=origin, last=last, kept=leaves, next_origin=next_origin, entry=entry)
    return LogFate(next_origin, leaves, size, goes_on=False)


async def _obstacle(
    log: RestoredLog, witnessed: tuple[Checkpoint, str] | None, newest: CheckpointRow | None
) -> str:
    """Why the log can't go on under its name; empty if it can."""
    if witnessed is None:
        if newest is None:
            return ""
        return "the witness file is missing, so nobody knows how far the log had gone"
    checkpoint = witnessed[0]
    size = await log.size()
    if size < checkpoint.size:
        return (
            f"the backup holds {size} entries of the log and its newest checkpoint covers "
            f"{checkpoint.size}"
        )
    try:
        await check_history(log, checkpoint)
    except TreeDamageError:
        return "the backup's log has another history than its newest checkpoint"
    return ""


def _entry(told: str, last: CheckpointRow | None, clock: Clock) -> EntryRow:
    """The record, in the entry's field `field`: words of a closed form, nothing personal."""
    account = Account(rpc=RPC, call_id=uuid.uuid4(), trace_id=uuid.uuid4().bytes, span_id=bytes(8))
    account.principal = Principal(
        id="", authentication=Authentication.NONE, tenant=TenantId(""), roles=()
    )
    checkpoint = "none" if last is None else f"{last.size}:{last.root.hex()}"
    account.field = f"{told} checkpoint={checkpoint}"
    [entry] = account.close(EntryIds(clock))
    return entry


async def set_witness_aside(path: Path, size: int) -> Path | None:
    """Moves the witness file of a log that ended away; it stays as evidence."""
    target = path.with_name(f"{path.name}.ended-{size}")
    try:
        await asyncio.to_thread(path.rename, target)
    except FileNotFoundError:
        return None
    return target
