"""What the transport itself has to stop: bombs, floods, strangers' methods; and overload."""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.support import calls
from tests.support.calls import RPCS
from tests.support.service import StartService, VaultService, new_key, wait_until
from vault.model import Verdict

_MB = 1_000_000
_GROWTH = 64 * _MB
_LIMIT = 8
"""Calls of one caller at work, at most: half of all places."""


@pytest.fixture(scope="module")
def small(start_service: StartService) -> Iterator[VaultService]:
    """A service that takes few calls at once."""
    with start_service(f"\n[limits]\nin_flight_calls = {2 * _LIMIT}\n") as started:
        started.tokenize({"phone": "13812345678"})  # so that everything is loaded
        yield started


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=str)
def test_compressed_requests_are_refused(
    small: VaultService, compression: grpc.Compression
) -> None:
    """A hundred megabytes of blanks, which are a hundred kilobytes on the wire."""
    before = small.resident_bytes()
    with small.recording() as entries:
        answer = calls.call(
            small.channel("order"), RPCS["Tokenize"].path, b" " * 100 * _MB, compression=compression
        )
    assert "UNIMPLEMENTED" == answer.code
    assert [] == entries
    assert _GROWTH > small.resident_bytes() - before
    assert "SERVING" == small.health()


def test_a_message_of_100_mb_is_refused(small: VaultService) -> None:
    before = small.resident_bytes()
    answer = calls.call(small.channel("order"), RPCS["Tokenize"].path, b" " * 100 * _MB)
    assert answer.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
    assert b"" == answer.data
    assert _GROWTH > small.resident_bytes() - before
    assert _GROWTH > small.peak_bytes() - before
    assert "SERVING" == small.health()


def test_a_million_empty_parts_are_refused(small: VaultService) -> None:
    data = calls.message("Tokenize", {"idempotency_key": new_key()}) + b"\x12\x00" * _MB
    before = small.peak_bytes()
    answer = small.call("Tokenize", data, caller="order")
    assert "TOO_MANY_ITEMS" == answer.reason
    assert _GROWTH > small.peak_bytes() - before


def test_metadata_of_a_megabyte_is_refused(small: VaultService) -> None:
    before = small.resident_bytes()
    for key in ("x-large", "authorization", "traceparent"):
        try:
            answer = small.call("GetBundle", b"", caller="auditor", metadata=((key, "a" * _MB),))
        except ValueError:
            pytest.fail("the client sends it")
        assert answer.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNKNOWN", "INTERNAL")
        assert b"" == answer.data
    assert _GROWTH > small.resident_bytes() - before
    assert "OK" == small.call("GetBundle", b"", caller="auditor").code


@pytest.mark.parametrize(
    "path",
    [
        "/vault.v1.TokenService/DropEverything",
        "/vault.v1.AuditService/DeleteEntries",
        "/vault.v1.KeyService/Export",
        "/vault.v1.tokenservice/Detokenize",
        "/vault.v1.TokenService/detokenize",
        "/vault.v1.TokenService//Detokenize",
        "/vault.v1.TokenService/Detokenize/",
        "/",
    ],
)
def test_unknown_methods(small: VaultService, path: str) -> None:
    answer = calls.call(small.channel("order"), path, b"")
    assert "UNIMPLEMENTED" == answer.code
    assert "OK" == small.call("GetBundle", b"", caller="auditor").code


def test_a_stream_where_one_message_belongs(small: VaultService) -> None:
    method = small.channel("order").stream_unary(
        RPCS["Tokenize"].path, request_serializer=None, response_deserializer=None
    )
    for count in (0, 2, 1000):
        with pytest.raises(grpc.RpcError) as caught:
            method(iter([b"x"] * count), timeout=2)
        assert caught.value.code() is not grpc.StatusCode.OK
    assert "OK" == small.call("GetBundle", b"", caller="auditor").code


def _detokenize(service: VaultService) -> tuple[str, bytes]:
    token = service.tokenize({"phone": "13812345678"})["phone"]
    request = {"purpose": "delivery", "items": [{"token": token}]}
    return RPCS["Detokenize"].path, calls.message("Detokenize", request)


def _at_once(spans: list[dict[str, Any]]) -> int:
    """The most calls that were past admission at the same time: those that loaded rows."""
    admitted = {span["parent_id"] for span in spans if span["name"] == "load"}
    edges: list[tuple[int, int]] = []
    for span in spans:
        if span["span_id"] in admitted:
            edges += [(span["start_ns"], 1), (span["end_ns"], -1)]
    most = now = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


def test_five_waves_never_exceed_the_limit(small: VaultService) -> None:
    path, data = _detokenize(small)
    channel = small.channel("shipping")
    for _ in range(5):
        with small.recording() as entries:
            futures = [calls.begin(channel, path, data) for _ in range(10 * _LIMIT)]
            answers = [calls.end(future) for future in futures]
        codes = Counter((answer.code, answer.reason) for answer in answers)
        assert {("OK", ""), ("RESOURCE_EXHAUSTED", "OVERLOADED")} >= set(codes)
        assert _LIMIT <= codes["OK", ""]
        assert all(answer.retry_ms for answer in answers if answer.code != "OK")
        # Those that were turned away have their entry, too.
        assert 10 * _LIMIT == len(entries)
        refused = [entry for entry in entries if entry.reason.name == "OVERLOADED"]
        assert codes["RESOURCE_EXHAUSTED", "OVERLOADED"] == len(refused)
        assert {Verdict.FAILED} >= {entry.verdict for entry in refused}
    time.sleep(1.5)  # spans are written behind the calls
    assert 1 <= _at_once(small.spans()) <= _LIMIT


def test_work_gets_done_under_lasting_overload(small: VaultService) -> None:
    """Clients that come back at once, six times as many as the limit: some are always served."""
    path, data = _detokenize(small)
    channel = small.channel("shipping")
    end = time.monotonic() + 4
    counts: Counter[str] = Counter()
    futures = [calls.begin(channel, path, data) for _ in range(6 * _LIMIT)]
    while futures:
        future = futures.pop(0)
        counts[calls.end(future).code] += 1
        if time.monotonic() < end:
            futures.append(calls.begin(channel, path, data))
    assert {"OK", "RESOURCE_EXHAUSTED"} >= set(counts)
    # A refusal costs less than an answer; a service that only refuses serves a few hundredths.
    assert counts["OK"] > 0.1 * counts.total(), counts
    assert 300 < counts["OK"], counts


def test_a_greedy_caller_leaves_room(small: VaultService) -> None:
    """While one caller has all that it may have at work, another's calls are let in."""
    path, data = _detokenize(small)
    large = calls.message(
        "Tokenize",
        {
            "idempotency_key": new_key(),
            "subjects": [
                {
                    "subject_ref": new_key(),
                    "fields": [{"field_type": "phone", "value": "13812345678"}] * 50,
                }
                for _ in range(10)
            ],
        },
    )
    small.database.execute("begin")
    small.database.execute("lock table audit_entries in share row exclusive mode")
    try:
        greedy = small.channel("order")
        big = [calls.begin(greedy, RPCS["Tokenize"].path, large) for _ in range(4 * _LIMIT)]
        time.sleep(1)
        served = [calls.begin(small.channel("shipping"), path, data) for _ in range(_LIMIT // 2)]
        time.sleep(0.5)
    finally:
        small.database.execute("rollback")
    assert {"OK"} == {calls.end(future).code for future in served}
    assert {"OK", "RESOURCE_EXHAUSTED"} == {calls.end(future).code for future in big}


def test_calls_that_were_turned_away_keep_nobody_out(small: VaultService) -> None:
    """While the log is slow, those who only wait for the entry of their refusal take no place."""
    path, data = _detokenize(small)
    small.database.execute("begin")
    small.database.execute("lock table audit_entries in share row exclusive mode")
    try:
        stranger = small.channel("stranger")
        refused = [calls.begin(stranger, path, data) for _ in range(3 * _LIMIT)]
        time.sleep(0.5)
        served = [calls.begin(small.channel("shipping"), path, data) for _ in range(_LIMIT)]
        time.sleep(0.5)
    finally:
        small.database.execute("rollback")
    assert {"CALLER_UNKNOWN"} == {calls.end(future).reason for future in refused}
    assert {"OK"} == {calls.end(future).code for future in served}


def test_deadlines_and_cancellations_leave_entries(small: VaultService) -> None:
    path, data = _detokenize(small)
    with small.recording() as entries:
        future = calls.begin(small.channel("shipping"), path, data)
        future.cancel()
        late = calls.call(small.channel("shipping"), path, data, timeout=0.000_1)
        assert "DEADLINE_EXCEEDED" == late.code
        time.sleep(0.5)
    # What reached the service is recorded; that a value was revealed, only if one may have left.
    assert 2 >= len(entries)
    for entry in entries:
        assert entry.verdict in (Verdict.FAILED, Verdict.ALLOWED)


def test_many_connections_that_say_nothing(small: VaultService) -> None:
    sockets = [socket.create_connection(("127.0.0.1", small.port)) for _ in range(200)]
    try:
        for each in sockets[:100]:
            each.sendall(b"\x16\x03\x01\xff\xff")  # a TLS record that never ends
        assert "OK" == small.call("GetBundle", b"", caller="auditor").code
    finally:
        for each in sockets:
            each.close()
    wait_until(lambda: small.health() == "SERVING", seconds=5, text="serving again")
