"""The worker of one process: leases parts of jobs, has their rows moved, begins next phases.

Guarantees: of all processes one at a time moves a part's rows or begins a phase; killed at any
point, another goes on from the last batch that was committed once the lease has run out; all
processes together keep to a job's rate; a Transit or a database that is away makes a
job wait, never fail. Leaves to each mover: what its rows are. Leaves to
`vault.store.jobs`: who holds what.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Protocol

from vault.errors import Reason, VaultError
from vault.keys.jobs import Advanced, Job, JobKind, JobState, Lease, Phase, Plan
from vault.keys.pace import Pace, batch_rows
from vault.model import TenantId
from vault.stage import Trips
from vault.store.jobs import LeaseLostError
from vault.telemetry import names
from vault.telemetry.logs import Log
from vault.telemetry.metrics import Labels

_log = Log("vault.keys")

_IDLE_S = 0.5
"""Between two looks for work."""
_HOLD_S = 5.0
"""How long a process stays with a part while other jobs may wait."""
_RENEW_S = 2.0
"""How often a pause is cut, to keep the lease and to hear of a pause or another rate."""
_SHORTEST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 15.0
_KEY_STORE = {
    Reason.KEY_STORE_SEALED,
    Reason.KEY_STORE_UNAVAILABLE,
    Reason.KEY_STORE_DENIED,
    Reason.KEY_STORE_FAULT,
}


class Mover(Protocol):
    """Moves the rows of one kind of job.

    A job has phases; the worker asks `next_phase` for the first and whenever all parts of the
    present one are over and its time has passed. A phase of `PARTS` parts has rows moved: each part
    is a range of subject ids (`vault.keys.parts`), for which `move` is called until it says
    that nothing is left. A phase of 0 parts only waits.
    """

    @property
    def kind(self) -> JobKind: ...

    async def plan(self, tenant: TenantId, subject_ref: str | None) -> Plan:
        """What a rotation would do now. Changes nothing.

        Raises:
            VaultError: it can't be done; or Transit or the database does not answer.
        """
        ...

    async def next_phase(self, job: Job) -> Phase | None:
        """What comes after `job.phase` (empty: at the beginning).

        None: nothing, the job is over, and failed if `job.rows_failed`.

        One process at a time asks. It may be asked twice (after a kill): what it does besides
        answering has to be repeatable.

        Raises:
            VaultError: not now: the job waits and is asked again.
        """
        ...

    async def move(self, job: Job, lease: Lease, limit: int) -> Advanced:
        """Moves the next `limit` rows of the lease's part behind its cursor.

        The rows that are moved and `vault.store.jobs.advance` share one transaction; rows that
        can't be moved are counted and passed over. Compares and sets: a row that others changed
        or deleted meanwhile is left alone.

        Raises:
            LeaseLostError: from `advance`; nothing was changed.
            VaultError: not now: KEY_STORE_* or DATABASE_UNAVAILABLE.
        """
        ...


class Jobs(Protocol):
    """`vault.store.jobs.JobStore`, as far as a worker needs it. Raises VaultError."""

    async def lease(
        self, owner: uuid.UUID, kinds: Collection[JobKind]
    ) -> tuple[Job, Lease] | None: ...
    async def renew(self, lease: Lease) -> Advanced: ...
    async def release(self, lease: Lease) -> None: ...
    async def note_movement(self, job: Job) -> None: ...
    async def stall(self, job: Job, seconds: float) -> None: ...
    async def conduct(self, owner: uuid.UUID, kinds: Collection[JobKind]) -> Job | None: ...
    async def enter(self, job: Job, phase: Phase, owner: uuid.UUID) -> bool: ...
    async def end(self, job: Job, state: JobState, owner: uuid.UUID) -> bool: ...
    async def let_go(self, job: Job, owner: uuid.UUID) -> None: ...


class JobRunner:
    """One process's worker.

    Attributes:
        moved: rows that this process moved or failed to move, by (tenant, kind, outcome).
    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        movers: Mapping[JobKind, Mover],
        trips: Trips,
        most_rows: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build; `run` works.

        Args:
            jobs: where they are stored.
            movers: one for each kind that this process can move.
            trips: takes note of batches.
            most_rows: of a batch.
            now: seconds on a clock that is never set back.
        """
        self.moved: dict[Labels, int] = {}
        self.owner = uuid.uuid4()
        """This process, as leases name it."""
        self._jobs = jobs
        self._movers = movers
        self._trips = trips
        self._most_rows = most_rows
        self._now = now
        self._paces: dict[uuid.UUID, Pace] = {}
        self._failures = 0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends `run` after the batch that is under way."""
        self._stopping.set()

    async def run(self) -> None:
        """Works until told to stop; nothing that happens here may end it."""
        while not self._stopping.is_set():
            seconds = 0.0
            try:
                is_busy = await self.turn()
                seconds = 0.0 if is_busy else _IDLE_S * random.uniform(0.7, 1.3)
            except VaultError as error:
                seconds = self._backoff()
                shown = error if self._failures == 1 else None  # the same again says nothing new
                _log.warning(
                    "job.waits", error=shown, reason=error.reason.name, seconds=round(seconds, 3)
                )
            except Exception as error:  # noqa: BLE001 - the worker must outlive any surprise
                seconds = self._backoff()
                _log.failure("job.fault", error)
            await self._rest(seconds)

    async def turn(self) -> bool:
        """One phase begun or one part worked on; False: there is nothing to do.

        Raises:
            VaultError: the key store or the database does not answer; jobs wait for it.
        """
        job = await self._jobs.conduct(self.owner, self._movers)
        if job is not None:
            await self._conduct(job)
            return True
        leased = await self._jobs.lease(self.owner, self._movers)
        if leased is None:
            self._paces.clear()
            return False
        job, lease = leased
        await self._work(job, lease)
        return True

    async def _conduct(self, job: Job) -> None:
        """Finds out what comes next in a job, and begins it."""
        note = self._trips.start(names.TRIP_KEYS_PHASE, [], 1)
        reason: Reason | None = Reason.INTERNAL
        try:
            phase = await self._movers[job.kind].next_phase(job)
            if phase is not None:
                await self._jobs.enter(job, phase, self.owner)
            elif await self._jobs.end(
                job, JobState.FAILED if job.rows_failed else JobState.DONE, self.owner
            ):
                _log.info("job.ended", tenant=job.tenant, job=job.job_id.hex, count=job.rows_done)
            reason = None
            self._failures = 0
        except VaultError as error:
            reason = error.reason
            await self._stall(job, error)
            raise
        finally:
            note.finish(error=reason)
            if reason is not None:
                with contextlib.suppress(VaultError):
                    await self._jobs.let_go(job, self.owner)

    async def _work(self, job: Job, lease: Lease) -> None:
        """Batch after batch of one part, at the job's rate."""
        mover = self._movers[job.kind]
        began = self._now()
        pace = self._paces.get(job.job_id, Pace(began))
        rows_per_second, workers = job.rows_per_second, max(1, job.workers)
        is_noted = False
        try:
            while not self._stopping.is_set():
                stand = await self._pause(pace, lease)
                if stand is not None:
                    if not stand.is_running:
                        break
                    rows_per_second, workers = stand.rows_per_second, stand.workers
                if self._stopping.is_set():
                    break
                limit = batch_rows(rows_per_second, workers, self._most_rows)
                batch_began = self._now()
                advanced = await self._batch(mover, job, replace(lease, rate=pace.rate), limit)
                step, now = advanced.step, self._now()
                self._count(job, step.done, step.failed)
                rows_per_second, workers = advanced.rows_per_second, advanced.workers
                pace = pace.after(
                    step.done + step.failed,
                    began=batch_began,
                    now=now,
                    share=rows_per_second / workers,
                )
                self._paces[job.job_id] = pace
                self._failures = 0
                lease = replace(lease, cursor=step.cursor)
                if not is_noted:
                    await self._jobs.note_movement(job)
                    is_noted = True
                if step.is_last:
                    return
                if not advanced.is_running or now - began > _HOLD_S:
                    break
        except LeaseLostError:
            return
        except VaultError as error:
            await self._stall(job, error)
            with contextlib.suppress(VaultError):
                await self._jobs.release(lease)
            raise
        await self._jobs.release(lease)

    async def _batch(self, mover: Mover, job: Job, lease: Lease, limit: int) -> Advanced:
        note = self._trips.start(names.TRIP_KEYS_MOVE, [], limit)
        reason: Reason | None = Reason.INTERNAL
        try:
            advanced = await mover.move(job, lease, limit)
            reason = None
        except LeaseLostError:
            reason = None
            raise
        except VaultError as error:
            reason = error.reason
            raise
        finally:
            note.finish(error=reason)
        return advanced

    async def _pause(self, pace: Pace, lease: Lease) -> Advanced | None:
        """Waits for the next batch's time; how the job stands, if that took long enough to ask."""
        stand: Advanced | None = None
        while (left := pace.wait(self._now())) > 0 and not self._stopping.is_set():
            await self._rest(min(left, _RENEW_S))
            if left > _RENEW_S:
                stand = await self._jobs.renew(lease)
                if not stand.is_running:
                    break
        return stand

    async def _stall(self, job: Job, error: VaultError) -> None:
        """Lets everybody see that the job waits; nobody, if the database is what is away."""
        if error.reason in _KEY_STORE:
            with contextlib.suppress(VaultError):
                await self._jobs.stall(job, _SHORTEST_BACKOFF_S * (1 << min(self._failures, 5)))

    def _backoff(self) -> float:
        longest = min(_LONGEST_BACKOFF_S, _SHORTEST_BACKOFF_S * (1 << min(self._failures, 10)))
        self._failures += 1
        return longest * random.uniform(0.5, 1.0)

    def _count(self, job: Job, done: int, failed: int) -> None:
        for outcome, rows in (("moved", done), ("failed", failed)):
            if rows:
                key: Labels = (str(job.tenant), job.kind.value, outcome)
                self.moved[key] = self.moved.get(key, 0) + rows

    async def _rest(self, seconds: float) -> None:
        """Sleeps, unless told to stop."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
