"""Reads the whole log again and again, at a bounded rate, and holds it against itself.

Guarantees: one pass derives every published leaf anew from its entry's bytes, compares every full
tile with the stored one, the root with the checkpoint's, and the chain of the log's keys with
itself. Damage ends the patrol with an alarm, and leaves to `vault.audit.sequencer` what that stops.
"""

import asyncio
import time
from typing import Protocol

from vault.audit.alarms import Alarm, Alarms, TreeDamageError
from vault.audit.growth import Growth, StoredTree, check_tiles
from vault.audit.note import NoteError
from vault.audit.signer import CheckpointSigner
from vault.errors import VaultError
from vault.rows import CheckpointRow
from vault.telemetry.logs import Log

_log = Log("vault.audit")

_CHUNK = 256
"""Leaves in one trip: a tile's worth."""
_IDLE_S = 1.0
"""Between two passes, and after a trip that failed."""
_BUSY = 0.5
"""Share of its time that the event loop works, from which on calls come first."""
_SLOWER = 10
"""How many times slower it walks then."""


class PublishedTree(StoredTree, Protocol):
    """Also knows the checkpoints."""

    async def newest_checkpoint(self) -> CheckpointRow | None: ...


class Patrol:
    """One reader of the log.

    Args:
        stored: reads the tree, with the auditors' role.
        leaves_per_second: how fast it walks; a tenth of it while the event loop is busy.
    """

    def __init__(
        self,
        *,
        stored: PublishedTree,
        signer: CheckpointSigner,
        alarms: Alarms,
        leaves_per_second: int,
    ) -> None:
        self._stored = stored
        self._signer = signer
        self._alarms = alarms
        self._rate = leaves_per_second
        self.passes = 0
        """How often it has come to the end."""

    async def run(self) -> None:
        """Walks until there is damage."""
        while True:
            try:
                await self._walk()
            except TreeDamageError as error:
                self._alarms.sound(error.alarm, at=error.at)
                return
            except VaultError:
                pass  # the database is away; whoever needs it says so
            await asyncio.sleep(_IDLE_S)

    async def _walk(self) -> None:
        row = await self._stored.newest_checkpoint()
        if row is None:
            return
        await check_row(row, self._signer)
        try:
            await self._signer.check_chain()
        except NoteError as error:
            raise TreeDamageError(Alarm.CHECKPOINT_DAMAGED, row.size) from error
        growth = Growth()
        chunk = min(_CHUNK, self._rate)
        load = _Load()
        while growth.size < row.size:
            count = min(chunk, row.size - growth.size)
            rows = await self._stored.leaves(growth.size, count)
            if len(rows) < count:
                raise TreeDamageError(Alarm.LEAF_DAMAGED, growth.size + len(rows))
            await check_tiles(self._stored, growth.extend(rows))
            await asyncio.sleep(count / self._rate)
            if load.share() > _BUSY:
                await asyncio.sleep((_SLOWER - 1) * count / self._rate)
        if growth.root() != row.root:
            raise TreeDamageError(Alarm.FORKED, row.size)
        self.passes += 1


class _Load:
    """How much of its time this thread works."""

    def __init__(self) -> None:
        self._worked, self._at = time.thread_time(), time.monotonic()

    def share(self) -> float:
        """Since the last look, 0 to 1."""
        worked, at = time.thread_time(), time.monotonic()
        share = (worked - self._worked) / max(1e-9, at - self._at)
        self._worked, self._at = worked, at
        return share


async def check_row(row: CheckpointRow, signer: CheckpointSigner) -> None:
    """Makes sure that a stored checkpoint is what the log's key signed.

    Raises:
        TreeDamageError: CHECKPOINT_DAMAGED.
        VaultError: as `CheckpointSigner.verify`.
    """
    try:
        checkpoint = await signer.verify(row.note.encode())
    except NoteError as error:
        raise TreeDamageError(Alarm.CHECKPOINT_DAMAGED, row.size) from error
    if (checkpoint.size, checkpoint.root) != (row.size, row.root):
        raise TreeDamageError(Alarm.CHECKPOINT_DAMAGED, row.size)
