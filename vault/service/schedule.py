"""The schedule: rotates keys whose crypto-period is over, and raises alarms about keys.

Guarantees: of all processes one at a time looks (an advisory lock); what it begins leaves an audit
entry like anybody's act, by the caller `service:schedule`; what a custodian began it joins.
Subjects' keys it only speaks about. Leaves to `vault.service.rotate`: the rotation.
"""

import asyncio
import datetime as dt
import enum
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from vault.audit.account import Account
from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.keys.jobs import Job, JobState, WaitsFor
from vault.keys.periods import KeyKind
from vault.model import Authentication, Principal, TenantId, Verdict
from vault.policy.bundle import Bundle
from vault.service.call import Call
from vault.service.key_status import KeyStatus
from vault.service.recorder import Recorder
from vault.service.rotate import RotateCommand, Rotation
from vault.telemetry.logs import Log
from vault.telemetry.metrics import Labels
from vault.telemetry.trace import Tracer

_log = Log("vault.keys")

CALLER = "service:schedule"
"""Who acts, in the log; no certificate and no token can have this name."""
RPC = "vault.v1.KeyService/RotateKey"
_STANDBY_S = 5.0
_JOBS_S = 10.0
"""How often jobs are looked at; keys are once a minute, or ten times a period that is shorter."""
_LONGEST_S = 60.0
_STUCK_S = 600.0
_LATE = dt.timedelta(hours=1)
"""A key that is due for longer is overdue; for short periods, a tenth of the period."""
_TURNED = (KeyKind.ROOT, KeyKind.INDEX, KeyKind.SIGNING)
_GRPC_OK, _GRPC_INTERNAL = 0, 13


class KeyAlarm(enum.StrEnum):
    """What is wrong about keys; docs/telemetry.md explains each."""

    OVERDUE = "overdue"
    JOB_STUCK = "job_stuck"
    JOB_FAILED = "job_failed"
    NEAR_LIMIT = "near_limit"
    SCHEDULE = "schedule"


class Leadership(Protocol):
    async def check(self) -> None:
        """Raises VaultError unless the lock is still held."""
        ...


class Lock(Protocol):
    """`vault.store.jobs.ScheduleLock`."""

    def lead(self) -> AbstractAsyncContextManager[Leadership | None]: ...


class StatusReader(Protocol):
    async def read(self, tenant: TenantId) -> list[KeyStatus]: ...


class NewestJobs(Protocol):
    async def newest(self, tenant: TenantId, limit: int) -> list[Job]: ...


class Beginner(Protocol):
    async def begin(self, call: Call, command: RotateCommand) -> Rotation: ...


class Schedule:
    """One process's part in it.

    Attributes:
        ages, dues: seconds by (tenant, kind), for metrics; empty unless this process leads.
        uses: by (tenant,).
        left, rates: of jobs, by (tenant, kind).
        alarms: those that are on, by (tenant, kind, alarm).
    """

    def __init__(
        self,
        *,
        lock: Lock,
        status: StatusReader,
        jobs: NewestJobs,
        rotator: Beginner,
        recorder: Recorder,
        tracer: Tracer,
        bundle: Callable[[], Bundle],
        clock: Clock,
        shortest_period: dt.timedelta,
        rotates: bool,
    ) -> None:
        self.ages: dict[Labels, float] = {}
        self.dues: dict[Labels, float] = {}
        self.uses: dict[Labels, int] = {}
        self.left: dict[Labels, int] = {}
        self.rates: dict[Labels, float] = {}
        self.alarms: dict[Labels, int] = {}
        self._lock = lock
        self._status = status
        self._jobs = jobs
        self._rotator = rotator
        self._recorder = recorder
        self._tracer = tracer
        self._bundle = bundle
        self._clock = clock
        self._interval_s = min(_LONGEST_S, max(1.0, shortest_period.total_seconds() / 10))
        self._rotates = rotates

    async def run(self) -> None:
        """Stands by or leads until cancelled; nothing that happens here may end it."""
        while True:
            try:
                async with self._lock.lead() as leadership:
                    if leadership is not None:
                        await self._lead(leadership)
            except VaultError as error:
                _log.warning("schedule.lost", reason=error.reason.name)
            except Exception as error:  # noqa: BLE001 - it must outlive any surprise
                _log.failure("schedule.fault", error)
            self._forget()
            await asyncio.sleep(_STANDBY_S)

    async def _lead(self, leadership: Leadership) -> None:
        next_look = 0.0
        while True:
            await leadership.check()
            now = self._clock.monotonic_ns() / 1e9
            tenants = [TenantId(tenant) for tenant in self._bundle().tenants]
            if now >= next_look:
                next_look = now + self._interval_s
                for tenant in tenants:
                    await self.look(tenant)
            for tenant in tenants:
                await self._look_at_jobs(tenant)
            await asyncio.sleep(min(_JOBS_S, self._interval_s))

    async def look(self, tenant: TenantId) -> None:
        """Looks at a tenant's keys, and begins what is due."""
        try:
            keys = await self._status.read(tenant)
        except VaultError as error:
            _log.warning("schedule.blind", tenant=tenant, reason=error.reason.name)
            self._tell(tenant, KeyKind.ROOT, KeyAlarm.SCHEDULE, is_on=True)
            return
        self._tell(tenant, KeyKind.ROOT, KeyAlarm.SCHEDULE, is_on=False)
        for key in keys:
            name = key.kind.name.lower()
            if key.due is not None:
                self.dues[tenant, name] = key.due.seconds
                self.ages[tenant, name] = key.period.total_seconds() - key.due.seconds
            if key.kind is KeyKind.SUBJECT:
                self.uses[tenant,] = key.max_uses
                self._tell(tenant, key.kind, KeyAlarm.NEAR_LIMIT, is_on=key.keys_near_limit > 0)
            is_due = key.due is not None and key.due.is_over
            late = min(_LATE, key.period / 10).total_seconds()
            is_late = key.due is not None and key.due.seconds < -late
            self._tell(tenant, key.kind, KeyAlarm.OVERDUE, is_on=is_late)
            if self._rotates and is_due and key.job is None and key.kind in _TURNED:
                await self._begin(tenant, key.kind)

    async def _begin(self, tenant: TenantId, kind: KeyKind) -> None:
        """A rotation by the service itself, with its entry."""
        trace = self._tracer.call(RPC)
        call_id = uuid.uuid4()
        trace.call_id = call_id.hex
        account = Account(rpc=RPC, call_id=call_id, trace_id=trace.trace_id, span_id=trace.span_id)
        principal = Principal(CALLER, Authentication.NONE, tenant, ())
        bundle = self._bundle()
        account.principal = principal
        account.bundle_digest = bundle.digest
        status = _GRPC_OK
        try:
            call = Call(principal, bundle, account, trace)
            await self._rotator.begin(call, RotateCommand(kind, cause="scheduled"))
            _log.info("schedule.rotates", tenant=tenant, kind=kind.name.lower())
        except VaultError as error:
            status = _GRPC_INTERNAL
            if error.reason is Reason.CUSTODY_UNAVAILABLE:
                return  # nobody rotates this kind here
            _log.warning("schedule.failed", tenant=tenant, reason=error.reason.name)
            if not account.is_closed:
                await self._recorder.record_failure(account, error.reason, Verdict.FAILED, trace)
        finally:
            trace.finish(status)

    async def _look_at_jobs(self, tenant: TenantId) -> None:
        jobs = await self._jobs.newest(tenant, 20)
        seen: set[str] = set()
        now = dt.datetime.fromtimestamp(self._clock.unix_ns() / 1e9, dt.UTC)
        for kind in ("root", "index", "subject"):
            self.left.pop((tenant, kind), None)
            self.rates.pop((tenant, kind), None)
        for job in jobs:
            kind = job.kind.value
            if job.ended_at is None:
                rows = max(0, job.rows_total - job.rows_done - job.rows_failed)
                self.left[tenant, kind] = self.left.get((tenant, kind), 0) + rows
                self.rates[tenant, kind] = self.rates.get((tenant, kind), 0.0) + job.rate
            if kind in seen:
                continue
            seen.add(kind)
            key_kind = KeyKind[kind.upper()]
            self._tell(tenant, key_kind, KeyAlarm.JOB_STUCK, is_on=_is_stuck(job, now))
            self._tell(tenant, key_kind, KeyAlarm.JOB_FAILED, is_on=job.state is JobState.FAILED)

    def _tell(self, tenant: str, kind: KeyKind, alarm: KeyAlarm, *, is_on: bool) -> None:
        key = (str(tenant), kind.name.lower(), alarm.value)
        if is_on and key not in self.alarms:
            self.alarms[key] = 1
            _log.error("key.alarm", tenant=key[0], kind=key[1], alarm=key[2])
        elif not is_on and key in self.alarms:
            del self.alarms[key]
            _log.info("key.alarm_over", tenant=key[0], kind=key[1], alarm=key[2])

    def _forget(self) -> None:
        """What only the leader knows."""
        for known in (self.ages, self.dues, self.uses, self.left, self.rates, self.alarms):
            known.clear()  # in place: metrics hold on to them


def _is_stuck(job: Job, now: dt.datetime) -> bool:
    if job.ended_at is not None or job.state is JobState.PAUSED:
        return False
    since = job.moved_at
    if job.waits_for is WaitsFor.CACHES and job.waits_until is not None:
        since = max(since, job.waits_until)
    return (now - since).total_seconds() > _STUCK_S
