"""Witnesses over real servers: they cosign, fall ill, lie, and know better than a database."""

import asyncio
import contextlib
import datetime as dt
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support import calls
from tests.support.audit_log import AuditLog, audit_log, until
from tests.support.embedded import DatabaseUrls, fresh_database
from tests.support.service import VaultService
from tests.support.witness import Witness, toml
from vault.audit.checkpoint import open_checkpoint
from vault.embedded import EmbeddedInstance
from vault.embedded.certificates import SERVER, Leaf, issue
from vault.embedded.config_file import ORIGIN
from vault.embedded.files import write_file
from vault.embedded.ports import free_port
from vault.store.migrate import migrate
from vault.v1 import audit_pb2

AUDIT = "vault.v1.AuditService"
TOKENS = "vault.v1.TokenService"


@pytest_asyncio.fixture(scope="module")
async def template(instance: EmbeddedInstance) -> AsyncIterator[str]:
    with fresh_database(instance) as urls:
        await migrate(urls.owner)
        yield urls.name


@pytest_asyncio.fixture
async def log(instance: EmbeddedInstance, template: str, tmp_path) -> AsyncIterator[AuditLog]:
    with fresh_database(instance, template=template) as urls:
        async with audit_log(instance, urls, tmp_path) as made:
            yield made


@pytest.fixture(scope="session")
def certificate(instance: EmbeddedInstance, tmp_path_factory) -> Path:
    """A witness's certificate and key, of the instance's authority."""
    now = dt.datetime.now(dt.UTC)
    leaf = Leaf(
        common_name="witness",
        not_before=now - dt.timedelta(minutes=5),
        not_after=now + dt.timedelta(hours=2),
        addresses=("127.0.0.1",),
        usages=(SERVER,),
    )
    issued = issue(leaf, instance.pki.authority())
    path = tmp_path_factory.mktemp("witness") / "witness.pem"
    write_file(path, issued.key_pem + issued.certificate_pem)
    return path


@contextlib.contextmanager
def witnessing(count: int, log: AuditLog, certificate: Path) -> Iterator[list[Witness]]:
    keys = [str(key) for key in log.signer.verifier_keys]
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                Witness(f"witness.example/w{number}", 50 + number, {ORIGIN: keys}, certificate)
            )
            for number in range(count)
        ]


def house(
    instance: EmbeddedInstance,
    urls: DatabaseUrls,
    folder: Path,
    witnesses: list[Witness],
    *,
    quorum: int,
) -> VaultService:
    """A service that was not started, without a memory of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    write_file(folder / "witnesses.toml", toml(witnesses, instance.settings().authority_file))
    extra = (
        "[audit]\nwitnesses_file = 'witnesses.toml'\n"
        f"witness_quorum = {quorum}\nwitness_lag_seconds = 1"
    )
    service = VaultService(instance, urls, folder, extra)
    service.ledger_name = "witnesses"  # one for all, as copies of a database share its ledger
    return service


@asynccontextmanager
async def serving(
    log: AuditLog,
    instance: EmbeddedInstance,
    witnesses: list[Witness],
    *,
    quorum: int = 0,
    name: str = "service",
) -> AsyncIterator[VaultService]:
    folder = log.folder / name
    service = await asyncio.to_thread(house, instance, log.urls, folder, witnesses, quorum=quorum)
    try:
        await asyncio.to_thread(service.start)
        yield service
    finally:
        await asyncio.to_thread(service.stop)
        await asyncio.to_thread(service.database.close)


def has_line(service: VaultService, *parts: str) -> bool:
    return any(all(part in line for part in parts) for line in service.log.read_text().splitlines())


def alarms(service: VaultService, name: str) -> bool:
    return has_line(service, '"log.alarm"', f'"alarm":"{name}"')


def settles(service: VaultService, name: str) -> bool:
    return has_line(service, '"log.alarm_over"', f'"alarm":"{name}"')


async def cosigned(log: AuditLog) -> dict[str, int]:
    """Witness to the largest size that it cosigned, as stored."""
    rows = await log.owner.fetch(
        "select witness, max(size) as size from audit_cosignatures group by witness"
    )
    return {row["witness"]: row["size"] for row in rows}


async def wait_cosigned(log: AuditLog, witnesses: list[Witness], size: int) -> float:
    async def holds() -> bool:
        found = await cosigned(log)
        return all(found.get(one.key.name, 0) >= size for one in witnesses)

    return await until(holds, seconds=15)


def checkpoint(service: VaultService) -> str:
    """The note that an auditor gets."""
    answer = calls.call(service.channel("auditor"), f"/{AUDIT}/GetCheckpoint", b"")
    return audit_pb2.GetCheckpointResponse.FromString(answer.data).checkpoint.note


def opened(log: AuditLog, note: str, witnesses: list[Witness], quorum: int):
    return open_checkpoint(
        note.encode(),
        log.signer.verifier_keys,
        origin=ORIGIN,
        witnesses=[one.key for one in witnesses],
        quorum=quorum,
    )


async def test_auditors_get_checkpoints_that_a_quorum_has_cosigned(log, instance, certificate):
    with witnessing(3, log, certificate) as witnesses:
        async with serving(log, instance, witnesses, quorum=3) as service:
            await log.record(300)
            await log.wait_published(300)
            took = await wait_cosigned(log, witnesses, 300)
            print(f"cosigned {took:.2f} s after publication was seen")
            # Each reading is an entry, so there is always a checkpoint that is not cosigned yet.
            for _ in range(10):
                note = await asyncio.to_thread(checkpoint, service)
                found = opened(log, note, witnesses, 3)
                assert 300 <= found.checkpoint.size
                await asyncio.sleep(0.2)
            await wait_cosigned(log, witnesses, await log.published())
            sizes = {one.size(ORIGIN) for one in witnesses}
            assert {await log.published()} == sizes
            assert not has_line(service, '"log.alarm"')
        await log.prove()


async def test_a_witness_that_is_down_costs_its_cosignature_and_an_alarm(
    log, instance, certificate
):
    with witnessing(3, log, certificate) as witnesses:
        async with serving(log, instance, witnesses, quorum=2) as service:
            await log.record(5)
            await wait_cosigned(log, witnesses, 5)
            ill, *well = witnesses
            ill.kill()
            await log.record(5)
            await wait_cosigned(log, well, 10)
            await until(lambda: alarms(service, "witness_down"))
            assert not alarms(service, "witness_lag")
            assert "SERVING" == service.health(AUDIT)
            note = await asyncio.to_thread(checkpoint, service)
            assert 10 <= opened(log, note, witnesses, 2).checkpoint.size
            # It comes back with nothing in its memory, and is caught up from there.
            ill.start()
            await wait_cosigned(log, [ill], 11)
            await until(lambda: settles(service, "witness_down"))


async def test_all_down_means_no_witnessed_checkpoint_and_everything_else(
    log, instance, certificate
):
    with witnessing(2, log, certificate) as witnesses:
        async with serving(log, instance, witnesses, quorum=2) as service:
            await log.record(5)
            await wait_cosigned(log, witnesses, 5)
            for one in witnesses:
                one.switch("down")
            await asyncio.to_thread(service.tokenize, {"phone": "13812345678"})
            await log.wait_published(6)
            await until(lambda: alarms(service, "witness_lag"))
            assert {"SERVING"} == {service.health(name) for name in ("", AUDIT, TOKENS)}
            for one in witnesses:
                one.switch("honest")
            await wait_cosigned(log, witnesses, 6)
            await until(lambda: settles(service, "witness_lag"))


async def test_a_witness_that_hangs_holds_up_nobody(log, instance, certificate):
    with witnessing(2, log, certificate) as witnesses:
        async with serving(log, instance, witnesses) as service:
            await log.record(5)
            await wait_cosigned(log, witnesses, 5)
            slow, well = witnesses
            slow.switch("slow")
            took = []
            for size in range(10, 40, 5):
                await log.record(5)
                await log.wait_published(size)
                took.append(await wait_cosigned(log, [well], size))
            print("cosigned after", [round(one, 2) for one in took])
            # Whoever did not fail before is waited for once.
            assert sorted(took)[-2] < 2
            assert await cosigned(log) == {slow.key.name: 5, well.key.name: 35}
            await until(lambda: alarms(service, "witness_down"))


async def test_the_next_leader_goes_on_asking(log, instance, certificate):
    """Under writes; a witness hears from one process after the other, and of one log."""
    with witnessing(1, log, certificate) as witnesses:
        async with (
            serving(log, instance, witnesses, name="a") as first,
            serving(log, instance, witnesses, name="b") as second,
        ):
            await log.record(10)
            await wait_cosigned(log, witnesses, 10)
            leader = next(each for each in (first, second) if has_line(each, "sequencer.leads"))
            other = second if leader is first else first
            assert not has_line(other, "sequencer.leads")
            for _ in range(20):
                await log.record(5)
                await asyncio.sleep(0.02)
            leader.signal(signal.SIGKILL)
            await log.record(5)
            await wait_cosigned(log, witnesses, 115)
            assert has_line(other, "sequencer.leads")
            assert not has_line(other, '"log.alarm"')
        assert 115 == await log.prove()


@pytest.mark.parametrize("mode", ["lying", "garbage"])
async def test_a_lying_witness_is_ignored(log, instance, certificate, mode):
    with witnessing(2, log, certificate) as witnesses:
        liar, honest = witnesses
        liar.switch(mode)
        async with serving(log, instance, witnesses, quorum=1) as service:
            await log.record(5)
            await wait_cosigned(log, [honest], 5)
            cause = "bad_signature" if mode == "lying" else "malformed"
            await until(
                lambda: has_line(service, '"witness.refused"', liar.key.name, f'"cause":"{cause}"')
            )
            await until(lambda: alarms(service, "witness_down"))
            assert {honest.key.name} == set(await cosigned(log))


# --- A witness knows better than the database ------------------------------------------------


async def refusal(
    instance: EmbeddedInstance, urls: DatabaseUrls, folder: Path, witnesses: list[Witness]
) -> str:
    """Why `pdvault serve` does not start."""
    service = await asyncio.to_thread(house, instance, urls, folder, witnesses, quorum=0)
    config = service.folder / "pdvault.toml"
    write_file(config, service.config(free_port()))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "vault", "serve", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    await asyncio.to_thread(service.database.close)
    assert 0 != done.returncode
    return done.stderr


async def publish(
    instance: EmbeddedInstance, urls: DatabaseUrls, folder: Path, witnesses: list[Witness], size
) -> None:
    """Lets a service of its own bring the log to this size, cosigned."""
    async with audit_log(instance, urls, folder) as log, serving(log, instance, witnesses):
        await log.record(size - await log.published())
        await wait_cosigned(log, witnesses, size)


@pytest.fixture
def keys(instance: EmbeddedInstance, tmp_path: Path) -> list[str]:
    instance.write_config(policies=tmp_path)
    return (instance.state_dir / "audit.vkey").read_text().splitlines()


@pytest.mark.parametrize("how", ["older", "empty"])
async def test_a_database_older_than_what_a_witness_saw_is_refused(
    instance, template, keys, certificate, *, tmp_path, how
):
    """Its witness file went with it: only the witness remembers."""
    with (
        Witness("witness.example/w", 60, {ORIGIN: keys}, certificate) as witness,
        fresh_database(instance, template=template) as urls,
    ):
        await publish(instance, urls, tmp_path, [witness], 30)
        source = urls.name if how == "older" else template
        with fresh_database(instance, template=source) as copy:
            await publish(instance, urls, tmp_path, [witness], 50)
            text = await refusal(instance, copy, tmp_path / "restored", [witness])
            assert "rolled back" in text
            assert "50 entries" in text
            # On the database as it was, all is well.
            await publish(instance, urls, tmp_path, [witness], 51)


async def test_a_fork_gets_no_cosignature_and_an_alarm(
    instance, template, keys, certificate, tmp_path
):
    with (
        Witness("witness.example/w", 60, {ORIGIN: keys}, certificate) as witness,
        fresh_database(instance, template=template) as urls,
    ):
        await publish(instance, urls, tmp_path, [witness], 30)
        with fresh_database(instance, template=urls.name) as copy:
            await publish(instance, urls, tmp_path, [witness], 40)
            async with audit_log(instance, copy, tmp_path) as log:
                async with log.sequencing(witness="x"):  # as far, and another way
                    await log.record(20)
                    await log.wait_published(50)
                async with serving(log, instance, [witness]) as service:
                    await until(lambda: alarms(service, "witness_refused"))
                    assert has_line(service, '"witness.refused"', '"cause":"inconsistent"')
                    assert 30 == (await cosigned(log))[witness.key.name]
                    assert 40 == witness.size(ORIGIN)
                    # Its word is not signed: it does not stop the log.
                    assert "SERVING" == service.health(AUDIT)
                    await log.record(1)
                    await log.wait_published(51)


async def test_when_all_are_silent_at_start_the_first_answer_still_counts(
    instance, template, keys, certificate, tmp_path
):
    with (
        Witness("witness.example/w", 60, {ORIGIN: keys}, certificate) as witness,
        fresh_database(instance, template=template) as urls,
    ):
        await publish(instance, urls, tmp_path, [witness], 30)
        with fresh_database(instance, template=urls.name) as copy:
            await publish(instance, urls, tmp_path, [witness], 50)
            witness.switch("down")
            async with (
                audit_log(instance, copy, tmp_path) as log,
                serving(log, instance, [witness]) as service,
            ):
                await until(lambda: alarms(service, "witness_down"))
                await log.record(1)
                await log.wait_published(31)
                assert "SERVING" == service.health(AUDIT)
                witness.switch("honest")
                await until(lambda: alarms(service, "rolled_back"), seconds=40)
                await until(lambda: service.health(AUDIT) == "NOT_SERVING")
                assert {"SERVING"} == {service.health(name) for name in ("", TOKENS)}
