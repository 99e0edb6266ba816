"""Spans from a trace store, over real HTTP: as good as from the span file, and bounded."""

import datetime as dt
import json
import time
from pathlib import Path

import pytest

from tests.support.trace_store import SLOW_S, TraceStoreProcess
from vault.cli.output import USAGE, CommandError
from vault.cli.trace_store import TraceStore
from vault.embedded.certificates import SERVER, Leaf, issue, make_authority
from vault.telemetry.otlp_json import NoTraceError, read_otlp_json
from vault.telemetry.span_file import StoredSpan, read_spans

TRACE, TRIP_TRACE, OTHER = "1" * 32, "2" * 32, "3" * 32


def span(trace_id: str, span_id: int, parent: int | None = None, **more: object) -> dict:
    return {
        "trace_id": trace_id,
        "span_id": f"{span_id:016x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "name": f"span {span_id}",
        "kind": "INTERNAL",
        "start_ns": 1_700_000_000_000_000_000 + span_id,
        "end_ns": 1_700_000_000_000_000_100 + span_id,
        "error": False,
        "attributes": {},
        "links": [],
        **more,
    }


@pytest.fixture
def span_file(tmp_path) -> Path:
    spans = [
        span(TRACE, 1, kind="SERVER", attributes={"pdvault.items": 3, "pdvault.ids": ["a", "b"]}),
        span(TRACE, 2, 1, links=[[TRIP_TRACE, f"{9:016x}"]], error=True),
        span(TRIP_TRACE, 9, kind="CLIENT", links=[[TRACE, f"{2:016x}"], [OTHER, f"{4:016x}"]]),
        span(TRIP_TRACE, 10, 9),
        span(OTHER, 4),
    ]
    path = tmp_path / "spans.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in spans))
    return path


def asked(address: str, trace_id: str = TRACE, *, seconds: float = 10) -> list[StoredSpan]:
    return TraceStore(address, ca_file=None, seconds=seconds).spans(trace_id)


@pytest.mark.parametrize("style", ["jaeger", "tempo"])
def test_a_store_gives_what_the_span_file_gives(style, span_file):
    expected = read_spans(span_file, TRACE)
    assert 3 == len(expected)
    with TraceStoreProcess(style, span_file) as store:
        assert expected == asked(store.address)
        assert expected == asked(f"{store.address}/")
        assert [] == asked(store.address, "f" * 32)


def test_over_tls_only_with_its_own_ca(span_file, tmp_path):
    now = dt.datetime.now(dt.UTC)
    hour = dt.timedelta(hours=1)
    authority, other = (
        make_authority(name, not_before=now - hour, not_after=now + hour)
        for name in ("a.example", "b.example")
    )
    leaf = issue(
        Leaf(
            "store",
            now - hour,
            now + hour,
            addresses=("127.0.0.1",),
            usages=(SERVER,),
        ),
        authority,
    )
    files = {
        "key": leaf.key_pem,
        "crt": leaf.certificate_pem,
        "ca": authority.certificate_pem,
        "other": other.certificate_pem,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with TraceStoreProcess("jaeger", span_file, (tmp_path / "key", tmp_path / "crt")) as store:
        trusting = TraceStore(store.address, ca_file=tmp_path / "ca", seconds=10)
        assert 3 == len(trusting.spans(TRACE))
        for ca_file in (tmp_path / "other", None):
            with pytest.raises(CommandError, match="not trusted") as caught:
                TraceStore(store.address, ca_file=ca_file, seconds=10).spans(TRACE)
            assert "--trace-store-ca" in caught.value.hint


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("fault", "answered 500"),
        ("redirect", "answered 302"),
        ("huge", "more than 32 MiB"),
        ("page", "not JSON"),
        ("legacy", "not a trace in OTLP"),
    ],
)
def test_what_is_no_trace_is_named(style, text, span_file):
    with TraceStoreProcess(style, span_file) as store:
        with pytest.raises(CommandError, match=text) as caught:
            asked(store.address)
        assert f"127.0.0.1:{store.port}" in caught.value.text


def test_a_slow_store_is_not_waited_for(span_file):
    with TraceStoreProcess("slow", span_file) as store:
        start = time.monotonic()
        with pytest.raises(CommandError, match="did not answer in time"):
            asked(store.address, seconds=0.3)
        assert SLOW_S > time.monotonic() - start
        address = store.address
    with pytest.raises(CommandError, match="ConnectionRefusedError"):
        asked(address)


@pytest.mark.parametrize(
    "address",
    ["jaeger:16686", "ftp://x", "http://", "http://a:b@x", "http://x?y", "http://x:0", "http://[x"],
)
def test_addresses_that_are_none(address):
    with pytest.raises(CommandError) as caught:
        TraceStore(address, ca_file=None, seconds=1)
    assert USAGE == caught.value.code


def test_a_ca_file_that_is_none(tmp_path):
    (tmp_path / "ca").write_text("no certificate")
    for address in ("https://x", "http://x"):
        with pytest.raises(CommandError):
            TraceStore(address, ca_file=tmp_path / "ca", seconds=1)


def test_spans_out_of_form_are_passed_over():
    good = {
        "traceId": TRACE,
        "spanId": "0" * 15 + "1",
        "name": "x",
        "startTimeUnixNano": 1,
        "endTimeUnixNano": "2",
        "status": None,
        "attributes": [{"key": "a", "value": {"boolValue": True}}, {"key": "b"}],
    }
    bad = [
        None,
        [],
        "x",
        {**good, "traceId": "1"},
        {**good, "spanId": "!" * 12},
        {**good, "spanId": 7},
        {**good, "startTimeUnixNano": "soon"},
        {**good, "kind": 99},
        {**good, "links": [{"traceId": TRACE}]},
        {**good, "attributes": [3]},
    ]
    document = {"trace": {"resourceSpans": [None, {"scopeSpans": [{"spans": [good, *bad]}, 3]}]}}
    (found,) = read_otlp_json(json.dumps(document).encode())
    assert ("x", "UNSPECIFIED", 1, 2, {"a": True, "b": ""}) == (
        found.name,
        found.kind,
        found.start_ns,
        found.end_ns,
        found.attributes,
    )
    lines = (json.dumps(document) + "\n") * 2
    assert 2 == len(read_otlp_json(lines.encode()))
    for data in (b"", b"[]", b'{"resourceSpans": 3}', b"[" * 100_000, b"\xff"):
        if data:
            with pytest.raises(NoTraceError):
                read_otlp_json(data)
