"""A root key is rotated while processes are killed, OpenBao goes away, and shoppers shop."""

import asyncio
import contextlib
import json
import secrets
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.fault.test_fault_processes import second_service
from tests.fault.test_fault_transit import hanging, refused, sealed, slow
from tests.support.faults import LinkedService, StartWorld, World
from tests.support.openbao import CUSTODIAN_POLICY, OpenBao, running_openbao
from tests.support.service import VaultService, new_key, wait_until
from vault.app.parts import custody_transit_settings, transit_settings
from vault.client import Control, Job, JobState, KeyKind, Verification
from vault.config import load_config
from vault.crypto.binding import key_context
from vault.crypto.transit import Transit, WrapItem
from vault.crypto.transit_admin import RewrapItem, TransitAdmin, Wrapped
from vault.embedded.config_file import Settings
from vault.model import TenantId

QUICK = """
[database]
connect_timeout_seconds = 0.5
statement_timeout_seconds = 1.0

[transit]
connect_seconds = 0.3
read_seconds = 0.5
"""
"""A rotation settles for as long as these allow a write to take."""
TENANT = "demo-shop"
_WAITS = "waits for the key store"


@pytest.fixture
def quick(start_world: StartWorld) -> Iterator[World]:
    with start_world(extra=QUICK) as started:
        yield started


def seed(world: World, count: int) -> dict[str, str]:
    """New subjects with a phone each; token to value."""
    found: dict[str, str] = {}
    with world.client("order", timeout=30) as order:
        for start in range(0, count, 500):
            phones = [f"139{n:08d}" for n in range(start, min(count, start + 500))]
            outcome = order.tokenize([(f"seed-{new_key()}", {"phone": p}) for p in phones])
            tokens = [each.tokens["phone"] for each in outcome.subjects]
            found |= dict(zip(tokens, phones, strict=True))
    return found


def rotate(world: World, rate: int = 0) -> Job:
    with world.client("custodian-1") as custodian:
        job = custodian.keys.rotate(KeyKind.ROOT, rows_per_second=rate).job
    assert job is not None
    return job


def throttle(world: World, job: Job, rate: int) -> None:
    with world.client("custodian-1") as custodian:
        custodian.keys.control(job.job_id, Control.THROTTLE, rows_per_second=rate)


def look(world: World, job: Job) -> Job:
    with world.client("custodian-1", attempts=4) as custodian:
        return next(each for each in custodian.keys.jobs() if each.job_id == job.job_id)


def wait_for(world: World, job: Job, holds: Callable[[Job], bool], *, seconds: float = 90) -> Job:
    wait_until(
        lambda: holds(look(world, job)), seconds=seconds, text="the job does not come so far"
    )
    return look(world, job)


def verify(world: World) -> Verification:
    with (
        world.client("custodian-1", timeout=60) as custodian,
        contextlib.closing(custodian.keys.verify()) as found,
    ):
        return list(found)[-1]


def check_moved(world: World, job: Job, values: dict[str, str]) -> None:
    """The job is done, everything needs the new version alone, and every value is there."""
    assert (JobState.DONE, 0) == (job.state, job.rows_failed)
    assert job.rows_total == job.rows_done
    found = verify(world)
    assert 0 == found.unreadable
    assert [job.to_version] == [each.version for each in found.versions]
    assert found.rows_read == found.versions[0].rows
    tokens = list(values)
    for start in range(0, len(tokens), 1000):
        part = tokens[start : start + 1000]
        read = [value.removeprefix("+86") for value in world.read(part)]
        assert [values[token] for token in part] == read


def kill_during_rotation(world: World, folder: Path, kills: int, subjects: int) -> None:
    """One of two processes is killed again and again, never the same twice running."""
    values = seed(world, subjects)
    with second_service(world, folder) as other:
        worlds = [world, other]
        job = rotate(world, rate=subjects // (4 * kills))
        seen = [look(other, job).rows_done]
        for number in range(kills):
            victim, survivor = worlds[number % 2], worlds[1 - number % 2]
            victim.kill9()
            seen.append(look(survivor, job).rows_done)
            victim.service.start()
        assert not look(world, job).state.has_ended, "all kills were to fall into the rotation"
        throttle(world, job, 0)
        job = wait_for(world, job, lambda found: found.state.has_ended)
        assert seen == sorted(seen)
        assert job.to_version == job.from_version + 1
        check_moved(world, job, values)
        check_moved(other, job, values)


def test_three_kills(quick: World, tmp_path: Path) -> None:
    kill_during_rotation(quick, tmp_path, 3, 600)


@pytest.mark.soak
def test_ten_kills(quick: World, tmp_path: Path) -> None:
    kill_during_rotation(quick, tmp_path, 10, 4000)


@pytest.mark.parametrize(
    "fault",
    [
        sealed,
        refused,
        pytest.param(hanging, marks=pytest.mark.soak),
        pytest.param(slow, marks=pytest.mark.soak),
    ],
)
def test_without_openbao_a_rotation_waits(
    quick: World, fault: Callable[[World], contextlib.AbstractContextManager[None]]
) -> None:
    """It says that it waits for the key store, does not fail, and goes on by itself."""
    values = seed(quick, 500)
    job = rotate(quick, rate=100)
    wait_for(quick, job, lambda found: found.rows_done > 20)
    with fault(quick):
        wait_for(quick, job, lambda found: found.state is JobState.WAITING, seconds=20)
        assert _WAITS == look(quick, job).phase
        stuck = look(quick, job).rows_done
        time.sleep(2)
        assert stuck == look(quick, job).rows_done
    throttle(quick, job, 0)
    job = wait_for(quick, job, lambda found: found.state.has_ended)
    quick.wait_until_works()
    check_moved(quick, job, values)


def test_stopped_gracefully_it_goes_on_after_the_start(quick: World) -> None:
    values = seed(quick, 300)
    job = rotate(quick, rate=60)
    wait_for(quick, job, lambda found: found.rows_done > 20)
    assert 0 == quick.service.stop()
    parts = quick.service.database.value(
        "select count(*) from key_job_parts where owner is not null and not is_done"
    )
    assert parts == 0  # given back, so that another process goes on at once
    quick.service.start()
    throttle(quick, job, 0)
    check_moved(quick, wait_for(quick, job, lambda found: found.state.has_ended), values)


# --- Custody's own login at OpenBao -------------------------------------------------------

_NO_RIGHTS = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
"""


class PlainService(LinkedService):
    """A service on an OpenBao in dev mode, which has no TLS; a test has its root token."""

    def config(self, port: int) -> str:
        lines = super().config(port).splitlines(keepends=True)
        at = lines.index("[transit]\n")
        drop = next(i for i in range(at, len(lines)) if lines[i].startswith("ca_file"))
        return "".join(lines[:drop] + lines[drop + 1 :])


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as started:
        for key in ("pdv-audit-log", "pdv-custody"):
            started.call("POST", f"transit/keys/{key}", {"type": "ed25519"})
        started.call("POST", "transit/keys/pdv-backup", {"type": "aes256-gcm96"})
        yield started


def own_logins(bao: OpenBao, folder: Path, custodian_ttl: str) -> dict[str, object]:
    """Settings of a service whose two logins at this OpenBao are its own."""
    changes: dict[str, object] = {"transit_address": bao.address}
    for name, policy, ttl in (
        ("transit", "pdvault", "1h"),
        ("custodian", "custodian", custodian_ttl),
    ):
        own = folder / name
        own.mkdir(mode=0o700)
        for path in bao.app_role(own, ttl=ttl, policy=policy):
            path.chmod(0o600)
            changes[f"{name}_{path.name}_file"] = path
    return changes


def test_a_right_of_custody_is_withdrawn_and_given_back(
    start_world: StartWorld, bao: OpenBao, tmp_path: Path
) -> None:
    """The rotation waits and says so; nobody else notices; it goes on by itself."""
    changes = own_logins(bao, tmp_path, "1h")
    with start_world(extra=QUICK, changes=changes, kind=PlainService) as world:
        values = seed(world, 400)
        job = rotate(world, rate=100)
        wait_for(world, job, lambda found: found.rows_done > 20)
        bao.call("PUT", "sys/policies/acl/custodian", {"policy": _NO_RIGHTS})
        try:
            wait_for(world, job, lambda found: found.phase == _WAITS, seconds=20)
            stuck = look(world, job).rows_done
            assert list(values.values())[:50] == world.read(list(values)[:50])
            values |= seed(world, 10)
            assert stuck == look(world, job).rows_done
        finally:
            rights = CUSTODIAN_POLICY.read_text(encoding="utf-8")
            bao.call("PUT", "sys/policies/acl/custodian", {"policy": rights})
        throttle(world, job, 0)
        check_moved(world, wait_for(world, job, lambda found: found.state.has_ended), values)


def test_tokens_of_custody_expire_and_are_replaced(
    start_world: StartWorld, bao: OpenBao, tmp_path: Path
) -> None:
    """Tokens of two seconds that can't be renewed beyond: no row fails, and the job never waits."""
    changes = own_logins(bao, tmp_path, "2s")
    with start_world(extra=QUICK, changes=changes, kind=PlainService) as world:
        values = seed(world, 400)
        job = rotate(world, rate=60)
        phases: set[str] = set()

        def has_ended(found: Job) -> bool:
            phases.add(found.phase)
            return found.state.has_ended

        job = wait_for(world, job, has_ended)
        assert _WAITS not in phases
        check_moved(world, job, values)


# --- A hundred thousand subjects, with readers and writers --------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in which the job moved rows, or was paused."""

    is_moving: bool
    begin: float
    end: float


def p99(attempts: list[dict[str, Any]], windows: list[Window]) -> float:
    """Milliseconds of reads that began within these windows."""
    took = [
        1000 * (each["ended"] - each["began"])
        for each in attempts
        if each["kind"] == "read" and any(w.begin <= each["began"] < w.end for w in windows)
    ]
    assert len(took) > 500, len(took)
    return statistics.quantiles(took, n=100)[98]


class DirectService(LinkedService):
    """Without links, as each costs a round trip more than what is measured: the reader's does, and
    the rotation's in the same process.
    """

    def _settings(self) -> Settings:
        return VaultService._settings(self)


async def fill(world: World, subjects: int) -> None:
    """More subjects with wrapped keys, and nothing else: made without the service, so quickly."""
    config = load_config(world.service.folder / "pdvault.toml")
    transit = Transit(transit_settings(config))
    connection = await asyncpg.connect(world.service.urls.owner)
    try:
        await transit.open([TENANT])
        for start in range(0, subjects, 5000):
            ids = [uuid.uuid4() for _ in range(min(5000, subjects - start))]
            items = [
                WrapItem(
                    TENANT,
                    secrets.token_bytes(32),
                    key_context(tenant=TenantId(TENANT), subject_id=each, key_version=1),
                )
                for each in ids
            ]
            wrapped = await transit.wrap(items)
            await connection.copy_records_to_table(
                "subject_keys",
                columns=(
                    *("subject_id", "key_version", "tenant", "wrapped", "root_version"),
                    *("key_salt", "commitment"),
                ),
                records=[
                    (each, 1, TENANT, key.wrapped, key.root_version, bytes(32), bytes(32))
                    for each, key in zip(ids, wrapped, strict=True)
                    if isinstance(key, Wrapped)
                ],
            )
    finally:
        await transit.close()
        await connection.close()


async def transit_rate(world: World, rows: Sequence[Any], seconds: float) -> float:
    """Keys a second that Transit rewraps for somebody who does nothing else with them."""
    config = load_config(world.service.folder / "pdvault.toml")
    admin = TransitAdmin(custody_transit_settings(config))
    items = [
        RewrapItem(
            TENANT,
            row["wrapped"],
            key_context(
                tenant=TenantId(TENANT),
                subject_id=row["subject_id"],
                key_version=row["key_version"],
            ),
        )
        for row in rows
    ]
    try:
        await admin.open([TENANT])
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            answers = await admin.rewrap(TENANT, items)
            assert all(isinstance(each, Wrapped) for each in answers)
            count += len(answers)
        return count / (time.monotonic() - began)
    finally:
        await admin.close()


def measure(world: World, job: Job, *, rounds: int, seconds: float) -> list[Window]:
    """Paused and moving in turn, so that a machine's moods fall on both alike."""
    windows = []
    with world.client("custodian-2") as custodian:
        for number in range(2 * rounds):
            is_moving = number % 2 == 1
            custodian.keys.control(job.job_id, Control.RESUME if is_moving else Control.PAUSE)
            time.sleep(0.5)
            began = time.time()
            time.sleep(seconds)
            windows.append(Window(is_moving, began, time.time()))
        custodian.keys.control(job.job_id, Control.RESUME)
    return windows


@pytest.mark.soak
def test_a_hundred_thousand_subjects_under_load(start_world: StartWorld) -> None:
    """No call fails, readers hardly notice, and Transit is the bound when nothing throttles."""
    subjects = 100_000
    with start_world(kind=DirectService) as world:
        values = seed(world, subjects // 20)
        asyncio.run(fill(world, subjects - len(values)))
        tokens = list(values)
        lists = [tokens[start : start + 3] for start in range(0, 900, 3)]
        with world.load(writers=1, readers=2, tokens=lists, timeout=10.0) as load:
            load.wait_for(500, seconds=60)
            job = rotate(world)  # as configured
            windows = measure(world, job, rounds=5, seconds=4)
            throttle(world, job, 0)
            job = wait_for(world, job, lambda found: found.phase == "settle", seconds=600)
        attempts = load.attempts()
        assert [] == [each for each in attempts if not each["ok"]]
        before = p99(attempts, [each for each in windows if not each.is_moving])
        during = p99(attempts, [each for each in windows if each.is_moving])
        print(
            f"readers' p99: {before:.2f} ms paused, {during:.2f} ms moving, {len(attempts)} calls"
        )
        job = wait_for(world, job, lambda found: found.state.has_ended)
        check_moved(world, job, values)

        some = world.service.database.fetch(
            "select subject_id, key_version, wrapped from subject_keys where tenant = $1 limit 160",
            TENANT,
        )
        alone = asyncio.run(transit_rate(world, some, 3))
        fast = rotate(world, rate=1_000_000)
        began = time.monotonic()
        wait_for(world, fast, lambda found: found.phase != "rewrap" and found.rows_done > 0)
        rate = look(world, fast).rows_done / (time.monotonic() - began)
        wait_for(world, fast, lambda found: found.state.has_ended)
        print(
            json.dumps(
                {
                    "readers_p99_ms_paused": round(before, 2),
                    "readers_p99_ms_moving": round(during, 2),
                    "ratio": round(during / before, 3),
                    "calls": len(attempts),
                    "rows_per_s_unthrottled": round(rate),
                    "transit_rewraps_per_s": round(alone),
                }
            )
        )
        assert during <= 1.25 * before
