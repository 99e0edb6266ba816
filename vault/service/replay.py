"""Applying to a database what its ledger holds and it does not: after a restore, or a crash.

Guarantees: line by line, in order, each in one transaction, so that it can be cut off anywhere and
begun again; what is applied already stays as it is. Each erasure that is carried out here
leaves an audit entry, without a caller, in its subject's tenant.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

from vault.audit.account import Account, EntryIds
from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.keys.ledger import BackupLine, EraseLine, Head
from vault.model import Authentication, Principal, TenantId
from vault.rows import EntryRow
from vault.service.ledger import Comparison, Held, Ledger, Standing
from vault.store.backups import KEPT, BackupRow, RootCount
from vault.store.erasures import ErasureRow, Repeat

RPC = "pdvault.Erasures/Replay"
"""What stands in the entry in place of an RPC."""


class ErasureApplier(Protocol):
    """The database's side, with the custodians' role."""

    async def newest_applied(self) -> Head | None: ...
    async def intents(self) -> set[int]: ...
    async def mark_applied(self, head: Head) -> None: ...
    async def erase(
        self,
        line: EraseLine,
        head: Head,
        entries: Sequence[EntryRow],
        *,
        repeat: Repeat | None = None,
    ) -> ErasureRow: ...


class BackupLearner(Protocol):
    """Where backups are on record."""

    async def learn(self, row: BackupRow) -> None: ...


class Replayer:
    """Brings a database up to its ledger."""

    def __init__(
        self, *, store: ErasureApplier, backups: BackupLearner, ledger: Ledger, clock: Clock
    ) -> None:
        self._store = store
        self._backups = backups
        self._ledger = ledger
        self._ids = EntryIds(clock)

    async def compare(self) -> Comparison:
        """How the database stands now.

        Raises:
            VaultError: the ledger can't be read, or the database does not answer.
        """
        async with self._ledger.hold(write=False) as held:
            return await held.compare(await self._store.newest_applied())

    async def replay(
        self, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> Comparison:
        """Applies everything that is missing.

        Returns:
            How the database stood before. One that is LOST is left as it is.

        Raises:
            VaultError: as `compare`, or the ledger can't be written.
        """
        async with self._ledger.hold(write=True) as held:
            before = await self._prepared(held)
            if before.standing is Standing.BEHIND:
                await self._apply(before, progress)
            return before

    async def mend(self, held: Held) -> None:
        """Makes sure that database and ledger agree, by finishing what a crash cut off.

        Raises:
            VaultError: LEDGER_NOT_REPLAYED: they differ by more than that.
        """
        found = await self._prepared(held)
        if found.standing is Standing.BEHIND:
            intents = await self._store.intents()
            if any(linked.head.index not in intents for linked in found.missing):
                raise not_replayed(found)
            await self._apply(found, lambda _done, _total: None)
            await held.compare(await self._store.newest_applied())
        elif found.standing is not Standing.AGREES:
            raise not_replayed(found)

    async def _prepared(self, held: Held) -> Comparison:
        """The comparison, once there is a ledger."""
        found = await held.compare(await self._store.newest_applied())
        if found.standing is Standing.FRESH:
            head = found.first or await held.begin(self._ledger.new_header())
            await self._store.mark_applied(head)
            found = await held.compare(await self._store.newest_applied())
        return found

    async def _apply(self, found: Comparison, progress: Callable[[int, int], None]) -> None:
        if found.applied is None and found.first is not None:
            await self._store.mark_applied(found.first)
        for done, linked in enumerate(found.missing, start=1):
            line = linked.line
            if isinstance(line, EraseLine):
                await self._store.erase(line, linked.head, self._entries(line))
            else:
                await self._backups.learn(backup_row(line))
                await self._store.mark_applied(linked.head)
            progress(done, len(found.missing))

    def _entries(self, line: EraseLine) -> tuple[EntryRow, ...]:
        account = Account(
            rpc=RPC, call_id=line.erasure_id, trace_id=uuid.uuid4().bytes, span_id=bytes(8)
        )
        account.principal = Principal(
            id="", authentication=Authentication.NONE, tenant=TenantId(line.tenant), roles=()
        )
        account.subject_id = line.subject_id
        return account.close(self._ids)


def backup_row(line: BackupLine) -> BackupRow:
    """A backup as the ledger knows it: without its size, its digest and its label."""
    return BackupRow(
        backup_id=line.backup_id,
        kind=line.kind,
        state=KEPT,
        taken_at=line.taken_at,
        covers_until=line.covers_until,
        keep_until=line.keep_until,
        size=None,
        sha256=None,
        label="",
        roots=tuple(
            RootCount(tenant, version, keys)
            for tenant, versions in line.roots.items()
            for version, keys in versions.items()
        ),
    )


def not_replayed(found: Comparison) -> VaultError:
    """The error while database and ledger differ."""
    return VaultError(Reason.LEDGER_NOT_REPLAYED, found.text, retry_after_ms=5000)
