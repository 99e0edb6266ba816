"""Puts a backup into the ledger, so that a restored database learns of it again.

Guarantees: as for erasures, the line is durable before the database says that it is applied; the
next who holds the ledger finishes what a crash cut off.
"""

from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.keys.ledger import BackupLine
from vault.service.ledger import Ledger, now
from vault.service.replay import Replayer
from vault.store.backups import BackupRow
from vault.store.erasures import ErasureStore


class BackupLedger:
    """Adds lines of the kind `backup`."""

    def __init__(
        self, *, ledger: Ledger, replayer: Replayer, store: ErasureStore, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._replayer = replayer
        self._store = store
        self._clock = clock

    async def add(self, row: BackupRow) -> int:
        """Adds a backup that is on record.

        Returns:
            The line's index.

        Raises:
            VaultError: LEDGER_NOT_REPLAYED: database and ledger differ; AUDIT_UNAVAILABLE: the
                ledger can't be written.
        """
        roots: dict[str, dict[int, int]] = {}
        for root in row.roots:
            roots.setdefault(root.tenant, {})[root.root_version] = root.keys
        async with self._ledger.hold(write=True) as held:
            await self._replayer.mend(held)
            applied = await self._store.newest_applied()
            if applied is None:
                raise VaultError(Reason.LEDGER_NOT_REPLAYED, "there is no ledger")
            index = applied.index + 1
            await self._store.intend(index)
            try:
                head = await held.add(
                    BackupLine(
                        backup_id=row.backup_id,
                        kind=row.kind,
                        taken_at=row.taken_at,
                        covers_until=row.covers_until,
                        keep_until=row.keep_until,
                        time=now(self._clock),
                        roots=roots,
                    )
                )
            except VaultError:
                await self._store.give_up(index)
                raise
            await self._store.mark_applied(head)
            return head.index
