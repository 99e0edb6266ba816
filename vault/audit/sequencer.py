"""The sequencer: gives entries their places in the tree, and signs what was committed.

An entry is *recorded* (committed by the service), then *sequenced* (committed with a leaf
index), then *published* (under a committed checkpoint). Every process runs a sequencer; the one
that holds the advisory lock on its writing connection leads, the others stand by.

Guarantees: indexes are contiguous from 0; a checkpoint is signed only over leaves that
were committed, read back and derived anew from their entries' bytes; it is never smaller
than one before, here or in the witness file. So even a leader that lost its lock unknowingly can
sign nothing but a prefix of the one tree, and can't publish it. Damage stops sequencing
and signing and keeps the lock, so that nobody else goes on (docs/adr/0011-sequencer.md).
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from vault.audit.alarms import Alarm, Alarms, TreeDamageError
from vault.audit.growth import Growth, check_tiles, take_up
from vault.audit.patrol import Patrol, PublishedTree, check_row
from vault.audit.signer import CheckpointSigner
from vault.audit.witnessed import WitnessError, WitnessFile, check_history
from vault.clock import Clock
from vault.errors import VaultError
from vault.rows import Backlog, CheckpointRow, Sequenced, TileRow
from vault.telemetry.logs import Log

_log = Log("vault.audit")

_BATCH = 512
"""Entries in one step: its hashing keeps the event loop for about 3 ms."""
_ROUND_S = 0.2
"""Between two rounds when nothing waits."""
_STANDBY_S = 0.5
"""How often a standby tries to lead."""
_LOOK_S = 1.0
"""How often the backlog is looked at, the witness file written, a failed signature tried again."""
_PARTITIONS_S = 3600.0
"""How often the months' partitions are looked after."""
_MONTHS = 12
"""How many months ahead they are made."""
_ALARM_S = 10.0
"""How long an entry may wait for its index, or a leaf for its checkpoint."""
_FINISH_S = 3.0
"""How long the last rounds may take when the process ends."""


class Writer(PublishedTree, Protocol):
    """The writing connection (`vault.store.tree.TreeWriter`). Raises VaultError."""

    async def is_mighty(self) -> bool: ...
    async def lead(self) -> bool: ...
    async def sequence(self, size: int, limit: int) -> Sequenced: ...
    async def backlog(self) -> Backlog: ...
    async def ensure_partitions(self, months: int) -> bool | None: ...
    async def add_tiles(self, tiles: list[TileRow]) -> None: ...
    async def add_checkpoint(self, row: CheckpointRow) -> bool: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LogState:
    """What metrics tell of the log.

    Attributes:
        size: leaves.
        pending: entries without an index; lag: seconds that the oldest has waited.
        unpublished_ns: monotonic time since when leaves wait for a checkpoint; None if none do.
    """

    size: int = 0
    pending: int = 0
    lag: float = 0.0
    unpublished_ns: int | None = None


@dataclass(slots=True, eq=False)
class _Reign:
    """One leader's knowledge; gone with its connection.

    Attributes:
        size: leaves that have an index.
        growth: the tree of those of them that were derived anew.
        signed: size of the newest checkpoint.
        signed_ns, retry_ns: monotonic times; the newest checkpoint, the next attempt.
        signing: a signature under way, and the tree that it is for.
    """

    writer: Writer
    size: int
    growth: Growth
    signed: int
    signed_ns: int = 0
    retry_ns: int = 0
    signing: "tuple[int, bytes, asyncio.Task[str]] | None" = field(default=None)


class Sequencer:
    """One process's sequencer.

    Args:
        connect: opens the writing connection.
        patrol: walks the log while this process leads.
        checkpoint_seconds: least time between two checkpoints.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Awaitable[Writer]],
        patrol: Patrol,
        signer: CheckpointSigner,
        witness: WitnessFile,
        alarms: Alarms,
        clock: Clock,
        checkpoint_seconds: float,
    ) -> None:
        self._connect = connect
        self._patrol = patrol
        self._signer = signer
        self._witness = witness
        self._alarms = alarms
        self._clock = clock
        self._interval_ns = int(checkpoint_seconds * 1e9)
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._looked_ns = 0
        self._partitioned_ns: int | None = None
        self._unkept: CheckpointRow | None = None
        self._published = 0
        self.state = LogState()
        self.is_leader = False

    def start(self) -> None:
        """Begins to stand by or to lead, in the background."""
        self._task = asyncio.create_task(self._run(), name="sequencer")

    async def stop(self) -> None:
        """Sequences and signs what is there, within a few seconds, and gives up the lock."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    def checkpoint_age(self) -> float:
        """Seconds that leaves have waited for a checkpoint; 0 when none does."""
        since = self.state.unpublished_ns
        return 0.0 if since is None else (self._clock.monotonic_ns() - since) / 1e9

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._session()
                self._alarms.settle(Alarm.FAULT)
            except VaultError as error:
                _log.warning("sequencer.lost", reason=error.reason.name)
            except Exception as error:  # noqa: BLE001  it must outlive any surprise
                _log.failure("sequencer.failed", error)
                self._alarms.sound(Alarm.FAULT)
            await self._rest(_LOOK_S)

    async def _session(self) -> None:
        """Everything over one connection: stand by, lead, give up."""
        writer = await self._connect()
        try:
            if await writer.is_mighty():
                self._alarms.sound(Alarm.ROLE_TOO_MIGHTY)
            while not await writer.lead():
                await self._look(writer, is_leader=False)
                await self._rest(_STANDBY_S)
                if self._stopping.is_set():
                    return
            await self._lead(writer)
        finally:
            self.is_leader = False
            await writer.close()

    async def _lead(self, writer: Writer) -> None:
        self.is_leader = True
        _log.info("sequencer.leads")
        patrol = asyncio.create_task(self._patrol.run(), name="patrol")
        reign: _Reign | None = None
        try:
            with self._alarming():
                reign = await self._take_over(writer)
                self._alarms.settle(Alarm.FAULT)
            while not self._stopping.is_set():
                is_busy = reign is not None and await self._round(reign)
                await self._look(writer, is_leader=True)
                if not is_busy:
                    await self._rest(_ROUND_S)
            if reign is not None:
                await self._finish(reign)
        finally:
            tasks: list[asyncio.Task[object]] = [patrol]
            if reign is not None and reign.signing is not None:
                tasks.append(reign.signing[2])
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.contextmanager
    def _alarming(self) -> Iterator[None]:
        try:
            yield
        except TreeDamageError as error:
            self._alarms.sound(error.alarm, at=error.at)

    async def _take_over(self, writer: Writer) -> _Reign:
        """Goes on where the newest checkpoint, stored or witnessed, ends."""
        row = await writer.newest_checkpoint()
        size = await writer.size()
        signed = 0
        growth = Growth()
        if row is not None:
            await check_row(row, self._signer)
            if size < row.size:
                raise TreeDamageError(Alarm.ROLLED_BACK, row.size)
            growth = await take_up(writer, row.size)
            if growth.root() != row.root:
                raise TreeDamageError(Alarm.FORKED, row.size)
            signed = row.size
            self._unkept = row
        try:
            witnessed = await asyncio.to_thread(self._witness.read)
        except WitnessError as error:
            raise TreeDamageError(Alarm.CHECKPOINT_DAMAGED, signed) from error
        if witnessed is not None:
            await check_history(writer, witnessed)
            if witnessed.size > signed:
                signed = witnessed.size
                growth = await take_up(writer, signed)
        return _Reign(writer, size, growth, signed)

    async def _round(self, reign: _Reign) -> bool:
        """One step of everything; whether there is more to do at once."""
        if self._alarms.is_halted:
            return False
        with self._alarming():
            writer, growth = reign.writer, reign.growth
            # 1. Give indexes.
            step = await writer.sequence(reign.size, _BATCH)
            if step.damaged is not None:
                _log.error("entry.damaged", entry_id=step.damaged.hex)
                raise TreeDamageError(Alarm.ENTRY_DAMAGED, reign.size)
            reign.size += step.entries
            # 2. Read back what was committed, and derive it anew.
            count = min(_BATCH, reign.size - growth.size)
            if count:
                rows = await writer.leaves(growth.size, count)
                if len(rows) < count:
                    raise TreeDamageError(Alarm.LEAF_DAMAGED, growth.size + len(rows))
                tiles = growth.extend(rows)
                if tiles:
                    await writer.add_tiles(tiles)
                    await check_tiles(writer, tiles)
            # 3. Sign and publish.
            await self._publish(reign)
            return step.entries == _BATCH or growth.size < reign.size
        return False

    async def _publish(self, reign: _Reign) -> None:
        """Takes in a signature that has come; asks for the next one if it is time."""
        now = self._clock.monotonic_ns()
        if reign.signing is not None and reign.signing[2].done():
            size, root, task = reign.signing
            reign.signing = None
            try:
                note = task.result()
            except VaultError as error:
                _log.warning("checkpoint.unsigned", reason=error.reason.name)
                reign.retry_ns = now + int(_LOOK_S * 1e9)
                return
            at = dt.datetime.fromtimestamp(self._clock.unix_ns() / 1e9, dt.UTC)
            row = CheckpointRow(size, root, note, at)
            if not await reign.writer.add_checkpoint(row):
                raise TreeDamageError(Alarm.FORKED, size)
            reign.signed, self._unkept = size, row
        is_due = now >= max(reign.signed_ns + self._interval_ns, reign.retry_ns)
        if reign.signing is None and is_due and reign.growth.size > reign.signed:
            size, root = reign.growth.size, reign.growth.root()
            reign.signed_ns = now
            task = asyncio.create_task(self._signer.sign(size, root))
            reign.signing = (size, root, task)
        self._note_published(reign, now)

    def _note_published(self, reign: _Reign, now: int) -> None:
        since = self.state.unpublished_ns
        if reign.signed == reign.size:
            since = None
        elif since is None or reign.signed != self._published:
            since = now
        self._published = reign.signed
        self.state = LogState(reign.size, self.state.pending, self.state.lag, since)

    async def _look(self, writer: Writer, *, is_leader: bool) -> None:
        """Once a second: the backlog, the delays, the witness file."""
        now = self._clock.monotonic_ns()
        if now - self._looked_ns < _LOOK_S * 1e9:
            return
        self._looked_ns = now
        backlog = await writer.backlog()
        state = self.state
        self.state = LogState(state.size, backlog.entries, backlog.seconds, state.unpublished_ns)
        self._tell(Alarm.LAG, backlog.seconds > _ALARM_S)
        since = state.unpublished_ns
        self._tell(Alarm.UNSIGNED, since is not None and now - since > _ALARM_S * 1e9)
        if is_leader:
            await self._look_after_months(writer, now)
        else:
            row = await writer.newest_checkpoint()
            if row is not None:
                with self._alarming():
                    await check_row(row, self._signer)
                    self._unkept = row
                    self.state = LogState(row.size, backlog.entries, backlog.seconds)
        await self._keep()

    async def _look_after_months(self, writer: Writer, now: int) -> None:
        since = self._partitioned_ns
        if since is None or now - since > _PARTITIONS_S * 1e9:
            self._partitioned_ns = now
            are_all_placed = await writer.ensure_partitions(_MONTHS)
            if are_all_placed is not None:
                self._tell(Alarm.UNPARTITIONED, not are_all_placed)

    def _tell(self, alarm: Alarm, is_on: bool) -> None:
        if is_on:
            self._alarms.sound(alarm)
        else:
            self._alarms.settle(alarm)

    async def _keep(self) -> None:
        """Writes the newest checkpoint to the witness file."""
        row, self._unkept = self._unkept, None
        if row is None or self._alarms.is_halted:
            return
        try:
            await asyncio.to_thread(self._witness.write, row.size, row.note)
            self._alarms.settle(Alarm.WITNESS_FILE)
        except OSError:
            self._unkept = row
            self._alarms.sound(Alarm.WITNESS_FILE)

    async def _finish(self, reign: _Reign) -> None:
        """The last rounds: what is recorded now is published before the process ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                reign.retry_ns = 0
                while not self._alarms.is_halted:
                    reign.signed_ns = 0
                    is_busy = await self._round(reign)
                    if reign.signing is not None:
                        await asyncio.wait((reign.signing[2],))
                    elif not is_busy and (reign.signed == reign.size or reign.retry_ns):
                        break
        await self._keep()

    async def _rest(self, seconds: float) -> None:
        """Sleeps, unless told to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
