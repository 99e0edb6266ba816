"""Service processes share one log: one leads, any takes over, an old database is refused."""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.audit_log import AuditLog, audit_log, until
from tests.support.embedded import DatabaseUrls, fresh_database
from tests.support.service import VaultService
from vault.embedded import EmbeddedInstance
from vault.embedded.files import write_file
from vault.embedded.ports import free_port
from vault.store.migrate import migrate

AUDIT = "vault.v1.AuditService"
TOKENS = "vault.v1.TokenService"


@pytest_asyncio.fixture
async def log(instance: EmbeddedInstance, tmp_path: Path) -> AsyncIterator[AuditLog]:
    with fresh_database(instance) as urls:
        await migrate(urls.owner)
        async with audit_log(instance, urls, tmp_path) as made:
            yield made


def house(instance: EmbeddedInstance, urls: DatabaseUrls, folder: Path) -> VaultService:
    """A service that was not started; what its folder holds else stays."""
    folder.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(folder / "policies", ignore_errors=True)
    service = VaultService(instance, urls, folder, "")
    service.ledger_name = "sequencers"  # one for all, as copies of a database share its ledger
    return service


@asynccontextmanager
async def serving(
    log: AuditLog, instance: EmbeddedInstance, name: str
) -> AsyncIterator[VaultService]:
    """A service process on the log's database; a name keeps its folder and witness file."""
    # The harness waits with a loop of its own, hence the threads.
    service = await asyncio.to_thread(house, instance, log.urls, log.folder / name)
    try:
        await asyncio.to_thread(service.start)
        yield service
    finally:
        await asyncio.to_thread(service.stop)
        await asyncio.to_thread(service.database.close)


def leads(service: VaultService) -> bool:
    return '"sequencer.leads"' in service.log.read_text()


async def test_two_processes_and_killed_leaders_give_one_tree(log, instance):
    """Under writes all the time; each leader is killed, the other goes on."""
    stop = asyncio.Event()
    recorded = 0

    async def write() -> None:
        nonlocal recorded
        while not stop.is_set():
            await log.record(20)
            recorded += 20
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    gaps = []
    async with AsyncExitStack() as stack:
        names = iter("abcdef")

        async def start() -> VaultService:
            return await stack.enter_async_context(serving(log, instance, next(names)))

        services = [await start(), await start()]
        for _ in range(3):
            await until(lambda: any(map(leads, services)))
            leader = next(each for each in services if leads(each))
            services.remove(leader)
            assert not any(map(leads, services))
            before = await log.published()
            await until(lambda before=before: _published_more(log, before))
            leader.signal(signal.SIGKILL)
            killed = await log.published()
            began = time.monotonic()
            await until(lambda killed=killed: _published_more(log, killed), seconds=10)
            gaps.append(time.monotonic() - began)
            services.append(await start())
        stop.set()
        await writing
        await log.wait_published(recorded)
        assert recorded == await log.prove()
    print("seconds to the next checkpoint after a kill:", [round(gap, 2) for gap in gaps])
    assert max(gaps) < 5


async def _published_more(log: AuditLog, size: int) -> bool:
    return await log.published() > size


async def test_damage_makes_the_audit_service_unfit_and_no_other(log, instance):
    """Reveals go on: their entries are recorded, and wait."""
    async with serving(log, instance, "one") as service:
        await log.record(20)
        await log.wait_published(20)
        assert "SERVING" == service.health(AUDIT)
        await log.execute("update audit_leaves set leaf_hash = sha256('x') where leaf_index = 3")
        await until(lambda: service.health(AUDIT) == "NOT_SERVING")
        assert {"SERVING"} == {service.health(name) for name in ("", TOKENS)}
        before = await log.owner.fetchval("select count(*) from audit_entries")
        service.tokenize({"phone": "13812345678"})
        await asyncio.sleep(0.5)
        after = await log.owner.fetchval("select count(*) from audit_entries")
        assert before < after
        assert 20 == await log.published()
        assert '"alarm":"leaf_damaged"' in service.log.read_text()


async def test_what_a_service_wrote_last_is_published_when_it_stops(log, instance):
    async with serving(log, instance, "one") as service:
        await until(lambda: leads(service))
        service.tokenize({"phone": "13812345678"})
        assert 0 == await asyncio.to_thread(service.stop)
    entries = await log.owner.fetchval("select count(*) from audit_entries")
    assert entries == await log.published() == await log.prove()


def refusal(service: VaultService) -> str:
    """Why `pdvault serve` does not start."""
    config = service.folder / "pdvault.toml"
    write_file(config, service.config(free_port()))
    done = subprocess.run(
        [sys.executable, "-m", "vault", "serve", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert 0 != done.returncode
    return done.stderr


async def publish(
    instance: EmbeddedInstance, urls: DatabaseUrls, folder: Path, count: int, *, in_all: int
) -> None:
    """Lets a service of its own publish more entries; they are what the log ends with."""
    async with audit_log(instance, urls, folder) as log:
        async with serving(log, instance, "one"):
            await log.record(count)
            await log.wait_published(in_all)
        assert in_all == await log.prove()


@pytest.mark.parametrize("how", ["older", "other"])
async def test_a_database_that_is_older_or_another_is_refused(instance, tmp_path, how):
    """Restored from a copy that was taken before the newest witnessed checkpoint."""
    with fresh_database(instance) as urls:
        await migrate(urls.owner)
        await publish(instance, urls, tmp_path, 300, in_all=300)
        with fresh_database(instance, template=urls.name) as copy:
            await publish(instance, urls, tmp_path, 20, in_all=320)
            restored = await asyncio.to_thread(house, instance, copy, tmp_path / "one")
            if how == "other":
                # The same rows again, but written anew: another history of the same length.
                async with audit_log(instance, copy, tmp_path) as log, log.sequencing(witness="x"):
                    await log.record(30)
                    await log.wait_published(330)
            text = await asyncio.to_thread(refusal, restored)
            await asyncio.to_thread(restored.database.close)
            assert ("rolled back" if how == "older" else "forked") in text
            assert "320 entries" in text
            # On the database as it was, all is well.
            await publish(instance, urls, tmp_path, 1, in_all=321)
