"""Keys and jobs over real gRPC: status, rotation, following it, verification, the schedule."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.service import StartService, VaultService, wait_until
from vault.audit.entry import Entry
from vault.client import Control, Job, JobState, KeyKind, VaultCallError, VaultClient
from vault.errors import Reason
from vault.model import Authentication, Verdict

QUICK = """
[database]
connect_timeout_seconds = 0.5
statement_timeout_seconds = 2.0

[transit]
connect_seconds = 0.3
read_seconds = 1.0
"""
DUE = """
[custody]
root_period_days = 0.0001
"""


@pytest.fixture(scope="module")
def service(start_service: StartService) -> Iterator[VaultService]:
    with start_service(QUICK) as started:
        yield started


@contextlib.contextmanager
def custodian(service: VaultService, name: str = "custodian-1") -> Iterator[VaultClient]:
    folder = service.instance.settings().clients_folder / name
    with VaultClient.from_directory(folder, service.address, timeout=20) as client:
        yield client


def follow(client: VaultClient, job_id: str) -> list[Job]:
    with contextlib.closing(client.keys.watch(job_id)) as seen:
        return list(seen)


def test_a_root_key_is_rotated_followed_and_verified(service: VaultService) -> None:
    tokens = [service.tokenize({"phone": f"1381234{n:04d}"}) for n in range(40)]
    with custodian(service) as client, service.recording() as entries:
        before = {key.kind: key for key in client.keys.status()}
        planned = client.keys.rotate(KeyKind.ROOT, dry_run=True)
        assert (None, False) == (planned.job, planned.is_started)
        assert before[KeyKind.ROOT].version + 1 == planned.version
        assert planned.rows == sum(each.rows for each in before[KeyKind.ROOT].versions)

        started = client.keys.rotate(KeyKind.ROOT, cause="compromise", rows_per_second=30)
        joined = client.keys.rotate(KeyKind.ROOT)
        assert started.job is not None
        assert joined.job is not None
        assert (True, False) == (started.is_started, joined.is_started)
        assert started.job.job_id == joined.job.job_id

        seen = follow(client, started.job.job_id)
        last = seen[-1]
        assert (JobState.DONE, 0, planned.rows) == (last.state, last.rows_failed, last.rows_done)
        done = [job.rows_done for job in seen]
        assert done == sorted(done)
        assert len(set(done)) > 2  # progress, not only the end

        with contextlib.closing(client.keys.verify()) as progress:
            found = list(progress)[-1]
        assert [(planned.version, planned.rows)] == [(v.version, v.rows) for v in found.versions]
        assert 0 == found.unreadable

        after = {key.kind: key for key in client.keys.status()}
        assert planned.version == after[KeyKind.ROOT].version
        assert any("verify, then retire" in text for text in after[KeyKind.ROOT].advice)
        assert started.job.job_id == client.keys.jobs(1)[0].job_id
    cases = {entry.case for entry in entries if entry.rpc.endswith(("RotateKey", "WatchJob"))}
    assert {"", f"compromise:{started.job.job_id}"} == cases  # none: the dry run
    for row in tokens:
        answer = service.call(
            "Detokenize",
            {"purpose": "delivery", "items": [{"token": row["phone"]}]},
            caller="shipping",
        )
        assert "OK" == answer.code


def test_paused_and_resumed(service: VaultService) -> None:
    with custodian(service) as client:
        job = client.keys.rotate(KeyKind.ROOT, rows_per_second=10).job
        assert job is not None
        client.keys.control(job.job_id, Control.PAUSE)
        assert JobState.PAUSED is client.keys.jobs(1)[0].state
        assert job.job_id == next(
            key.job_id for key in client.keys.status() if key.kind is KeyKind.ROOT
        )
        client.keys.control(job.job_id, Control.RESUME)
        client.keys.control(job.job_id, Control.THROTTLE, rows_per_second=0)
        assert JobState.DONE is follow(client, job.job_id)[-1].state
        with pytest.raises(VaultCallError) as error:
            client.keys.control(job.job_id, Control.PAUSE)
        assert Reason.JOB_ENDED is error.value.reason


def test_a_watcher_may_leave(service: VaultService) -> None:
    """Leaving changes nothing, and leaves the one entry that the watch began with."""
    with custodian(service) as client, service.recording() as entries:
        job = client.keys.rotate(KeyKind.ROOT, rows_per_second=10).job
        assert job is not None
        seen = client.keys.watch(job.job_id)
        next(seen)
        seen.close()
        client.keys.control(job.job_id, Control.THROTTLE, rows_per_second=0)
        assert JobState.DONE is follow(client, job.job_id)[-1].state
    watched = [entry for entry in entries if entry.rpc.endswith("WatchJob")]
    assert [Verdict.ALLOWED] * 2 == [entry.verdict for entry in watched]


def test_the_schedule_rotates_what_is_due_and_says_so_in_the_log(
    start_service: StartService,
) -> None:
    def by_schedule(service: VaultService) -> list[Entry]:
        return [e for e in service.database.entries() if e.caller == "service:schedule"]

    with start_service(QUICK + DUE) as service:
        service.tokenize({"phone": "13812345678"})
        time.sleep(1)
        wait_until(
            lambda: {"demo-shop", "other-shop"} <= {e.tenant for e in by_schedule(service)},
            seconds=60,
            text="the schedule rotates nothing",
        )
        found = by_schedule(service)
        assert {"vault.v1.KeyService/RotateKey"} == {entry.rpc for entry in found}
        assert {(Authentication.NONE, Verdict.ALLOWED, ())} == {
            (entry.authentication, entry.verdict, entry.roles) for entry in found
        }
        with custodian(service) as client:
            job: Any = client.keys.jobs(1)[0]
            assert "service:schedule" == job.started_by
        listed = service.call("ListEntries", {"caller": "service:schedule"}, caller="auditor")
        assert listed.read("ListEntries").entries
