"""Health follows what the service needs; one call's spans tell the whole of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import calls
from tests.support.calls import RPCS, Answer
from tests.support.service import StartService, VaultService, wait_until

_VALUE = "13812345678"


@pytest.fixture(scope="module")
def own(start_service: StartService) -> Iterator[VaultService]:
    with start_service() as started:
        yield started


def _detokenize(service: VaultService, token: str, **more: Any) -> Answer:
    request = {"purpose": "delivery", "items": [{"token": token}]}
    return service.call("Detokenize", request, caller="shipping", **more)


def test_every_service_is_healthy(own: VaultService) -> None:
    for service in (
        "",
        "TokenService",
        "AuditService",
        "PolicyService",
        "KeyService",
        "SubjectService",
    ):
        name = service and f"vault.v1.{service}"
        assert "SERVING" == own.health(name)
    assert "NOT_FOUND" == own.health("vault.v1.OtherService")


def test_without_the_right_to_record_no_value_leaves(own: VaultService) -> None:
    token = own.tokenize({"phone": _VALUE})["phone"]
    assert "OK" == _detokenize(own, token).code
    before = own.database.counts()
    own.database.execute("revoke insert on audit_entries from pdvault_service")
    try:
        answers = [_detokenize(own, token) for _ in range(5)]
        request = {
            "idempotency_key": "0123456789abcdef-revoked",
            "subjects": [
                {"subject_ref": "r", "fields": [{"field_type": "phone", "value": _VALUE}]}
            ],
        }
        answers.append(own.call("Tokenize", request, caller="order"))
        # Nor does an answer by rule, which nobody could later find.
        answers.append(own.call("Tokenize", b"\x0a\xff", caller="order"))
        answers.append(own.call("GetBundle", b"", caller="stranger"))
        answers.append(own.call("ListEntries", {}, caller="auditor"))
        answers.append(own.call("GetBundle", b"", caller="auditor"))
        answers.append(own.call("ReloadBundle", b"", caller="policy-owner"))
        for answer in answers:
            assert ("UNAVAILABLE", "AUDIT_UNAVAILABLE") == (answer.code, answer.reason)
            assert answer.retry_ms
            assert b"" == answer.data
            assert _VALUE not in str((answer.text, answer.status, answer.trailers))
        after = own.database.counts()
        assert (before["tokens"], before["writes"]) == (after["tokens"], after["writes"])
        wait_until(lambda: own.health() == "NOT_SERVING", seconds=5, text="not serving")
        assert "NOT_SERVING" == own.health("vault.v1.TokenService")
    finally:
        own.database.execute("grant insert on audit_entries to pdvault_service")
    wait_until(lambda: own.health() == "SERVING", seconds=10, text="serving again")
    answer = _detokenize(own, token)
    assert _VALUE == answer.read("Detokenize").items[0].value
    assert "OK" == own.call("Tokenize", request, caller="order").code


_TRACE, _PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_one_calls_span_tree(own: VaultService) -> None:
    token = own.tokenize({"phone": _VALUE})["phone"]
    own.stop()
    own.start()  # so that the key is in nobody's memory, and the call makes every trip
    metadata = (("traceparent", f"00-{_TRACE}-{_PARENT}-01"),)
    with own.recording() as entries:
        answer = _detokenize(own, token, metadata=metadata)
    assert "OK" == answer.code
    (entry,) = entries

    def spans() -> list[dict[str, Any]]:
        return [span for span in own.spans() if span["trace_id"] == _TRACE]

    wait_until(lambda: len(spans()) >= 11, seconds=5, text="the spans of the call")
    by_id = {span["span_id"]: span for span in spans()}
    (call,) = [span for span in spans() if span["parent_id"] == _PARENT]
    assert ("vault.v1.TokenService/Detokenize", "SERVER") == (call["name"], call["kind"])
    # The entry has the trace's id and the call's span, the span the entry's id.
    assert (_TRACE, call["span_id"]) == (entry.trace_id.hex(), entry.span_id.hex())
    attributes = call["attributes"]
    assert (entry.entry_id.hex,) == attributes["pdvault.entry.ids"]
    assert entry.call_id.hex == attributes["pdvault.call.id"]
    assert "delivery" == attributes["pdvault.purpose"]
    assert (1, 1) == (attributes["pdvault.items"], attributes["pdvault.items.allowed"])
    assert "OK" == attributes["rpc.response.status_code"]
    # Each stage is a child of the call, in the order of the request path.
    stages = [span for span in spans() if span["parent_id"] == call["span_id"]]
    names = [span["name"] for span in sorted(stages, key=lambda span: span["start_ns"])]
    expected = ["identify", "decode", "load", "policy", "unwrap", "open", "audit", "reply"]
    assert expected == names
    # Each trip, made for this call alone, is a child of the stage that waited for it.
    trips = {
        span["name"]: by_id[span["parent_id"]]["name"]
        for span in spans()
        if span["parent_id"] in {stage["span_id"] for stage in stages}
    }
    assert {
        "postgres.load": "load",
        "transit.unwrap": "unwrap",
        "postgres.commit": "audit",
    } == trips
    for span in spans():
        assert call["start_ns"] <= span["start_ns"] <= span["end_ns"] <= call["end_ns"] + 1_000_000
        assert not span["error"]
        assert _VALUE not in str(span)
        assert token not in str(span)


def test_shared_trips_are_linked_with_each_call(own: VaultService) -> None:
    token = own.tokenize({"phone": _VALUE})["phone"]
    data = calls.message("Detokenize", {"purpose": "delivery", "items": [{"token": token}]})
    channel = own.channel("shipping")
    _detokenize(own, token)
    futures = [calls.begin(channel, RPCS["Detokenize"].path, data) for _ in range(60)]
    assert {"OK"} == {calls.end(future).code for future in futures}

    def shared() -> list[dict[str, Any]]:
        return [s for s in own.spans() if s["attributes"].get("pdvault.trip.calls", 0) > 1]

    def finished() -> dict[str, dict[str, Any]]:
        return {span["span_id"]: span for span in own.spans()}

    def is_whole() -> bool:
        """Some trip was shared, and the spans of all that it served are written as well."""
        known = finished()
        served = [stage_id for trip in shared() for _, stage_id in trip["links"]]
        return bool(served) and all(stage_id in known for stage_id in served)

    wait_until(is_whole, seconds=5, text="a trip that several calls shared")
    by_id = finished()
    for trip in shared():
        assert trip["parent_id"] is None
        assert trip["attributes"]["pdvault.trip.calls"] == len(trip["links"])
        for _, stage_id in trip["links"]:
            assert (trip["trace_id"], trip["span_id"]) in by_id[stage_id]["links"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-0-0-01",
        f"00-{'0' * 32}-{_PARENT}-01",
        f"00-{_TRACE}-{'0' * 16}-01",
        f"ff-{_TRACE}-{_PARENT}-01",
        f"00-{_TRACE.upper()}-{_PARENT}-01",
        f"00-{_TRACE}-{_PARENT}-01-more",
        "x" * 5000,
    ],
)
def test_a_traceparent_that_is_none_begins_a_new_trace(own: VaultService, header: str) -> None:
    with own.recording() as entries:
        answer = own.call("GetBundle", b"", caller="auditor", metadata=(("traceparent", header),))
    assert "OK" == answer.code
    assert entries[0].trace_id.hex() not in (_TRACE, "0" * 32)
