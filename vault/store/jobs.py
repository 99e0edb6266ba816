"""Jobs, their parts, and who works on them: `key_jobs`, `key_job_parts`; custodians' login.

Guarantees: a part is leased to one process at a time; a batch is noted in the transaction that
moved its rows (`advance`) or not at all; a lease that ran out and was given to
another process can't be advanced any more. Leaves to `vault.service.jobs`: what to move, and when.
"""

import contextlib
import uuid
from collections.abc import AsyncIterator, Collection

import asyncpg

from vault.keys.jobs import Advanced, Job, JobKind, JobState, Lease, Phase, Plan, Step, WaitsFor
from vault.model import SubjectId, TenantId
from vault.store.database import Database, translated
from vault.store.queries import QUERIES

_LEASE_S = 10.0
"""How long a part stays with a process that says nothing: what a kill -9 costs."""
_SCHEDULE_LOCK = 0x7064_7661_756C_7408
"""Advisory lock of the schedule: the bytes of `pdvault` and 8."""
_CONDUCT_S = 15.0
"""How long a process has to itself to find out what a job's next phase is. If it takes longer,
another asks as well: what that does is repeatable, and one of them begins the phase."""


class LeaseLostError(Exception):
    """Another process has the part, or the job is in another phase: the batch was rolled back."""


async def advance(connection: asyncpg.Connection, lease: Lease, step: Step) -> Advanced:
    """Notes a batch, within the transaction that moves its rows. Every mover's store calls it.

    Raises:
        LeaseLostError: the transaction must be rolled back.
    """
    row = await connection.fetchrow(
        QUERIES["advance_part"],
        lease.tenant,
        lease.job_id,
        lease.part,
        lease.owner,
        lease.phase_number,
        step.cursor,
        step.done,
        step.failed,
        step.is_last,
        lease.rate,
        lease.seconds,
    )
    if row is None:
        raise LeaseLostError
    return _advanced(step, row)


class JobStore:
    """All about jobs but the rows that they move. Every method raises VaultError
    (DATABASE_UNAVAILABLE).
    """

    def __init__(self, database: Database, *, lease_seconds: float = _LEASE_S) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    # --- By custodians ----------------------------------------------------------------

    async def under_way(
        self, tenant: TenantId, kind: JobKind, subject_id: SubjectId | None
    ) -> Job | None:
        """The job of this kind that has begun and not ended."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["find_open_job"], tenant, kind, subject_id)
        if row is None or row["state"] == JobState.PREPARED:
            return None
        return await self.find(tenant, row["job_id"])

    async def prepare(
        self, plan: Plan, *, cause: str, rows_per_second: int, started_by: str
    ) -> uuid.UUID | None:
        """Stores a job that nobody works on before `start`; its id, or None: one is under way."""
        made = uuid.uuid4()
        async with self._database.connection() as connection, connection.transaction():
            facts = (plan.key_name, plan.from_version, plan.to_version, cause)
            found = await connection.fetchval(
                QUERIES["prepare_job"],
                made,
                plan.tenant,
                plan.kind,
                plan.subject_id,
                *facts,
                rows_per_second,
                started_by,
            )
            if found is not None:
                return made
            row = await connection.fetchrow(
                QUERIES["find_open_job"], plan.tenant, plan.kind, plan.subject_id
            )
            if row is None:
                return None
            taken: uuid.UUID | None = await connection.fetchval(
                QUERIES["take_over_prepared_job"],
                plan.tenant,
                row["job_id"],
                *facts,
                rows_per_second,
                started_by,
            )
            return taken

    async def start(self, tenant: TenantId, job_id: uuid.UUID) -> None:
        """Lets work begin; harmless when it has."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["start_job"], tenant, job_id)

    async def find(self, tenant: TenantId, job_id: uuid.UUID) -> Job | None:
        """A job of this tenant."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["find_job"], tenant, job_id)
        return None if row is None else _job(row)

    async def newest(self, tenant: TenantId, limit: int) -> list[Job]:
        """The newest jobs of this tenant."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["list_jobs"], tenant, limit)
        return [_job(row) for row in rows]

    async def pause(self, tenant: TenantId, job_id: uuid.UUID) -> bool:
        """False: it is not running."""
        return await self._control("pause_job", tenant, job_id)

    async def resume(self, tenant: TenantId, job_id: uuid.UUID) -> bool:
        """False: it is not paused."""
        return await self._control("resume_job", tenant, job_id)

    async def throttle(self, tenant: TenantId, job_id: uuid.UUID, rows_per_second: int) -> bool:
        """False: it has ended."""
        return await self._control("throttle_job", tenant, job_id, rows_per_second)

    async def _control(self, name: str, *arguments: object) -> bool:
        async with self._database.connection() as connection:
            return await connection.fetchval(_CONTROLS[name], *arguments) is not None

    # --- By processes at work ---------------------------------------------------------

    async def lease(self, owner: uuid.UUID, kinds: Collection[JobKind]) -> tuple[Job, Lease] | None:
        """A part to work on, of the job that was served the longest ago."""
        async with self._database.connection() as connection:
            picked = await connection.fetchrow(QUERIES["pick_job"], list(kinds))
            if picked is None:
                return None
            tenant, job_id = TenantId(picked["tenant"]), picked["job_id"]
            row = await connection.fetchrow(
                QUERIES["lease_part"], tenant, job_id, owner, self._lease_seconds
            )
        if row is None:  # another process was quicker
            return None
        job = await self.find(tenant, job_id)
        if job is None:
            return None
        lease = Lease(
            tenant,
            job_id,
            row["phase_number"],
            row["part"],
            owner,
            row["cursor"],
            seconds=self._lease_seconds,
        )
        return job, lease

    async def renew(self, lease: Lease) -> Advanced:
        """Keeps a lease without a batch.

        Raises:
            LeaseLostError: it is another process's.
        """
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                QUERIES["renew_part"],
                lease.tenant,
                lease.job_id,
                lease.part,
                lease.owner,
                lease.phase_number,
                lease.seconds,
            )
        if row is None:
            raise LeaseLostError
        return _advanced(Step(lease.cursor, 0, 0, is_last=False), row)

    async def release(self, lease: Lease) -> None:
        """Gives a part back."""
        async with self._database.connection() as connection:
            await connection.execute(
                QUERIES["release_part"], lease.tenant, lease.job_id, lease.part, lease.owner
            )

    async def note_movement(self, job: Job) -> None:
        """The job moves: it waits for the key store no longer, and is not stuck."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["note_movement"], job.tenant, job.job_id)

    async def stall(self, job: Job, seconds: float) -> None:
        """The job waits for the key store."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["stall_job"], job.tenant, job.job_id, seconds)

    async def conduct(self, owner: uuid.UUID, kinds: Collection[JobKind]) -> Job | None:
        """A job whose phase is over; until `enter`, `end` or `let_go` it is this process's."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["conduct_job"], owner, _CONDUCT_S, list(kinds))
        return None if row is None else await self.find(TenantId(row["tenant"]), row["job_id"])

    async def enter(self, job: Job, phase: Phase, owner: uuid.UUID) -> bool:
        """Begins a job's next phase; False: another process did."""
        async with self._database.connection() as connection, connection.transaction():
            found = await connection.fetchval(
                QUERIES["enter_phase"],
                job.tenant,
                job.job_id,
                job.phase_number,
                owner,
                phase.name,
                phase.rows,
                phase.to_version,
                phase.wait_seconds,
                phase.waits_for if phase.wait_seconds > 0 else WaitsFor.NOTHING,
            )
            if found is None:
                return False
            await connection.executemany(
                QUERIES["open_part"],
                [(job.tenant, job.job_id, part, phase.is_retry) for part in range(phase.parts)],
            )
            return True

    async def end(self, job: Job, state: JobState, owner: uuid.UUID) -> bool:
        """Ends a job; False: another process did."""
        async with self._database.connection() as connection:
            found = await connection.fetchval(
                QUERIES["end_job"], job.tenant, job.job_id, job.phase_number, owner, state
            )
        return found is not None

    async def let_go(self, job: Job, owner: uuid.UUID) -> None:
        """Gives a conducted job back as it is."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["let_go_of_job"], job.tenant, job.job_id, owner)


class ScheduleLock:
    """Of all processes one leads the schedule: the one whose connection holds the lock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def lead(self) -> AsyncIterator["ScheduleLock.Leadership | None"]:
        """Leadership for the time of the block; None: another process leads.

        Raises:
            VaultError: DATABASE_UNAVAILABLE, also when the connection ends within the block.
        """
        async with self._database.connection() as connection:
            if not await connection.fetchval(QUERIES["lead_schedule"], _SCHEDULE_LOCK):
                yield None
                return
            try:
                yield ScheduleLock.Leadership(connection)
            finally:
                # The pool keeps the connection. One that is gone has lost the lock with it.
                if not connection.is_closed():
                    await connection.fetchval(QUERIES["unlead_schedule"], _SCHEDULE_LOCK)

    class Leadership:
        """Held until the block ends."""

        def __init__(self, connection: asyncpg.Connection) -> None:
            self._connection = connection

        async def check(self) -> None:
            """Raises VaultError (DATABASE_UNAVAILABLE) unless the lock is still held."""
            with translated():
                await self._connection.fetchval(QUERIES["still_leads_schedule"])


_CONTROLS = {
    "pause_job": QUERIES["pause_job"],
    "resume_job": QUERIES["resume_job"],
    "throttle_job": QUERIES["throttle_job"],
}


def _advanced(step: Step, row: asyncpg.Record) -> Advanced:
    # The process that asks is one of them, even if its lease had run out a moment ago.
    return Advanced(step, row["is_running"], row["rows_per_second"], max(1, row["workers"]))


def _job(row: asyncpg.Record) -> Job:
    state = JobState(row["state"])
    is_waiting = state is JobState.RUNNING and row["waits_until"] is not None
    return Job(
        **{
            **dict(row),
            "kind": JobKind(row["kind"]),
            "state": JobState.WAITING if is_waiting else state,
            "waits_for": WaitsFor(row["waits_for"]) if is_waiting else WaitsFor.NOTHING,
        }
    )
