"""The schedule: what is due is begun, with an entry; what is wrong sounds once and settles."""

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.frozen_clock import FrozenClock
from vault.errors import Reason, VaultError
from vault.keys.jobs import Job, JobKind, JobState, WaitsFor
from vault.keys.periods import Due, KeyKind
from vault.model import TenantId, Verdict
from vault.service.call import Call
from vault.service.key_status import KeyStatus
from vault.service.rotate import RotateCommand, Rotation
from vault.service.schedule import CALLER, RPC, Schedule
from vault.telemetry.trace import Tracer

DEMO = TenantId("demo-shop")
DAY = dt.timedelta(days=1)


def now(clock: FrozenClock) -> dt.datetime:
    return dt.datetime.fromtimestamp(clock.unix_ns() / 1e9, dt.UTC)


def key(kind: KeyKind, seconds: float, **more: Any) -> KeyStatus:
    """A key with a period of a year, due in so many seconds."""
    due = Due(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), seconds)
    return KeyStatus(kind, kind.name, 1, None, 365 * DAY, due, (), **more)


@dataclass
class World:
    """Everything around a schedule; what it did."""

    clock: FrozenClock = field(default_factory=FrozenClock)
    keys: list[KeyStatus] | VaultError = field(default_factory=list)
    found: list[Job] = field(default_factory=list)
    begun: list[tuple[Call, RotateCommand]] = field(default_factory=list)
    failures: list[tuple[Any, Reason, Verdict]] = field(default_factory=list)
    error: VaultError | None = None
    rotates: bool = True

    def schedule(self) -> Schedule:
        return Schedule(
            lock=self,
            status=self,
            jobs=self,
            rotator=self,
            recorder=self,  # type: ignore[arg-type]
            tracer=Tracer(lambda _record: None),
            bundle=lambda: SimpleNamespace(digest=bytes(32), tenants=[DEMO]),  # type: ignore[arg-type,return-value]
            clock=self.clock,
            shortest_period=365 * DAY,
            rotates=self.rotates,
        )

    @contextlib.asynccontextmanager
    async def lead(self) -> AsyncIterator[None]:
        yield None

    async def read(self, _tenant: TenantId) -> list[KeyStatus]:
        if isinstance(self.keys, VaultError):
            raise self.keys
        return self.keys

    async def newest(self, _tenant: TenantId, _limit: int) -> list[Job]:
        return self.found

    async def begin(self, call: Call, command: RotateCommand) -> Rotation:
        self.begun.append((call, command))
        if self.error is not None:
            raise self.error
        return Rotation(None, 2, is_started=True, rows=0)

    async def record_failure(self, account: Any, reason: Reason, verdict: Verdict, _: Any) -> None:
        self.failures.append((account, reason, verdict))

    def job(self, **changes: Any) -> Job:
        at = now(self.clock)
        sound = Job(
            job_id=uuid.uuid4(),
            kind=JobKind.ROOT,
            tenant=DEMO,
            key_name="pdv-demo-shop",
            from_version=1,
            to_version=2,
            subject_id=None,
            cause="scheduled",
            state=JobState.RUNNING,
            phase="rewrap",
            phase_number=1,
            waits_until=None,
            waits_for=WaitsFor.NOTHING,
            rows_per_second=0,
            rows_total=100,
            rows_done=40,
            rows_failed=1,
            rate=5.0,
            workers=1,
            started_by="x",
            started_at=at,
            moved_at=at,
            ended_at=None,
        )
        return replace(sound, **changes)


def look(world: World, schedule: Schedule | None = None) -> Schedule:
    schedule = schedule or world.schedule()

    async def once(it: Schedule) -> None:
        await it.look(DEMO)
        await it._look_at_jobs(DEMO)

    asyncio.run(once(schedule))
    return schedule


def test_what_is_due_is_rotated_by_the_service_itself() -> None:
    world = World(keys=[key(kind, -1.0) for kind in KeyKind])

    look(world)

    assert [(kind, "scheduled") for kind in (KeyKind.ROOT, KeyKind.INDEX, KeyKind.SIGNING)] == [
        (command.kind, command.cause) for _, command in world.begun
    ]
    call, _ = world.begun[0]
    assert (CALLER, DEMO, ()) == (call.principal.id, call.tenant, call.principal.roles)
    assert (RPC, CALLER) == (call.account.rpc, call.account.principal.id)


def test_what_is_not_due_is_left_alone_as_is_what_is_under_way() -> None:
    world = World()
    world.keys = [key(KeyKind.ROOT, 1.0), key(KeyKind.INDEX, -1.0, job=world.job())]

    schedule = look(world)

    assert [] == world.begun
    assert 1.0 == schedule.dues[DEMO, "root"]
    assert 365 * 86400 - 1.0 == schedule.ages[DEMO, "root"]


def test_switched_off_it_only_tells() -> None:
    world = World(keys=[key(KeyKind.ROOT, -4000.0)], rotates=False)

    schedule = look(world)

    assert [] == world.begun
    assert {(DEMO, "root", "overdue"): 1} == schedule.alarms


def test_a_rotation_that_fails_leaves_an_entry_and_is_tried_again() -> None:
    world = World(keys=[key(KeyKind.ROOT, -4000.0)])
    world.error = VaultError(Reason.KEY_STORE_SEALED, "sealed")

    schedule = look(world)
    look(world, schedule)

    assert 2 == len(world.begun)
    assert [(Reason.KEY_STORE_SEALED, Verdict.FAILED)] * 2 == [each[1:] for each in world.failures]
    assert {(DEMO, "root", "overdue"): 1} == schedule.alarms
    world.keys = [key(KeyKind.ROOT, 4000.0)]
    assert {} == look(world, schedule).alarms


def test_unable_to_look_is_an_alarm() -> None:
    world = World(keys=VaultError(Reason.DATABASE_UNAVAILABLE, "away"))

    schedule = look(world)

    assert {(DEMO, "root", "schedule"): 1} == schedule.alarms
    world.keys = []
    assert {} == look(world, schedule).alarms


def test_keys_near_their_limit() -> None:
    world = World(keys=[key(KeyKind.SUBJECT, 9.0, max_uses=2**31, keys_near_limit=3)])

    schedule = look(world)

    assert {(DEMO, "subject", "near_limit"): 1} == schedule.alarms
    assert {(DEMO,): 2**31} == schedule.uses


@pytest.mark.parametrize(
    ("minutes", "changes", "alarms"),
    [
        (9, {}, set()),
        (11, {}, {"job_stuck"}),
        (11, {"state": JobState.WAITING, "waits_for": WaitsFor.KEY_STORE}, {"job_stuck"}),
        (11, {"state": JobState.PAUSED}, set()),
        (11, {"state": JobState.FAILED, "ended_at": dt.datetime.now(dt.UTC)}, {"job_failed"}),
        (11, {"state": JobState.DONE, "ended_at": dt.datetime.now(dt.UTC)}, set()),
    ],
)
def test_a_job_that_does_not_move(minutes: int, changes: dict[str, Any], alarms: set[str]) -> None:
    world = World()
    long_ago = now(world.clock) - dt.timedelta(minutes=minutes)
    world.found = [world.job(moved_at=long_ago, **changes)]

    schedule = look(world)

    assert alarms == {alarm for _, _, alarm in schedule.alarms}


def test_a_job_that_waits_for_caches_is_not_stuck_before_its_time() -> None:
    world = World()
    at = now(world.clock)
    waiting = {"state": JobState.WAITING, "waits_for": WaitsFor.CACHES}
    world.found = [world.job(moved_at=at - DAY, waits_until=at + DAY, **waiting)]

    schedule = look(world)

    assert {} == schedule.alarms
    assert {(DEMO, "root"): 59} == schedule.left
    assert {(DEMO, "root"): 5.0} == schedule.rates
