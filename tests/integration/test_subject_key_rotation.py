"""Subjects' keys are replaced under readers and writers, with kill -9 in between."""

import itertools
import signal
import threading
import time

import pytest

from tests.support.service import VaultService, new_key, wait_until
from tests.support.two_services import Callers, newest_job, rotate, two_services, wait_for_job
from vault.embedded import EmbeddedInstance
from vault.errors import Reason
from vault.keys.limits import ALARM_USES, MOST_USES

SUBJECTS = 120
PHASES = ["reseal", "grace", "remove"]


@pytest.fixture(scope="module")
def services(instance: EmbeddedInstance, tmp_path_factory: pytest.TempPathFactory):
    with two_services(instance, tmp_path_factory.mktemp("two")) as started:
        yield started


class Shop:
    """Tokens that were acknowledged."""

    def __init__(self) -> None:
        self.tokens: dict[str, list[str]] = {"phone": [], "email": []}
        self.lock = threading.Lock()
        self.numbers = itertools.count()

    def store(self, service: VaultService, ref: str) -> None:
        value = f"138{next(self.numbers) % 10**8:08d}"
        tokens = service.tokenize({"phone": value, "email": f"{value}@example.com"}, ref=ref)
        with self.lock:
            for kind, token in tokens.items():
                self.tokens[kind].append(token)

    def read(self, service: VaultService, tokens: list[str]) -> None:
        request = {"purpose": "delivery", "items": [{"token": token} for token in tokens]}
        response = service.call("Detokenize", request, caller="shipping").read("Detokenize")
        for token, result in zip(tokens, response.items, strict=True):
            assert result.verdict == 1, (token[:12], result.reason)

    def tokens_of(self, kind: str) -> list[str]:
        with self.lock:
            return self.tokens[kind].copy()


def reader(shop: Shop, service: VaultService):
    def turn(number: int) -> None:
        tokens = shop.tokens_of("phone")
        at = number * 7 % max(1, len(tokens) - 5)
        shop.read(service, tokens[at : at + 5])

    return turn


def key_counts(service: VaultService, tenant: str = "demo-shop") -> list[tuple[int, int]]:
    rows = service.database.fetch(
        "select min(key_version) as low, max(key_version) as high from subject_keys"
        " where tenant = $1 group by subject_id",
        tenant,
    )
    return [(row["low"], row["high"]) for row in rows]


def test_all_keys_are_replaced_under_load_with_a_kill(
    services: tuple[VaultService, VaultService],
) -> None:
    """No call of the living process fails; every acknowledged token opens afterwards."""
    first, second = services
    shop = Shop()
    for number in range(SUBJECTS):
        shop.store(first, f"ref-{number}")
    callers, doomed = Callers(), Callers()
    for service, its in ((second, callers), (first, doomed)):
        its.start(reader(shop, service), pause=0.01)
        # Slowly: what is written to those whose turn has not come is work for the rotation.
        its.start(lambda n, s=service: shop.store(s, f"ref-{n % SUBJECTS}"), pause=0.05)
    job = rotate(first, "SUBJECT", rows_per_second=100)

    def is_half_done() -> bool:
        return newest_job(second).rows_done >= SUBJECTS // 3

    wait_until(is_half_done, seconds=30, text="nothing was moved")
    first.signal(signal.SIGKILL)
    assert PHASES[0] == newest_job(second).phase
    time.sleep(0.5)
    doomed.stop()
    first.stop()
    first.start()
    phases = wait_for_job(second, job.job_id, seconds=120)
    callers.stop()

    assert [] == callers.failures
    assert PHASES[1:] == phases[-2:]
    assert {(2, 2)} == set(key_counts(second))
    assert {2} == {
        row["key_version"] for row in second.database.fetch("select key_version from tokens")
    }
    tokens = shop.tokens_of("phone")
    for at in range(0, len(tokens), 50):
        shop.read(first, tokens[at : at + 50])
        shop.read(second, tokens[at : at + 50])


def test_a_subject_that_is_not_known(services: tuple[VaultService, VaultService]) -> None:
    request = {"kind": "KEY_KIND_SUBJECT", "cause": "compromise", "subject_ref": "nobody"}
    answer = services[0].call("RotateKey", request, caller="custodian-1")
    assert "SUBJECT_UNKNOWN" == answer.reason


# --- Uses ------------------------------------------------------------------------------


def uses_of(service: VaultService, token: str) -> int:
    return service.database.value(
        "select k.uses from subject_keys as k, tokens as t"
        " where t.token = $1 and k.subject_id = t.subject_id and k.key_version = t.key_version",
        token,
    )


def set_uses(service: VaultService, token: str, uses: int) -> None:
    service.database.execute(
        "update subject_keys set uses = $2 where subject_id ="
        " (select subject_id from tokens where token = $1)",
        token,
        uses,
    )


def test_nonces_are_distinct_and_every_seal_is_charged(
    services: tuple[VaultService, VaultService],
) -> None:
    """Of all envelopes: no nonce twice, no key with more seals than it was charged with."""
    database = services[0].database
    rows = database.fetch("select subject_id, key_version, envelope from tokens")
    nonces = [row["envelope"][33:45] for row in rows]
    assert len(nonces) > 500
    assert len(nonces) == len(set(nonces))
    charged = {
        (row["subject_id"], row["key_version"]): row["uses"]
        for row in database.fetch("select subject_id, key_version, uses from subject_keys")
    }
    sealed: dict[object, int] = {}
    for row in rows:
        name = (row["subject_id"], row["key_version"])
        sealed[name] = sealed.get(name, 0) + 1
    assert all(count <= charged[name] for name, count in sealed.items())


def test_a_key_is_charged_in_blocks_by_each_process(
    services: tuple[VaultService, VaultService],
) -> None:
    first, second = services
    shop = Shop()
    shop.store(first, "counted")
    token = shop.tokens_of("phone")[0]
    assert 1024 == uses_of(first, token)
    for _ in range(3):
        shop.store(first, "counted")
    assert 1024 == uses_of(first, token)
    for _ in range(3):
        shop.store(second, "counted")
    assert 2048 == uses_of(first, token)


def test_a_key_near_its_limit_alarms_and_one_at_it_stops(
    services: tuple[VaultService, VaultService],
) -> None:
    """The value is not stored, the call is told why and recorded; reading goes on."""
    first, second = services
    shop = Shop()
    shop.store(first, "near")
    token = shop.tokens_of("phone")[0]
    set_uses(first, token, ALARM_USES)
    shop.store(second, "near")
    assert "key.near_limit" in second.log.read_text()
    status = second.call("GetKeyStatus", {}, caller="custodian-1").read("GetKeyStatus")
    [subjects] = [key for key in status.keys if key.keys_near_limit]
    assert (1, ALARM_USES + 1024) == (subjects.keys_near_limit, subjects.max_uses)

    set_uses(first, token, MOST_USES - 1023)
    second.stop()  # what it had in reserve goes with it
    second.start()
    counts = second.database.counts()
    with second.recording() as entries:
        answer = second.call("Tokenize", store_request("near"), caller="order")
    assert "KEY_EXHAUSTED" == answer.reason
    assert counts == second.database.counts()
    assert [Reason.KEY_EXHAUSTED] == [entry.reason for entry in entries]
    shop.read(second, [token])


def store_request(ref: str) -> dict[str, object]:
    fields = [{"field_type": "phone", "value": "13800005678"}]
    return {"idempotency_key": new_key(), "subjects": [{"subject_ref": ref, "fields": fields}]}


def versions_of(service: VaultService, tokens: list[str]) -> list[int]:
    rows = service.database.fetch(
        "select token, key_version from tokens where token = any($1)", tokens
    )
    found = {row["token"]: row["key_version"] for row in rows}
    return [found[token] for token in tokens]


def test_single_subjects(services: tuple[VaultService, VaultService]) -> None:
    """Those that are named and no others. A damaged value stays with its key and is counted: its
    job ends as failed. A key that may seal no more is replaced by one that may. Values that are
    back under the old key after the first phase, as a late writer's would be, are sealed anew.
    """
    first, second = services
    shops = {ref: Shop() for ref in ("single", "other", "damaged", "worn", "late")}
    for ref, shop in shops.items():
        shop.store(first, ref)
        shop.store(second, ref)
    [broken, *_], [whole, *_] = (shops["damaged"].tokens_of(kind) for kind in ("phone", "email"))
    envelope = first.database.value("select envelope from tokens where token = $1", broken)
    damaged = envelope[:-1] + bytes((envelope[-1] ^ 1,))
    first.database.execute("update tokens set envelope = $2 where token = $1", broken, damaged)
    second.stop()  # what it had in reserve goes with it
    second.start()
    set_uses(first, shops["worn"].tokens_of("phone")[0], MOST_USES)
    request = store_request("worn")
    assert "KEY_EXHAUSTED" == second.call("Tokenize", request, caller="order").reason

    late = shops["late"].tokens_of("phone")
    written_late = first.database.fetch(
        "select token, key_version, envelope from tokens where token = any($1)", late
    )

    jobs = {
        ref: rotate(first, "SUBJECT", subject_ref=ref).job_id
        for ref in ("single", "damaged", "worn", "late")
    }
    wait_until(lambda: versions_of(first, late) == [2, 2], seconds=30, text="not sealed anew")
    for row in written_late:
        first.database.execute(
            "update tokens set key_version = $2, envelope = $3 where token = $1", *row
        )
    for ref in ("single", "worn", "late"):
        wait_for_job(second, jobs[ref])
    with pytest.raises(AssertionError):
        wait_for_job(second, jobs["damaged"])

    assert [2, 2] == versions_of(second, shops["single"].tokens_of("phone"))
    assert [1, 1] == versions_of(second, shops["other"].tokens_of("phone"))
    assert [1, 2] == versions_of(second, [broken, whole])
    assert [2, 2] == versions_of(second, late)
    # 4 values, and the 2 that came late; keys are charged in blocks, and with what comes late.
    assert 1024 + len(late) == uses_of(second, late[0])
    assert "OK" == second.call("Tokenize", request, caller="order").code
    first.database.execute("update tokens set envelope = $2 where token = $1", broken, envelope)
    for shop in shops.values():
        shop.read(second, shop.tokens_of("phone"))
