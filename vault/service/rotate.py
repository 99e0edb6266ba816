"""RotateKey: a job that makes a new version of a key and moves everything onto it.

The steps carry the numbers of docs/request-path.md.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vault.errors import Reason, VaultError
from vault.keys.jobs import Job, JobKind, Plan
from vault.keys.periods import KeyKind
from vault.model import SubjectId, TenantId
from vault.policy.bundle import Act
from vault.service.call import Call
from vault.service.custody import case_of, concern, require
from vault.service.jobs import Mover
from vault.service.recorder import Recorder
from vault.telemetry import names

JOB_KINDS = {
    KeyKind.ROOT: JobKind.ROOT,
    KeyKind.INDEX: JobKind.INDEX,
    KeyKind.SUBJECT: JobKind.SUBJECT,
}
"""Keys whose rotation is a job."""


@dataclass(frozen=True, slots=True)
class RotateCommand:
    """A RotateKey request that is well formed."""

    kind: KeyKind
    cause: str
    subject_ref: str | None = None
    dry_run: bool = False
    rows_per_second: int = 0


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was begun, or would be.

    Attributes:
        version: that the key has, or will have, when it is done.
    """

    job: Job | None
    version: int
    is_started: bool
    rows: int


class RotationJobs(Protocol):
    """`vault.store.jobs.JobStore`. Raises VaultError."""

    async def under_way(
        self, tenant: TenantId, kind: JobKind, subject_id: SubjectId | None
    ) -> Job | None: ...
    async def prepare(
        self, plan: Plan, *, cause: str, rows_per_second: int, started_by: str
    ) -> uuid.UUID | None: ...
    async def start(self, tenant: TenantId, job_id: uuid.UUID) -> None: ...
    async def find(self, tenant: TenantId, job_id: uuid.UUID) -> Job | None: ...


class SigningRotation(Protocol):
    """The audit log's signing key, which nothing stored depends on. Raises VaultError."""

    async def version(self) -> int:
        """The newest version now."""
        ...

    async def rotate(self) -> int:
        """Makes a new one, vouched for by the old; its number."""
        ...


class Rotator:
    """The procedure."""

    def __init__(
        self,
        *,
        jobs: RotationJobs,
        movers: Mapping[JobKind, Mover],
        signing: SigningRotation | None,
        recorder: Recorder,
        rows_per_second: int,
    ) -> None:
        self._jobs = jobs
        self._movers = movers
        self._signing = signing
        self._recorder = recorder
        self._rows_per_second = rows_per_second

    async def rotate(self, call: Call, command: RotateCommand) -> Rotation:
        """Begins a rotation, or tells of the one that is under way.

        A call that fails after its entry was made durable may have begun it: asked again, it
        answers with that job.

        Raises:
            VaultError: the caller may not, or the key store or the database failed.
        """
        # 3. Decide.
        require(call, Act.ROTATE_KEY)
        return await self.begin(call, command)

    async def begin(self, call: Call, command: RotateCommand) -> Rotation:
        """The same for a call that was decided already: the schedule's own.

        Raises:
            VaultError: the key store or the database failed.
        """
        if command.kind is KeyKind.SIGNING:
            return await self._rotate_signing(call, command)
        kind = JOB_KINDS[command.kind]
        mover = self._movers.get(kind)
        if mover is None:
            raise VaultError(Reason.CUSTODY_UNAVAILABLE, "this process does not rotate such keys")

        # 4. Join the job that is under way.
        call.trace.mark(names.STAGE_RESOLVE)
        if command.subject_ref is None:
            job = await self._jobs.under_way(call.tenant, kind, None)
            if job is not None:
                return await self._join(call, job)
        plan = await mover.plan(call.tenant, command.subject_ref)
        call.account.subject_id = plan.subject_id
        if plan.subject_id is not None:
            job = await self._jobs.under_way(call.tenant, kind, plan.subject_id)
            if job is not None:
                return await self._join(call, job)
        if command.dry_run:
            await self._record(call)
            return Rotation(None, plan.to_version, is_started=False, rows=plan.rows)

        # 5. Store the job, so far without effect.
        job_id = await self._jobs.prepare(
            plan,
            cause=command.cause,
            rows_per_second=command.rows_per_second or self._rows_per_second,
            started_by=call.principal.id,
        )
        if job_id is None:  # another call was quicker
            job = await self._jobs.under_way(call.tenant, kind, plan.subject_id)
            if job is None:
                raise VaultError(Reason.DATABASE_UNAVAILABLE, "the job ended meanwhile; ask again")
            return await self._join(call, job)
        call.account.case = case_of(command.cause, job_id)

        # 6. Make the entry durable. Before any effect, as nothing may happen unrecorded.
        await self._record(call)

        # 7. Let work begin.
        call.trace.mark(names.STAGE_COMMIT)
        await self._jobs.start(call.tenant, job_id)
        job = await self._jobs.find(call.tenant, job_id)
        return Rotation(job, plan.to_version, is_started=True, rows=plan.rows)

    async def _join(self, call: Call, job: Job) -> Rotation:
        concern(call, job)
        await self._record(call)
        return Rotation(job, job.to_version, is_started=False, rows=job.rows_total)

    async def _rotate_signing(self, call: Call, command: RotateCommand) -> Rotation:
        if self._signing is None:
            raise VaultError(Reason.CUSTODY_UNAVAILABLE, "this process does not rotate such keys")
        if command.dry_run:
            version = await self._signing.version() + 1
            await self._record(call)
            return Rotation(None, version, is_started=False, rows=0)
        await self._record(call)
        return Rotation(None, await self._signing.rotate(), is_started=True, rows=0)

    async def _record(self, call: Call) -> None:
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
