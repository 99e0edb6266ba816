"""What belongs to another tenant, row, column or subject is not there, or does not open."""

# ruff: noqa: S608 - statements of names of our own

import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import calls
from tests.support.calls import RPCS, Answer
from tests.support.rpc_cases import VALUES, Seeds, seed
from tests.support.service import StartService, VaultService, new_key
from vault.crypto.tokens import new_token
from vault.model import Verdict
from vault.v1 import types_pb2

_SERVES = {
    "demo": {"order": "refund", "shipping": "delivery", "support": "after_sales"},
    "other": {"other-order": "refund", "other-shipping": "delivery"},
}
"""Tenant -> caller -> a purpose that its role serves."""
_OTHER = {"demo": "other", "other": "demo"}


@pytest.fixture(scope="module")
def seeds(service: VaultService) -> Seeds:
    return seed(service)


def _detokenize(
    service: VaultService,
    caller: str,
    purpose: str,
    *tokens: str,
    view: int = 0,
    whole: bool = False,
) -> Answer:
    items = [{"token": token, "view": view} for token in tokens]
    request = {"purpose": purpose, "items": items, "all_or_nothing": whole}
    return service.call("Detokenize", request, caller=caller)


def _anonymous(rpc: str, answer: Answer) -> bytes:
    """An answer's bytes without its call id."""
    if answer.code == "OK":
        return answer.data.replace(answer.read(rpc).call_id.encode(), b"")
    assert answer.status is not None
    return answer.status.SerializeToString().replace(answer.call_id.encode(), b"")


_MATRIX = [
    (tenant, caller, purpose, field_type, view, whole)
    for tenant, callers in _SERVES.items()
    for caller, purpose in callers.items()
    for field_type, view, whole in itertools.product(VALUES, range(5), (False, True))
]


def test_another_tenants_token_is_an_unknown_token(service: VaultService, seeds: Seeds) -> None:
    """Every caller, field type and view, item by item and all or nothing: the same bytes."""
    with service.recording() as entries:
        for tenant, caller, purpose, field_type, view, whole in _MATRIX:
            foreign = seeds.tokens[_OTHER[tenant]][field_type]
            unknown = new_token(foreign.partition("_")[0], "demo")
            answers = [
                _detokenize(service, caller, purpose, token, view=view, whole=whole)
                for token in (foreign, unknown)
            ]
            shown = [_anonymous("Detokenize", answer) for answer in answers]
            assert shown[0] == shown[1], (tenant, caller, field_type, view)
            expected = "TOKEN_UNKNOWN" if whole else ""
            assert expected == answers[0].reason
    assert 2 * len(_MATRIX) == len(entries)
    # The log says it alike, too: no subject, no field type.
    assert {(None, "", Verdict.REFUSED)} == {
        (entry.subject_id, item.field_type, item.verdict)
        for entry in entries
        for item in entry.items
    }


def test_all_other_tenants_tokens_in_one_call(service: VaultService, seeds: Seeds) -> None:
    for tenant, callers in _SERVES.items():
        for caller, purpose in callers.items():
            tokens = list(seeds.tokens[_OTHER[tenant]].values()) * 100
            answer = _detokenize(service, caller, purpose, *tokens)
            items = answer.read("Detokenize").items
            assert {(types_pb2.VERDICT_REFUSED, types_pb2.REASON_TOKEN_UNKNOWN, "")} == {
                (item.verdict, item.reason, item.value) for item in items
            }


def test_another_tenants_token_takes_as_long_as_an_unknown_one(
    service: VaultService, seeds: Seeds
) -> None:
    foreign = seeds.tokens["other"]["phone"]
    times: dict[str, list[float]] = {"foreign": [], "unknown": []}
    for _ in range(200):
        for kind, taken in times.items():
            token = foreign if kind == "foreign" else new_token("pho", "demo")
            began = time.perf_counter()
            _detokenize(service, "shipping", "delivery", token)
            taken.append(time.perf_counter() - began)
    one, other = (statistics.median(each) for each in times.values())
    # A trip to Transit or the opening of a value would show as half a millisecond and more.
    assert abs(one - other) < max(0.25 * other, 0.000_5), (one, other)


def test_the_same_reference_of_two_tenants_is_two_subjects(service: VaultService) -> None:
    ref = new_key()
    with service.recording() as entries:
        for caller in ("order", "other-order"):
            service.tokenize({"phone": VALUES["phone"]}, caller=caller, ref=ref)
    assert 2 == len({entry.subject_id for entry in entries})


def test_auditors_see_only_their_own_tenant(service: VaultService, seeds: Seeds) -> None:
    for caller, tenant in (("auditor", "demo"), ("other-auditor", "other")):
        listed = service.call("ListEntries", {"page_size": 500}, caller=caller).read("ListEntries")
        assert {f"{tenant}-shop"} == {entry.tenant for entry in listed.entries} - {""}
        foreign = seeds.subjects[_OTHER[tenant]]
        for request in (
            {"subject_id": foreign},
            {"subject_ref": f"seed-{_OTHER[tenant]}"},
        ):
            answer = service.call("ListEntries", request, caller=caller)
            found = answer.read("ListEntries").entries
            # What it finds are its own questions about that handle, nothing of the other tenant.
            assert {f"{tenant}-shop"} >= {entry.tenant for entry in found}
            assert {RPCS["ListEntries"].name} >= {entry.rpc for entry in found}


def test_page_tokens_are_of_one_tenant_and_one_query(service: VaultService) -> None:
    page = service.call("ListEntries", {"page_size": 1}, caller="auditor").read("ListEntries")
    token = page.next_page_token
    assert token
    again = {"page_size": 1, "page_token": token}
    assert "OK" == service.call("ListEntries", again, caller="auditor").code
    with service.recording() as entries:
        foreign = service.call("ListEntries", again, caller="other-auditor")
        other_query = service.call(
            "ListEntries", {**again, "purpose": "delivery"}, caller="auditor"
        )
    for answer in (foreign, other_query):
        assert ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID") == (answer.code, answer.reason)
        assert "page_token" == answer.field
    assert ["page_token"] * 2 == [entry.field for entry in entries]


# --- Rows that somebody with the database in hand has moved ---------------------------------


@pytest.fixture(scope="module")
def fresh(start_service: StartService) -> Iterator[VaultService]:
    """A service that keeps one key in memory, so that it is easily made to read the stored ones."""
    with start_service("\n[cache]\nmax_entries = 1\n") as started:
        yield started


@pytest.fixture
def victims(fresh: VaultService) -> Iterator[dict[str, str]]:
    """Tokens of two subjects of one tenant and one of the other; all rows are put back."""
    tokens = {
        "phone": fresh.tokenize({"phone": "13812345678"}, ref="one")["phone"],
        "name": fresh.tokenize({"person_name": "张三"}, ref="one")["person_name"],
        "second": fresh.tokenize({"phone": "13887654321"}, ref="two")["phone"],
        "foreign": fresh.tokenize({"phone": "13800000000"}, ref="one", caller="other-order")[
            "phone"
        ],
    }
    for table in ("tokens", "subject_keys"):
        fresh.database.execute(f"create table kept_{table} as select * from {table}")
    yield tokens
    _restore(fresh)
    for table in ("tokens", "subject_keys"):
        fresh.database.execute(f"drop table kept_{table}")


_TAMPERINGS = yaml.safe_load(Path(__file__).with_name("tamperings.yaml").read_text())
_OF_KEY = "where subject_id = (select subject_id from tokens where token = $1)"


def _restore(service: VaultService) -> None:
    for table in ("tokens", "subject_keys"):
        service.database.execute(f"delete from {table}")
        service.database.execute(f"insert into {table} select * from kept_{table}")


def test_every_tampering_is_data_corrupt_and_looks_alike(
    fresh: VaultService, victims: dict[str, str]
) -> None:
    shown: dict[str, bytes] = {}
    token = victims["phone"]
    for name, tampering in _TAMPERINGS.items():
        arguments = [token, *(victims[s] for s in [tampering.get("source")] if s)]
        _detokenize(fresh, "shipping", "delivery", victims["second"])
        fresh.database.execute(tampering["sql"].replace("of_key", _OF_KEY), *arguments)
        with fresh.recording() as entries:
            answer = _detokenize(fresh, "shipping", "delivery", token, victims["second"])
            whole = _detokenize(fresh, "shipping", "delivery", token, whole=True)
        _restore(fresh)
        bad, good = answer.read("Detokenize").items
        expected = (types_pb2.VERDICT_FAILED, types_pb2.REASON_DATA_CORRUPT, "")
        assert expected == (bad.verdict, bad.reason, bad.value), name
        assert ("13887654321", types_pb2.VERDICT_ALLOWED) == (good.value, good.verdict), name
        assert ("DATA_LOSS", "DATA_CORRUPT") == (whole.code, whole.reason), name
        failed = [i for e in entries for i in e.items if i.verdict is Verdict.FAILED]
        assert 2 == len(failed), name
        shown[name] = _anonymous("Detokenize", answer) + _anonymous("Detokenize", whole)
    assert 1 == len(set(shown.values())), shown
    assert "13812345678" in str(
        _detokenize(fresh, "shipping", "delivery", token).read("Detokenize")
    )


def test_a_row_given_to_another_tenant_does_not_open_there(
    fresh: VaultService, victims: dict[str, str]
) -> None:
    """Row, key and handle, all relabelled: Transit's context still knows whose they are."""
    token = victims["phone"]
    _detokenize(fresh, "shipping", "delivery", victims["second"])
    fresh.database.execute(f"update subject_keys set tenant = 'other-shop' {_OF_KEY}", token)
    fresh.database.execute("update tokens set tenant = 'other-shop' where token = $1", token)
    answer = _detokenize(fresh, "other-shipping", "delivery", token)
    (item,) = answer.read("Detokenize").items
    assert (types_pb2.VERDICT_FAILED, "") == (item.verdict, item.value)
    (item,) = _detokenize(fresh, "shipping", "delivery", token).read("Detokenize").items
    assert types_pb2.REASON_TOKEN_UNKNOWN == item.reason


def test_a_raw_client_gets_no_more(service: VaultService, seeds: Seeds) -> None:
    """Fields that name a tenant or a role do not exist: they are refused, not ignored."""
    made = calls.message(
        "Detokenize", {"purpose": "delivery", "items": [{"token": seeds.tokens["other"]["phone"]}]}
    )
    tenant = b"\x7a\x0aother-shop"  # field 15
    answer = service.call("Detokenize", made + tenant, caller="shipping")
    assert "FIELD_UNKNOWN" == answer.reason
    metadata = (("x-tenant", "other-shop"), ("tenant", "other-shop"), ("x-roles", "auditor"))
    answer = service.call("Detokenize", made, caller="shipping", metadata=metadata)
    (item,) = answer.read("Detokenize").items
    assert types_pb2.REASON_TOKEN_UNKNOWN == item.reason
