"""What auditors find: by each filter, page by page, while others write; and that they looked."""

import datetime as dt
import hashlib
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.calls import RPCS
from tests.support.service import StartService, VaultService, new_key, spiffe_id
from vault.audit.entry import decode, leaf_hash
from vault.crypto.tokens import new_token
from vault.v1 import audit_pb2

_CASE = "order:A-2026-000123"
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass(frozen=True, slots=True)
class Story:
    """A short history: what was done to one subject, at which times, under which handle."""

    service: VaultService
    ref: str
    subject_id: str
    between: dt.datetime


@pytest.fixture(scope="module")
def story(start_service: StartService) -> Iterator[Story]:
    with start_service() as service:
        ref = new_key()
        with service.recording() as entries:
            token = service.tokenize({"phone": "13812345678"}, ref=ref)["phone"]
        items = [{"token": token}]
        delivery = {"purpose": "delivery", "items": items}
        service.call("Detokenize", delivery, caller="shipping")
        time.sleep(0.01)
        between = dt.datetime.now(dt.UTC)
        time.sleep(0.01)
        trace = (("traceparent", f"00-{_TRACE}-00f067aa0ba902b7-01"),)
        about = {**delivery, "case": _CASE}
        service.call("Detokenize", about, caller="shipping", metadata=trace)
        service.call("Detokenize", delivery, caller="support")
        after_sales = {"purpose": "after_sales", "items": items}
        service.call("Detokenize", after_sales, caller="support")
        service.call("Tokenize", b"\x0a\xff", caller="order")
        service.tokenize({"phone": "13887654321"})
        assert entries[0].subject_id is not None
        yield Story(service, ref, entries[0].subject_id.hex, between)


def _list(service: VaultService, **request: Any) -> list[Any]:
    answer = service.call("ListEntries", request, caller="auditor")
    return list(answer.read("ListEntries").entries)


def _is(entry: Any, **parts: object) -> bool:
    return all(getattr(entry, name) == part for name, part in parts.items())


def _filters(story: Story) -> dict[str, tuple[dict[str, Any], Any]]:
    """Name -> request, and what it has to mean, told from the entry alone."""
    stamp = story.between.isoformat()
    shipping = spiffe_id("shipping")

    def verdicts(entry: Any) -> set[int]:
        return {entry.verdict, *(item.verdict for item in entry.items)}

    return {
        "subject_ref": ({"subject_ref": story.ref}, lambda e: _is(e, subject_id=story.subject_id)),
        "subject_id": (
            {"subject_id": story.subject_id},
            lambda e: _is(e, subject_id=story.subject_id),
        ),
        "caller": ({"caller": shipping}, lambda e: _is(e, caller=shipping)),
        "purpose": ({"purpose": "delivery"}, lambda e: _is(e, purpose="delivery")),
        "allowed": ({"verdict": 1}, lambda e: 1 in verdicts(e)),
        "refused": ({"verdict": 2}, lambda e: 2 in verdicts(e)),
        "invalid": ({"verdict": 3}, lambda e: 3 in verdicts(e)),
        "trace_id": ({"trace_id": _TRACE}, lambda e: _is(e, trace_id=_TRACE)),
        "case": ({"case": _CASE}, lambda e: e.case.startswith("order:")),
        "from": ({"from": stamp}, lambda e: e.time.ToDatetime(tzinfo=dt.UTC) >= story.between),
        "until": ({"until": stamp}, lambda e: e.time.ToDatetime(tzinfo=dt.UTC) < story.between),
    }


_NAMES = [
    "subject_ref",
    "subject_id",
    "caller",
    "purpose",
    "allowed",
    "refused",
    "invalid",
    "trace_id",
    "case",
    "from",
    "until",
]
_PAIRS = [
    (one, other)
    for index, one in enumerate(_NAMES)
    for other in _NAMES[index + 1 :]
    if {one, other} != {"subject_ref", "subject_id"}
    and {one, other} != {"from", "until"}
    and not {one, other} <= {"allowed", "refused", "invalid"}
]


def _check(story: Story, *names: str) -> int:
    filters = _filters(story)
    request = {key: value for name in names for key, value in filters[name][0].items()}
    everything = _list(story.service, page_size=500)
    expected = [e.entry_id for e in everything if all(filters[name][1](e) for name in names)]
    # The questions asked meanwhile are newer than `everything`; they may be found as well.
    known = {entry.entry_id for entry in everything}
    found = _list(story.service, page_size=500, **request)
    assert expected == [entry.entry_id for entry in found if entry.entry_id in known], names
    return len(expected)


@pytest.mark.parametrize("name", _NAMES)
def test_each_filter(story: Story, name: str) -> None:
    assert 0 < _check(story, name)


def test_one_entry_by_its_id(story: Story) -> None:
    (entry,) = _list(story.service, trace_id=_TRACE)
    assert [entry] == _list(story.service, entry_id=entry.entry_id)
    assert [] == _list(story.service, entry_id=entry.call_id)
    assert [] == _list(story.service, entry_id=entry.entry_id, purpose="after_sales")


def test_a_case_is_a_random_handle_that_all_its_calls_share(story: Story) -> None:
    service = story.service
    (entry,) = _list(service, case=_CASE)
    kind, _, handle = entry.case.partition(":")
    assert "order" == kind
    assert 4 == uuid.UUID(handle).version
    assert [entry] == _list(service, case_id=handle)
    assert _CASE.encode() not in entry.entry

    values = [
        {"subject_ref": new_key(), "fields": [{"field_type": "phone", "value": "13812345678"}]}
    ]
    request = {"idempotency_key": new_key(), "case": _CASE, "subjects": values}
    assert "OK" == service.call("Tokenize", request, caller="order").code
    # Another tenant's case of the same name is another case.
    service.call("Tokenize", {**request, "idempotency_key": new_key()}, caller="other-order")
    # One that is refused is about it as well.
    after_sales = {"purpose": "after_sales", "items": [{"token": "x"}], "case": _CASE}
    service.call(
        "Detokenize",
        {**after_sales, "items": [{"token": new_token("pho", "demo")}]},
        caller="support",
    )
    assert ["Detokenize", "Tokenize", "Detokenize"] == [
        each.rpc.rpartition("/")[2] for each in _list(service, case=_CASE)
    ]
    handles = service.database.fetch("select case_id, tenant from case_refs")
    assert {"demo-shop", "other-shop"} == {row["tenant"] for row in handles}
    assert 2 == len({row["case_id"] for row in handles})


def test_accesses_are_counted_by_case(story: Story) -> None:
    now = dt.datetime.now(dt.UTC)
    time_range = {
        "from": (now - dt.timedelta(hours=1)).isoformat(),
        "until": (now + dt.timedelta(hours=1)).isoformat(),
    }

    def count(**about: str) -> int:
        answer = story.service.call("GetStats", {**time_range, **about}, caller="auditor")
        return sum(each.entries for each in answer.read("GetStats").counts)

    listed = _list(story.service, case=_CASE)
    assert len(listed) == count(case=_CASE) == count(case_id=listed[0].case.partition(":")[2])
    assert 0 == count(case="order:unheard-of")
    assert len(listed) < count()


def test_filters_combine(story: Story) -> None:
    for pair in _PAIRS:
        _check(story, *pair)
    assert 1 == _check(story, "subject_ref", "caller", "purpose", "allowed", "trace_id", "from")


def test_newest_first_and_whole(story: Story) -> None:
    entries = _list(story.service, page_size=500)
    ids = [entry.entry_id for entry in entries]
    assert sorted(ids, reverse=True) == ids
    times = [entry.time.ToNanoseconds() for entry in entries]
    assert sorted(times, reverse=True) == times
    for entry in entries:
        stored = decode(entry.entry)
        assert stored.entry_id.hex == entry.entry_id
        assert leaf_hash(entry.entry) == entry.leaf_hash
        assert hashlib.sha256(b"\0" + entry.entry).digest() == entry.leaf_hash
        shown = (entry.rpc, entry.caller, entry.purpose, list(entry.roles), entry.field)
        expected = (stored.rpc, stored.caller, stored.purpose, list(stored.roles), stored.field)
        assert expected == shown
        assert len(stored.items) == len(entry.items)
        assert "mtls" == entry.authentication


def test_reading_is_recorded_before_the_answer(story: Story) -> None:
    with story.service.recording() as entries:
        answer = story.service.call("ListEntries", {"subject_ref": story.ref}, caller="auditor")
    (entry,) = entries
    assert RPCS["ListEntries"].name == entry.rpc
    assert spiffe_id("auditor") == entry.caller
    assert entry.subject_id is not None
    assert story.subject_id == entry.subject_id.hex
    assert answer.read("ListEntries").call_id == entry.call_id.hex
    # So the subject's own record says who has read it.
    newest = _list(story.service, subject_ref=story.ref, page_size=1)[0]
    assert RPCS["ListEntries"].name == newest.rpc


def test_times_bound_from_included_until_excluded(story: Story) -> None:
    entries = _list(story.service, trace_id=_TRACE)
    (entry,) = entries
    at = entry.time.ToDatetime(tzinfo=dt.UTC)
    tick = dt.timedelta(microseconds=1)
    assert [entry] == _list(story.service, trace_id=_TRACE, **{"from": at.isoformat()})
    later = {"from": (at + tick).isoformat()}
    assert [] == _list(story.service, trace_id=_TRACE, **later)
    assert [] == _list(story.service, trace_id=_TRACE, until=at.isoformat())
    assert [entry] == _list(story.service, trace_id=_TRACE, until=(at + tick).isoformat())


@pytest.mark.parametrize("page_size", [7, 100, 500])
def test_paging_has_no_gap_and_no_repeat_while_others_write(story: Story, page_size: int) -> None:
    service, target = story.service, 1000
    missing = target - int(service.database.value("select count(*) from audit_entries"))
    for _ in range(max(0, (missing + 99) // 100)):
        values = [
            {"subject_ref": new_key(), "fields": [{"field_type": "phone", "value": "13812345678"}]}
            for _ in range(100)
        ]
        request = {"idempotency_key": new_key(), "subjects": values}
        assert "OK" == service.call("Tokenize", request, caller="order").code
    before = [
        row["entry_id"].hex
        for row in service.database.fetch(
            "select entry_id from audit_entries where tenant = 'demo-shop' order by entry_id desc"
        )
    ]
    assert target <= len(before)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            service.tokenize({"phone": "13812345678"})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        listed: list[str] = []
        token, pages = "", 0
        while len(listed) < 1200 and (token or not pages):
            request = {"page_size": page_size, "page_token": token}
            answer = service.call("ListEntries", request, caller="auditor")
            page: audit_pb2.ListEntriesResponse = answer.read("ListEntries")
            assert page_size >= len(page.entries)
            listed += [entry.entry_id for entry in page.entries]
            token, pages = page.next_page_token, pages + 1
    finally:
        stop.set()
        writer.join()
    assert len(listed) == len(set(listed))
    known = set(before)
    old = [entry_id for entry_id in listed if entry_id in known]
    assert before[: len(old)] == old
    assert min(1000, len(before)) <= len(old)
