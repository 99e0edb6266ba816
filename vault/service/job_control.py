"""ListJobs, WatchJob, ControlJob: how rotations stand, and their pace."""

import asyncio
import enum
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from vault.errors import Reason, VaultError
from vault.keys.jobs import Job
from vault.model import TenantId
from vault.policy.bundle import Act
from vault.service.call import Call
from vault.service.custody import concern, job_unknown, require
from vault.service.recorder import Recorder
from vault.telemetry import names

_LOOK_S = 0.5
"""Between two looks at a job that is watched."""
_SILENCE_S = 10.0
"""After which a watcher hears of a job even if nothing has changed."""


class Control(enum.IntEnum):
    """What to do with a job; numbers as in `vault.v1.ControlJobRequest.Control`."""

    PAUSE = 1
    RESUME = 2
    THROTTLE = 3


@dataclass(frozen=True, slots=True)
class ControlCommand:
    """A ControlJob request that is well formed."""

    job_id: uuid.UUID
    control: Control
    rows_per_second: int


class ControlledJobs(Protocol):
    """`vault.store.jobs.JobStore`. Raises VaultError."""

    async def find(self, tenant: TenantId, job_id: uuid.UUID) -> Job | None: ...
    async def newest(self, tenant: TenantId, limit: int) -> list[Job]: ...
    async def pause(self, tenant: TenantId, job_id: uuid.UUID) -> bool: ...
    async def resume(self, tenant: TenantId, job_id: uuid.UUID) -> bool: ...
    async def throttle(self, tenant: TenantId, job_id: uuid.UUID, rows_per_second: int) -> bool: ...


class JobKeeper:
    """The three procedures. All raise VaultError: the caller may not, JOB_UNKNOWN, or the database
    failed.
    """

    def __init__(self, *, jobs: ControlledJobs, recorder: Recorder) -> None:
        self._jobs = jobs
        self._recorder = recorder

    async def list_jobs(self, call: Call, limit: int) -> list[Job]:
        """The newest jobs of the caller's tenant."""
        require(call, Act.READ_KEYS)
        call.trace.mark(names.STAGE_LOAD)
        jobs = await self._jobs.newest(call.tenant, limit)
        await self._record(call)
        return jobs

    async def watch(
        self, call: Call, job_id: uuid.UUID, send: Callable[[Job], Awaitable[None]]
    ) -> None:
        """Sends how a job stands: at once, when something changes, and when it has ended."""
        require(call, Act.READ_KEYS)
        call.trace.mark(names.STAGE_LOAD)
        job = await self._find(call, job_id)
        await self._record(call)
        call.trace.mark(names.STAGE_REPLY)
        await send(job)
        silence = 0.0
        while job.ended_at is None:
            await asyncio.sleep(_LOOK_S)
            silence += _LOOK_S
            fresh = await self._find(call, job_id)
            if fresh != job or silence >= _SILENCE_S:
                job, silence = fresh, 0.0
                await send(job)

    async def control(self, call: Call, command: ControlCommand) -> Job:
        """Pauses, resumes or throttles a job. What has no effect is no error.

        Raises:
            VaultError: also JOB_ENDED.
        """
        require(call, Act.CONTROL_JOB)
        call.trace.mark(names.STAGE_LOAD)
        job = await self._find(call, command.job_id)
        if job.ended_at is not None:
            raise VaultError(Reason.JOB_ENDED, "the job has ended")
        # First, as nothing may happen unrecorded.
        await self._record(call)
        call.trace.mark(names.STAGE_COMMIT)
        if command.control is Control.PAUSE:
            await self._jobs.pause(call.tenant, command.job_id)
        elif command.control is Control.RESUME:
            await self._jobs.resume(call.tenant, command.job_id)
        else:
            await self._jobs.throttle(call.tenant, command.job_id, command.rows_per_second)
        return await self._find(call, command.job_id)

    async def _find(self, call: Call, job_id: uuid.UUID) -> Job:
        job = await self._jobs.find(call.tenant, job_id)
        if job is None:
            raise job_unknown()
        concern(call, job)
        return job

    async def _record(self, call: Call) -> None:
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
