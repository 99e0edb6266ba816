"""Jobs on a real database: shared, killed, interrupted, throttled; the key store is a simulator."""

import asyncio
import contextlib
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from tests.support.embedded import DatabaseUrls, fresh_database
from vault.crypto.binding import key_context
from vault.crypto.transit_admin import RewrapItem, RootKey, Unopenable, Wrapped
from vault.embedded import EmbeddedInstance
from vault.errors import Reason, VaultError
from vault.keys.jobs import Job, JobKind, JobState, Lease, Phase, Plan, WaitsFor
from vault.model import TenantId
from vault.service.jobs import JobRunner
from vault.service.root_keys import RootMover
from vault.service.verify_roots import read_root_versions
from vault.stage import Trip
from vault.store.database import Database, PoolSettings
from vault.store.jobs import JobStore, ScheduleLock
from vault.store.keys import KeyStore
from vault.store.migrate import migrate

DEMO, OTHER = TenantId("demo-shop"), TenantId("other-shop")
LEASE_S = 0.6


class _Trips:
    def start(self, *_: object) -> Trip:
        return self  # type: ignore[return-value]

    def finish(self, *, error: Reason | None) -> None:
        pass


class Store:
    """A key store: it rewraps what was wrapped in the right context, and counts."""

    def __init__(self) -> None:
        self.version = 1
        self.contexts: dict[str, bytes] = {}
        self.rewrapped: Counter[str] = Counter()
        self.away: Reason | None = None
        self.before: Callable[[], Awaitable[None]] | None = None
        self.rotations = 0

    def wrap(self, context: bytes, version: int = 1) -> str:
        name = uuid.uuid4().hex
        self.contexts[name] = context
        return f"vault:v{version}:{name}"

    def root_key(self, tenant: str) -> str:
        return f"pdv-{tenant}"

    async def read_key(self, name: str) -> RootKey:
        self._check()
        return RootKey(name, "aes256-gcm96", {}, self.version, 1, 0, 0, deletion_allowed=False)

    async def rotate(self, name: str) -> RootKey:
        self._check()
        self.version += 1
        self.rotations += 1
        return await self.read_key(name)

    async def rewrap(
        self, _tenant: str, items: Sequence[RewrapItem]
    ) -> list[Wrapped | Unopenable | VaultError]:
        if self.before is not None:
            await self.before()
        await asyncio.sleep(0.001)
        if self.away is not None:
            return [VaultError(self.away, "away") for _ in items]
        answers: list[Wrapped | Unopenable | VaultError] = []
        for item in items:
            name = item.wrapped.rpartition(":")[2]
            if self.contexts.get(name) != item.context:
                answers.append(Unopenable())
                continue
            self.rewrapped[name] += 1
            answers.append(Wrapped(f"vault:v{self.version}:{name}", self.version))
        return answers

    def _check(self) -> None:
        if self.away is not None:
            raise VaultError(self.away, "away")


@pytest.fixture(scope="module")
def template(instance: EmbeddedInstance) -> Iterator[str]:
    with fresh_database(instance) as database:
        asyncio.run(migrate(database.owner))
        yield database.name


@pytest.fixture
def urls(instance: EmbeddedInstance, template: str) -> Iterator[DatabaseUrls]:
    with fresh_database(instance, template=template) as database:
        yield database


class World:
    """A database with wrapped keys, a key store, and as many workers as a test wants."""

    def __init__(self, url: str, owner: str, store: Store) -> None:
        self.database = Database(
            PoolSettings(url=url, max_connections=8, connect_timeout=5, statement_timeout=5)
        )
        self.owner = owner
        self.store = store
        self.jobs = JobStore(self.database, lease_seconds=LEASE_S)
        self.rows = KeyStore(self.database)
        self.mover = RootMover(transit=store, rows=self.rows, settle_seconds=0.0)

    def runner(self, mover: Any = None) -> JobRunner:
        return JobRunner(
            jobs=self.jobs,
            movers={JobKind.ROOT: mover or self.mover},
            trips=_Trips(),
            most_rows=20,
        )

    async def fill(self, count: int, tenant: TenantId = DEMO, version: int = 1) -> None:
        records = []
        for _ in range(count):
            subject = uuid.uuid4()
            context = key_context(tenant=tenant, subject_id=subject, key_version=1)
            wrapped = self.store.wrap(context, version)
            records.append((subject, 1, tenant, wrapped, version, bytes(32), bytes(32)))
        columns = ("subject_id", "key_version", "tenant", "wrapped", "root_version")
        connection = await asyncpg.connect(self.owner)
        await connection.copy_records_to_table(
            "subject_keys", columns=(*columns, "key_salt", "commitment"), records=records
        )
        await connection.close()

    async def begin(self, tenant: TenantId = DEMO, rate: int = 0) -> Job:
        plan = await self.mover.plan(tenant, None)
        job_id = await self.jobs.prepare(
            plan, cause="scheduled", rows_per_second=rate, started_by="test"
        )
        assert job_id is not None
        await self.jobs.start(tenant, job_id)
        return await self.find(job_id, tenant)

    async def find(self, job_id: uuid.UUID, tenant: TenantId = DEMO) -> Job:
        job = await self.jobs.find(tenant, job_id)
        assert job is not None
        return job

    async def until(self, job: Job, holds: Callable[[Job], bool], *, seconds: float = 20.0) -> Job:
        async with asyncio.timeout(seconds):
            while True:
                found = await self.find(job.job_id, job.tenant)
                if holds(found):
                    return found
                await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def working(self, *runners: JobRunner) -> Any:
        tasks = [asyncio.create_task(each.run()) for each in runners]
        try:
            yield tasks
        finally:
            for each in runners:
                each.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def run(urls: DatabaseUrls, test: Callable[[World], Awaitable[None]]) -> None:
    async def play() -> None:
        world = World(urls.custodian, urls.owner, Store())
        await world.database.open()
        try:
            await test(world)
        finally:
            await world.database.close()

    asyncio.run(play())


def has_ended(job: Job) -> bool:
    return job.ended_at is not None


async def check_all_moved(world: World, tenant: TenantId, count: int) -> None:
    found = await read_root_versions(world.rows, tenant)
    assert ({world.store.version: count}, 0) == (found.versions, found.unreadable)


def test_several_workers_share_a_job_without_doing_it_twice(urls: DatabaseUrls) -> None:
    async def test(world: World) -> None:
        await world.fill(3000)
        await world.fill(200, OTHER)
        job = await world.begin()
        runners = [world.runner() for _ in range(4)]
        async with world.working(*runners):
            job = await world.until(job, has_ended)
        assert (JobState.DONE, 3000, 3000, 0) == (
            job.state,
            job.rows_total,
            job.rows_done,
            job.rows_failed,
        )
        assert {1} == set(world.store.rewrapped.values())
        assert 1 == world.store.rotations
        shares = [sum(each.moved.values()) for each in runners]
        assert 3000 == sum(shares)
        assert min(shares) > 0
        await check_all_moved(world, DEMO, 3000)
        assert {1: 200} == (await read_root_versions(world.rows, OTHER)).versions

    run(urls, test)


def test_killed_at_every_kind_of_step_and_taken_over(urls: DatabaseUrls) -> None:
    """A worker vanishes between any two of its steps; the next one goes on; nothing is lost."""

    async def test(world: World) -> None:
        await world.fill(1500)
        job = await world.begin()
        kills = 0
        while not has_ended(await world.find(job.job_id)):
            runner = world.runner()
            task = asyncio.create_task(runner.run())
            await asyncio.sleep(random.uniform(0.002, 0.12))
            task.cancel()  # no goodbye: its leases run out
            await asyncio.gather(task, return_exceptions=True)
            kills += 1
            assert kills < 500
            if kills % 10 == 0:
                await asyncio.sleep(LEASE_S)
                connection = await asyncpg.connect(world.owner)
                await connection.execute("update key_jobs set conducted_until = now()")
                await connection.close()
        job = await world.find(job.job_id)
        assert (JobState.DONE, 1500, 0) == (job.state, job.rows_done, job.rows_failed)
        assert kills >= 10
        assert 1 == world.store.rotations
        await check_all_moved(world, DEMO, 1500)

    run(urls, test)


@pytest.mark.parametrize(
    "reason", [Reason.KEY_STORE_SEALED, Reason.KEY_STORE_DENIED, Reason.KEY_STORE_UNAVAILABLE]
)
def test_without_the_key_store_a_job_waits_and_goes_on(urls: DatabaseUrls, reason: Reason) -> None:
    async def test(world: World) -> None:
        await world.fill(1000)
        job = await world.begin(rate=2000)
        async with world.working(world.runner()):
            await world.until(job, lambda found: found.rows_done > 100)
            world.store.away = reason
            waiting = await world.until(job, lambda found: found.state is JobState.WAITING)
            assert WaitsFor.KEY_STORE is waiting.waits_for
            await asyncio.sleep(1.5)
            assert not has_ended(await world.find(job.job_id))
            world.store.away = None
            job = await world.until(job, has_ended)
        assert (JobState.DONE, 1000, 0) == (job.state, job.rows_done, job.rows_failed)
        assert WaitsFor.NOTHING is job.waits_for

    run(urls, test)


def test_away_at_the_beginning(urls: DatabaseUrls) -> None:
    """The new version itself is made as soon as the key store is back, and once."""

    async def test(world: World) -> None:
        await world.fill(50)
        job = await world.begin()
        world.store.away = Reason.KEY_STORE_SEALED
        async with world.working(world.runner(), world.runner()):
            await world.until(job, lambda found: found.state is JobState.WAITING)
            world.store.away = None
            job = await world.until(job, has_ended)
        assert (JobState.DONE, 1) == (job.state, world.store.rotations)

    run(urls, test)


def test_rows_that_cannot_be_moved_are_counted_and_left(urls: DatabaseUrls) -> None:
    async def test(world: World) -> None:
        await world.fill(400)
        connection = await asyncpg.connect(world.owner)
        await connection.execute(
            "update subject_keys set wrapped = 'vault:v1:broken' where subject_id in"
            " (select subject_id from subject_keys order by subject_id limit 7)"
        )
        job = await world.begin()
        async with world.working(world.runner(), world.runner()):
            job = await world.until(job, has_ended)
        assert (JobState.FAILED, 393, 7) == (job.state, job.rows_done, job.rows_failed)
        left = await connection.fetch("select wrapped from subject_keys where root_version = 1")
        assert ["vault:v1:broken"] * 7 == [row["wrapped"] for row in left]
        # Mended and rotated again, they go with the others.
        for row in await connection.fetch(
            "select subject_id from subject_keys where root_version = 1"
        ):
            context = key_context(tenant=DEMO, subject_id=row["subject_id"], key_version=1)
            await connection.execute(
                "update subject_keys set wrapped = $1 where subject_id = $2",
                world.store.wrap(context),
                row["subject_id"],
            )
        await connection.close()
        again = await world.begin()
        async with world.working(world.runner()):
            again = await world.until(again, has_ended)
        assert (JobState.DONE, 400, 3) == (again.state, again.rows_done, world.store.version)
        await check_all_moved(world, DEMO, 400)

    run(urls, test)


def test_a_row_that_changed_meanwhile_is_left_alone(urls: DatabaseUrls) -> None:
    """Deleted (erased) or wrapped anew between the read and the write: neither comes back."""

    async def test(world: World) -> None:
        await world.fill(1)
        (subject,) = await _subjects(world)
        context = key_context(tenant=DEMO, subject_id=subject, key_version=1)
        other = world.store.wrap(context, 2)

        async def change() -> None:
            world.store.before = None
            connection = await asyncpg.connect(world.owner)
            await connection.execute(
                "update subject_keys set wrapped = $1, root_version = 2", other
            )
            await connection.close()

        world.store.before = change
        job = await world.begin()
        async with world.working(world.runner()):
            job = await world.until(job, has_ended)
        assert (JobState.DONE, 0, 0) == (job.state, job.rows_done, job.rows_failed)
        connection = await asyncpg.connect(world.owner)
        assert other == await connection.fetchval("select wrapped from subject_keys")
        await connection.close()

    run(urls, test)


async def _subjects(world: World) -> list[uuid.UUID]:
    connection = await asyncpg.connect(world.owner)
    rows = await connection.fetch("select subject_id from subject_keys")
    await connection.close()
    return [row["subject_id"] for row in rows]


def test_what_was_in_flight_is_swept(urls: DatabaseUrls) -> None:
    """A write that wrapped under the old version and commits after its part was moved."""

    async def test(world: World) -> None:
        await world.fill(100)
        world.mover = RootMover(transit=world.store, rows=world.rows, settle_seconds=0.5)
        job = await world.begin()
        async with world.working(world.runner()):
            settling = await world.until(job, lambda found: found.phase == "settle")
            assert (JobState.WAITING, WaitsFor.CACHES) == (settling.state, settling.waits_for)
            await world.fill(30)
            job = await world.until(job, has_ended)
        assert (JobState.DONE, 130, 130) == (job.state, job.rows_total, job.rows_done)
        await check_all_moved(world, DEMO, 130)

    run(urls, test)


def test_paused_resumed_throttled(urls: DatabaseUrls) -> None:
    async def test(world: World) -> None:
        await world.fill(2000)
        job = await world.begin(rate=400)
        async with world.working(world.runner(), world.runner()):
            first = await world.until(job, lambda found: found.rows_done >= 200)
            began = time.monotonic()
            then = await world.until(job, lambda found: found.rows_done >= 800)
            rate = (then.rows_done - first.rows_done) / (time.monotonic() - began)
            assert 250 < rate < 480, rate
            assert 200 < then.rate < 600
            assert await world.jobs.pause(DEMO, job.job_id)
            await asyncio.sleep(0.3)
            stopped = await world.find(job.job_id)
            assert JobState.PAUSED is stopped.state
            await asyncio.sleep(0.5)
            assert stopped.rows_done == (await world.find(job.job_id)).rows_done
            assert await world.jobs.throttle(DEMO, job.job_id, 0)
            assert await world.jobs.resume(DEMO, job.job_id)
            job = await world.until(job, has_ended)
        assert (JobState.DONE, 2000) == (job.state, job.rows_done)
        assert not await world.jobs.throttle(DEMO, job.job_id, 5)
        assert not await world.jobs.pause(DEMO, job.job_id)

    run(urls, test)


def test_nobody_works_on_a_job_whose_entry_is_not_durable(urls: DatabaseUrls) -> None:
    """Prepared and not started; the next caller takes it over; one job of a kind at a time."""

    async def test(world: World) -> None:
        await world.fill(10)
        plan = await world.mover.plan(DEMO, None)

        async def prepare() -> uuid.UUID | None:
            return await world.jobs.prepare(
                plan, cause="scheduled", rows_per_second=0, started_by="test"
            )

        job_id = await prepare()
        assert job_id is not None
        async with world.working(world.runner()):
            await asyncio.sleep(1.5)
        assert world.store.rotations == 0
        assert await world.jobs.find(DEMO, job_id) is None
        assert await world.jobs.under_way(DEMO, JobKind.ROOT, None) is None
        assert job_id == await prepare()
        await world.jobs.start(DEMO, job_id)
        assert await prepare() is None
        assert await world.jobs.find(OTHER, job_id) is None
        assert [] == await world.jobs.newest(OTHER, 10)
        assert not await world.jobs.pause(OTHER, job_id)

    run(urls, test)


def test_a_lease_that_ran_out_and_was_given_away_advances_nothing(urls: DatabaseUrls) -> None:
    """A process that was stopped in the middle of a batch wakes up after another went on."""

    class Sleeper:
        kind = JobKind.ROOT

        def __init__(self, mover: RootMover) -> None:
            self.mover = mover
            self.next_phase = mover.next_phase
            self.is_asleep = asyncio.Event()

        async def plan(self, tenant: TenantId, subject_ref: str | None) -> Plan:
            return await self.mover.plan(tenant, subject_ref)

        async def move(self, job: Job, lease: Lease, limit: int) -> Any:
            self.is_asleep.set()
            await asyncio.sleep(3 * LEASE_S)
            return await self.mover.move(job, lease, limit)

    async def test(world: World) -> None:
        await world.fill(300)
        job = await world.begin()
        sleeper = Sleeper(world.mover)
        slow = world.runner(sleeper)
        async with world.working(slow):
            await sleeper.is_asleep.wait()
            async with world.working(world.runner()):
                job = await world.until(job, has_ended)
            await asyncio.sleep(3 * LEASE_S)
        assert (JobState.DONE, 300) == (job.state, job.rows_done)
        assert {} == slow.moved
        await check_all_moved(world, DEMO, 300)

    run(urls, test)


def test_a_phase_that_waits_only(urls: DatabaseUrls) -> None:
    """A job of another kind of mover: phases without parts, and one after the other."""

    class Waiter:
        kind = JobKind.ROOT

        def __init__(self) -> None:
            self.asked: list[str] = []

        async def next_phase(self, job: Job) -> Phase | None:
            self.asked.append(job.phase)
            following = {"": "announce", "announce": "live", "live": ""}[job.phase]
            return Phase(following, parts=0, wait_seconds=0.3) if following else None

    async def test(world: World) -> None:
        waiter = Waiter()
        job = await world.begin()
        began = time.monotonic()
        async with world.working(world.runner(waiter), world.runner(waiter)):
            job = await world.until(job, has_ended)
        assert time.monotonic() - began > 0.6
        assert (JobState.DONE, ["", "announce", "live"]) == (job.state, waiter.asked)

    run(urls, test)


def test_damage_is_found_by_reading_the_texts(urls: DatabaseUrls) -> None:
    async def test(world: World) -> None:
        await world.fill(12_000)
        connection = await asyncpg.connect(world.owner)
        for wrapped, root_version, count in (("nonsense", 1, 3), ("vault:v1:x", 9, 2)):
            await connection.execute(
                "update subject_keys set wrapped = $1, root_version = $2 where subject_id in"
                " (select subject_id from subject_keys"
                " where wrapped <> all('{nonsense,vault:v1:x}') limit $3)",
                wrapped,
                root_version,
                count,
            )
        await connection.close()
        found = await read_root_versions(world.rows, DEMO)
        assert (12_000, {1: 11_997}, 5) == (found.read, found.versions, found.unreadable)
        assert {1: 11_998, 9: 2} == await world.rows.rows_by_root_version(DEMO)

    run(urls, test)


def test_one_process_leads_the_schedule_and_another_takes_over(urls: DatabaseUrls) -> None:
    async def test(world: World) -> None:
        first, second = ScheduleLock(world.database), ScheduleLock(world.database)
        for _ in range(3):
            async with first.lead() as leads:
                assert leads is not None
                await leads.check()
                async with second.lead() as follows:
                    assert follows is None
            async with second.lead() as leads:
                assert leads is not None

    run(urls, test)


def test_leadership_ends_with_the_connection(urls: DatabaseUrls) -> None:
    async def test(world: World) -> None:
        lock = ScheduleLock(world.database)
        connection = await asyncpg.connect(world.owner)

        async def lead() -> None:
            async with lock.lead() as leads:
                assert leads is not None
                await connection.execute(
                    "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
                    " and database = (select oid from pg_database"
                    "     where datname = current_database())"
                )
                await asyncio.sleep(0.1)
                await leads.check()

        with pytest.raises(VaultError, match="DATABASE_UNAVAILABLE"):
            await lead()
        await connection.close()
        async with lock.lead() as leads:
            assert leads is not None

    run(urls, test)
