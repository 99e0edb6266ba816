"""Bytes to messages: each fault by its own name, and no fault that takes long to name."""

import time

import pytest

from vault.errors import Reason, VaultError
from vault.rpc.wire import decode, group_depth
from vault.v1 import tokens_pb2

_LIMIT = 2 * 1024 * 1024


def _fault(data: bytes) -> tuple[Reason, str]:
    with pytest.raises(VaultError) as caught:
        decode(data, tokens_pb2.TokenizeRequest, max_bytes=_LIMIT)
    return caught.value.reason, caught.value.violations[0].field


def _request() -> tokens_pb2.TokenizeRequest:
    request = tokens_pb2.TokenizeRequest(idempotency_key="key")
    for number in range(2):
        subject = request.subjects.add(subject_ref=f"ref-{number}")
        subject.fields.add(field_type="phone", value="PLACEHOLDER")
        subject.fields.add(field_type="email", value="other")
    return request


def test_a_sound_request_is_read() -> None:
    request = _request()
    assert request == decode(request.SerializeToString(), type(request), max_bytes=_LIMIT)


@pytest.mark.parametrize(
    "bad", [b"\xc3(", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80"], ids=bytes.hex
)
def test_text_that_is_not_utf8_is_named(bad: bytes) -> None:
    request = _request()
    request.subjects[1].fields[0].value = "#" * 8
    data = request.SerializeToString().replace(b"#" * 8, bad.ljust(8, b"x"))
    assert (Reason.FIELD_INVALID, "subjects[1].fields[0].value") == _fault(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("0a03", (Reason.REQUEST_MALFORMED, "request")),
        ("00", (Reason.REQUEST_MALFORMED, "request")),
        ("7b7c", (Reason.FIELD_UNKNOWN, "request")),
        ("7b" * 16 + "7c" * 16, (Reason.FIELD_UNKNOWN, "request")),
        ("7b" * 17 + "7c" * 17, (Reason.REQUEST_TOO_DEEP, "request")),
        ("7b" * 500, (Reason.REQUEST_TOO_DEEP, "request")),
        ("0801", (Reason.FIELD_UNKNOWN, "request")),
        ("12021801", (Reason.FIELD_UNKNOWN, "request.subjects[0]")),
        ("1200120412021801", (Reason.FIELD_UNKNOWN, "request.subjects[1].fields[0]")),
    ],
)
def test_faults_have_their_names(data: str, expected: tuple[Reason, str]) -> None:
    assert expected == _fault(bytes.fromhex(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * _LIMIT,
        b"\x7b" * _LIMIT,
        b"\x78\x00" * (_LIMIT // 2 - 1) + b"\xff",
        b"\x78\x00" * (_LIMIT // 2),
        b"\x12\x00" * (_LIMIT // 2 - 1) + b"\x78\x00",
        b"\x12\xc8\x01" + b"\x12\x00" * 100 + b"\x78\x00",
    ],
    ids=["endless number", "groups", "many then bad", "unknown", "empty then unknown", "nested"],
)
def test_no_fault_keeps_the_event_loop(data: bytes) -> None:
    began = time.perf_counter()
    _fault(data)
    assert 0.5 > time.perf_counter() - began


def test_group_depth_counts_what_is_open_at_once() -> None:
    assert 0 == group_depth(b"")
    assert 1 == group_depth(bytes.fromhex("7b7c7b7c"))
    assert 2 == group_depth(bytes.fromhex("7b7b7c7c"))
