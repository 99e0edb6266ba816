"""Index keys are rotated while two processes bind the same references and repeat writes."""

import threading
from collections import defaultdict

import pytest

from tests.support.service import VaultService
from tests.support.two_services import Callers, rotate, two_services, wait_for_job
from vault.embedded import EmbeddedInstance

PHASES = ["announce", "backfill", "narrow", "remove"]


class Shop:
    """Callers of both processes, who use each reference, key and case at about the same time."""

    def __init__(self, services: tuple[VaultService, VaultService]) -> None:
        self.services = services
        self.refs: dict[str, set[str]] = defaultdict(set)
        self.keys: dict[str, set[str]] = defaultdict(set)
        self.lock = threading.Lock()

    def write(self, service: VaultService, number: int, *, key: str, case: str = "") -> None:
        ref = f"ref-{number}"
        request = {
            "idempotency_key": key.ljust(16, "."),
            "subjects": [
                {"subject_ref": ref, "fields": [{"field_type": "phone", "value": "13800005678"}]}
            ],
            "all_or_nothing": True,
        }
        if case:
            request["case"] = case
        response = service.call("Tokenize", request, caller="order").read("Tokenize")
        token = response.subjects[0].fields[0].token
        with self.lock:
            self.refs[ref].add(token)
            self.keys[key].add(token)

    def check(self) -> None:
        """One subject for each reference, one effect for each key, one handle for each case."""
        database = self.services[0].database
        rows = database.fetch("select token, subject_id from tokens")
        of = {row["token"]: row["subject_id"] for row in rows}
        for tokens in self.refs.values():
            assert 1 == len({of[token] for token in tokens})
        assert {1} == {len(tokens) for tokens in self.keys.values()}
        assert {token for tokens in self.refs.values() for token in tokens} == of.keys()
        assert len(set(of.values())) == len(self.refs)


def live_versions(service: VaultService) -> list[int]:
    rows = service.database.fetch(
        "select key_version from tenant_keys where tenant = 'demo-shop' and is_live order by 1"
    )
    return [row["key_version"] for row in rows]


def versions(service: VaultService, table: str) -> set[int]:
    rows = service.database.fetch(
        f"select distinct index_key_version from {table}"  # noqa: S608 - a test's own words
    )
    return {row["index_key_version"] for row in rows}


@pytest.fixture(scope="module")
def services(instance: EmbeddedInstance, tmp_path_factory: pytest.TempPathFactory):
    with two_services(instance, tmp_path_factory.mktemp("two")) as started:
        yield started


def test_two_processes_bind_and_write_through_all_phases(
    services: tuple[VaultService, VaultService],
) -> None:
    """Never two handles for a reference, never a second effect, no failed call."""
    first, second = services
    shop = Shop(services)
    for number in range(200):
        shop.write(first, number, key=f"old-{number}", case=f"order:old-{number % 50}")
    callers = Callers()

    def fresh(service: VaultService, name: str):
        """References that nobody has used yet: both processes at about the same time."""

        def turn(number: int) -> None:
            shop.write(service, 1000 + number, key=f"both-{number}", case=f"order:new-{number}")
            shop.write(service, 1000 + number, key=f"{name}-{number}")

        return turn

    def known(service: VaultService, name: str):
        """References and keys from before the rotation."""

        def turn(number: int) -> None:
            at = number % 200
            shop.write(service, at, key=f"old-{at}", case=f"order:old-{at % 50}")
            shop.write(service, at, key=f"{name}-again-{number}")

        return turn

    for name, service in (("one", first), ("two", second)):
        callers.start(fresh(service, name), pause=0.01)
        callers.start(known(service, name), pause=0.01)
    job = rotate(first, "INDEX")
    phases = wait_for_job(second, job.job_id)
    rounds = callers.rounds
    callers.stop()

    assert [] == callers.failures
    assert PHASES == phases
    assert rounds > 100
    shop.check()
    assert [2] == live_versions(first)
    for table in ("subject_refs", "case_refs", "writes"):
        assert {2} == versions(first, table)
    subjects = first.database.value("select count(*) from subject_refs")
    assert len(shop.refs) == subjects
    handles = first.database.value(
        "select count(distinct case_id) from audit_entries where rpc like '%/Tokenize'"
    )
    assert handles == first.database.value("select count(*) from case_refs")


@pytest.mark.soak
def test_two_rotations_keep_the_chain(services: tuple[VaultService, VaultService]) -> None:
    """What was stored before is found two versions later, by a process that starts anew as well."""
    first, second = services
    shop = Shop(services)
    shop.write(first, 5000, key="before")
    [stored_under] = live_versions(first)
    for step, service in enumerate((second, first)):
        job = rotate(service, "INDEX")
        assert (stored_under + step, stored_under + step + 1) == (job.from_version, job.to_version)
        wait_for_job(first, job.job_id)
    second.stop()
    second.start()

    for service in services:
        shop.write(service, 5000, key="before")
        shop.write(service, 5000, key=f"after-{service.folder.name}")

    rows = first.database.fetch(
        "select distinct subject_id from tokens where token = any($1)", list(shop.refs["ref-5000"])
    )
    assert 1 == len(rows)
    assert 1 == len(shop.keys["before"])
    assert [stored_under + 2] == live_versions(first)


@pytest.mark.soak
def test_the_reference_of_an_erased_consumer_does_not_come_back(
    services: tuple[VaultService, VaultService],
) -> None:
    """Erasures while the backfill runs: no digest of theirs is left, under any version."""
    first, second = services
    shop = Shop(services)
    for number in range(9000, 9060):
        shop.write(first, number, key=f"erase-{number}")
    job = rotate(first, "INDEX", rows_per_second=100)
    erased = []

    def erase(number: int) -> None:
        if number >= 60:
            return
        request = {"subject_ref": f"ref-{9000 + number}", "cause": "consumer_request"}
        answer = second.call("EraseSubject", request, caller="privacy")
        erased.append(answer.read("EraseSubject").erasure.subject_id)

    callers = Callers()
    callers.start(erase, pause=0.15)
    wait_for_job(first, job.job_id)
    callers.stop()

    assert [] == callers.failures
    assert erased
    left = first.database.value(
        "select count(*) from subject_refs as r where not exists"
        " (select from subject_keys as k where k.subject_id = r.subject_id)"
    )
    assert 0 == left
