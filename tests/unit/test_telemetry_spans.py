"""Records become one tree, and nothing that is not on the allow-list gets out."""

import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from vault.errors import Reason
from vault.telemetry import Telemetry, names
from vault.telemetry.export import SpanPipeline
from vault.telemetry.kinds import Vocabulary
from vault.telemetry.otlp import EndpointError, OtlpChannel
from vault.telemetry.otlp_encode import encode
from vault.telemetry.pace import Pace
from vault.telemetry.span_file import SpanFile, line_of, read_spans, span_tree
from vault.telemetry.spans import AttributeRefusedError, SpanBuilder
from vault.telemetry.trace import CallTrace, IdSource, Tracer, TripTrace, current_call

CANARY = "canary-13800138000"
WORDS = Vocabulary(
    purposes=frozenset({"delivery"}),
    policies=frozenset({"shipping-delivery"}),
    tenants=frozenset({"demo-shop"}),
)


class Ticks:
    """A clock that moves on by 10 each time somebody looks."""

    def __init__(self) -> None:
        self.at = 0

    def __call__(self) -> int:
        self.at += 10
        return self.at


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.dropped: dict[str, int] = {}
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> None:
        self.spans += spans

    def close(self, deadline: float) -> None:
        pass


def tracer(records: list[CallTrace | TripTrace]) -> Tracer:
    return Tracer(records.append, unix_ns=lambda: 1_000_000, now=Ticks())


def builder(*, strict: bool = True) -> SpanBuilder:
    return SpanBuilder(
        resource=Resource({"service.name": "pdvault"}),
        version="1",
        words=lambda: WORDS,
        trip_attributes={},
        strict=strict,
    )


def spans_of(source: SpanBuilder, record: CallTrace | TripTrace) -> list[ReadableSpan]:
    return source.build(source.judge(record))


def test_marks_become_children_that_follow_each_other():
    records: list[CallTrace | TripTrace] = []
    call = tracer(records).call(names.RPC_DETOKENIZE)  # starts at 10
    call.mark("decode")  # 20
    call.mark("load")  # 30
    call.finish(0)  # 40
    call.finish(13)
    assert [call] == records

    root, decode, load = spans_of(builder(), call)

    assert root.kind == SpanKind.SERVER
    assert root.status.status_code == StatusCode.UNSET
    assert (root.start_time, root.end_time) == (1_000_000, 1_000_030)
    assert (decode.name, decode.start_time, decode.end_time) == ("decode", 1_000_010, 1_000_020)
    assert (load.name, load.start_time, load.end_time) == ("load", 1_000_020, 1_000_030)
    assert {root.context.span_id} == {decode.parent.span_id, load.parent.span_id}
    assert len({root.context.span_id, decode.context.span_id, load.context.span_id}) == 3
    assert all(span.context.trace_flags.sampled for span in (root, decode, load))


@pytest.mark.parametrize(("status", "fault"), [(0, False), (3, False), (7, False), (13, True)])
def test_the_services_faults_are_errors(status: int, fault: bool):
    call = tracer([]).call(names.RPC_TOKENIZE)
    call.finish(status)
    (root,) = spans_of(builder(), call)
    assert fault == (root.status.status_code is StatusCode.ERROR)


def test_the_current_call_ends_with_the_call():
    call = tracer([]).call(names.RPC_TOKENIZE)
    assert call is current_call.get()
    call.finish(0)
    assert current_call.get() is None


def test_a_trip_of_many_calls_keeps_its_links_within_the_limit():
    source = tracer([])
    calls = [source.call(names.RPC_DETOKENIZE) for _ in range(300)]
    trip = source.trip(names.TRIP_POSTGRES_LOAD, calls)
    trip.finish()
    (span,) = spans_of(builder(), trip)
    assert len(span.links) == 128
    assert span.attributes[names.TRIP_CALLS] == 300
    assert all(len(call.links) == 1 for call in calls)
    calls[0].finish(0)
    (root,) = spans_of(builder(), calls[0])
    assert [span.context.span_id] == [link.context.span_id for link in root.links]


def test_a_call_with_several_items_is_one_call_to_a_trip():
    source = tracer([])
    call = source.call(names.RPC_DETOKENIZE)
    call.mark("load")
    trip = source.trip(names.TRIP_POSTGRES_LOAD, [call, call])
    trip.finish()
    (span,) = spans_of(builder(), trip)
    call.finish(0)
    _, load = spans_of(builder(), call)
    assert load.context.span_id == span.parent.span_id
    assert span.attributes[names.TRIP_CALLS] == 1


def test_ids_do_not_repeat():
    ids = IdSource()
    drawn = [ids.take() for _ in range(2_000)]
    assert 2_000 == len({trace for trace, _ in drawn}) == len({span for _, span in drawn})
    assert {(16, 8)} == {(len(trace), len(span)) for trace, span in drawn}


GOOD_ATTRIBUTES = {
    names.CALL_ID: "0" * 32,
    names.ENTRY_IDS: ("1" * 32, "2" * 32),
    names.TENANT: "demo-shop",
    names.PURPOSE: "delivery",
    names.REASON: "NONE",
    names.BUNDLE: "3" * 64,
    names.POLICIES: ("shipping-delivery",),
    names.ITEMS: 5,
}


def test_good_attributes_pass():
    call = tracer([]).call(names.RPC_DETOKENIZE)
    call.finish(0, GOOD_ATTRIBUTES)
    (root,) = spans_of(builder(), call)
    assert GOOD_ATTRIBUTES.items() <= root.attributes.items()


@pytest.mark.parametrize("key", [*names.SPAN_ATTRIBUTES, "pdvault.value", CANARY])
@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        CANARY.encode(),
        13800138000.5,
        True,
        -13800138000,
        1 << 70,
        None,
        (CANARY,),
        ["1" * 32],
        ("1" * 32, CANARY),
        {"name": CANARY},
        "delivery\n" + CANARY,
        "A" * 32,
        uuid.UUID(int=13800138000),
        Reason.NONE,
    ],
    ids=repr,
)
def test_canaries_do_not_pass(key: str, value: object):
    loose = builder(strict=False)
    records: list[CallTrace | TripTrace] = []
    source = tracer(records)
    call = source.call(names.RPC_DETOKENIZE)
    call.finish(0, {key: value})
    source.trip(names.TRIP_TRANSIT_WRAP, [call]).finish(attributes={key: value})
    spans = [span for record in records for span in spans_of(loose, record)]
    assert loose.refused == 2
    text = repr(encode(spans, Pace())) + "".join(span.to_json() for span in spans)
    assert "13800138000" not in text
    assert CANARY not in text
    with pytest.raises(AttributeRefusedError) as caught:
        spans_of(builder(), call)
    assert CANARY not in str(caught.value)


def test_unknown_names_do_not_pass():
    loose = builder(strict=False)
    call = tracer([]).call(f"vault.v1.TokenService/{CANARY}")
    call.mark(CANARY)
    call.finish(0)
    assert [span.name for span in spans_of(loose, call)] == [names.RPC_OTHER] * 2
    assert loose.refused == 2


def test_our_encoder_says_what_the_sdks_says():
    records: list[CallTrace | TripTrace] = []
    source = tracer(records)
    calls = [source.call(names.RPC_DETOKENIZE, f"00-{'a' * 32}-{'b' * 16}-01") for _ in range(2)]
    for call in calls:
        call.mark("load")
    source.trip(names.TRIP_POSTGRES_LOAD, calls).finish(error=Reason.DATABASE_UNAVAILABLE)
    calls[0].finish(14, GOOD_ATTRIBUTES | {names.ITEMS: 0, names.POLICIES: ()})
    odd = {names.ITEMS: (1 << 63) - 1, names.ITEMS_ALLOWED: 128, names.ITEMS_FAILED: 127}
    calls[1].finish(0, odd | {names.ENTRY_IDS: ("a" * 32,) * 300})
    spans = [span for record in records for span in spans_of(builder(), record)]
    ours = ExportTraceServiceRequest.FromString(encode(spans, Pace()))
    for span in ours.resource_spans[0].scope_spans[0].spans:
        span.status.SetInParent()  # the SDK's writes an empty one
        span.flags &= ~1  # and leaves the W3C flags out
        for link in span.links:
            link.flags &= ~1
    assert encode_spans(spans) == ours


def test_a_judgement_holds_for_its_own_bundle_only():
    words = WORDS
    judge = SpanBuilder(
        resource=Resource({}), version="1", words=lambda: words, trip_attributes={}
    ).judge
    calls = [tracer([]).call(names.RPC_DETOKENIZE) for _ in range(3)]
    for call, digit in zip(calls, "123", strict=True):
        call.finish(0, {names.PURPOSE: "delivery"}, {names.CALL_ID: digit * 32})
    first, second = judge(calls[0]), judge(calls[1])
    assert first.facts is second.facts
    assert ["1" * 32, "2" * 32] == [each.ids[names.CALL_ID] for each in (first, second)]
    words = Vocabulary()
    assert names.PURPOSE not in judge(calls[2]).facts.attributes


def test_what_comes_again_and_again_is_not_kept_for_ever():
    source = builder()
    for items in range(5_000):
        call = tracer([]).call(names.RPC_DETOKENIZE)
        call.finish(0, {names.ITEMS: items})
        assert source.judge(call).facts.attributes[names.ITEMS] == items
    assert len(source._kept[1]) <= 1024


@pytest.mark.parametrize(
    "ids",
    [{names.CALL_ID: CANARY}, {names.ENTRY_IDS: (CANARY,)}, {names.TENANT: "demo-shop"}],
    ids=repr,
)
def test_an_id_is_hex_or_left_out(ids):
    loose = builder(strict=False)
    call = tracer([]).call(names.RPC_DETOKENIZE)
    call.finish(0, {}, ids)
    line = line_of(loose.judge(call))
    assert loose.refused == 1
    assert b"canary" not in line
    assert b"demo-shop" not in line


def test_strict_telemetry_raises_at_close():
    telemetry = Telemetry(version="1", sinks=[Kept()], strict=True)
    telemetry.tracer.call(names.RPC_TOKENIZE).finish(0, {"odd": 1})
    with pytest.raises(AttributeRefusedError):
        telemetry.close()


class Broken(Kept):
    def export(self, _spans: Sequence[ReadableSpan]) -> None:
        raise RuntimeError(CANARY)


def test_a_broken_sink_loses_its_own_spans_only():
    kept = Kept()
    pipeline = SpanPipeline(builder(), [Broken(), kept])
    source = Tracer(pipeline.submit)
    source.call(names.RPC_TOKENIZE).finish(0)
    pipeline.close()
    assert len(kept.spans) == 1
    assert pipeline.dropped()[names.DROP_FAULT,] == 1
    source.call(names.RPC_TOKENIZE).finish(0)
    assert pipeline.dropped()[names.DROP_CLOSED,] == 1


@pytest.mark.parametrize("count", [1, 8, 9, 100])
def test_file_and_sink_get_every_record(count, tmp_path):
    kept = Kept()
    file = SpanFile(tmp_path / "spans.jsonl")
    pipeline = SpanPipeline(builder(), [kept], file=file)
    source = Tracer(pipeline.submit)
    calls = [source.call(names.RPC_TOKENIZE) for _ in range(count)]
    for call in calls:
        call.mark("decode")
        call.finish(0)
    pipeline.close()
    assert [2] * count == [
        len(read_spans(tmp_path / "spans.jsonl", call.trace_id.hex())) for call in calls
    ]
    assert 2 * count == len(kept.spans)
    assert not any(pipeline.dropped().values())


def test_what_has_no_room_is_counted(tmp_path):
    file = SpanFile(tmp_path / "spans.jsonl")
    pipeline = SpanPipeline(builder(), [], file=file, queue=100)
    source = Tracer(pipeline.submit)
    for _ in range(1000):  # faster than the thread looks
        source.call(names.RPC_TOKENIZE).finish(0)
    pipeline.close()
    written = len((tmp_path / "spans.jsonl").read_bytes().splitlines())
    assert 100 <= written < 1000
    assert 1000 == written + pipeline.dropped()[names.DROP_QUEUE_FULL,]


def write(path: Path, **more) -> list[CallTrace | TripTrace]:
    records: list[CallTrace | TripTrace] = []
    source = tracer(records)
    calls = [source.call(names.RPC_DETOKENIZE) for _ in range(2)]
    for call in calls:
        call.mark("decode")
        call.mark("load")
    source.trip(names.TRIP_POSTGRES_LOAD, calls).finish()
    for call in calls:
        call.mark("unwrap")
        source.trip(names.TRIP_TRANSIT_UNWRAP, [call]).finish()
        call.finish(0, GOOD_ATTRIBUTES)
    file = SpanFile(path, **more)
    for record in records:
        file.write(line_of(builder().judge(record)), 1)
    file.close()
    return records


def test_the_file_gives_back_the_tree(tmp_path: Path):
    path = tmp_path / "spans.jsonl"
    call = next(record for record in write(path) if isinstance(record, CallTrace))
    assert path.stat().st_mode & 0o777 == 0o600
    trace_id = call.trace_id.hex()

    spans = read_spans(path, trace_id)
    (root,) = span_tree(spans, trace_id)

    assert len(spans) == 6
    assert root.span.name == names.RPC_DETOKENIZE
    assert GOOD_ATTRIBUTES.items() <= root.span.attributes.items()
    assert [node.span.name for node in root.children] == ["decode", "load", "unwrap"]
    _, load, unwrap = root.children
    assert [(node.span.name, node.linked) for node in load.children] == [("postgres.load", True)]
    assert [(node.span.name, node.linked) for node in unwrap.children] == [
        ("transit.unwrap", False)
    ]


def test_torn_and_foreign_lines_stop_no_reader(tmp_path: Path):
    path = tmp_path / "spans.jsonl"
    call = next(record for record in write(path) if isinstance(record, CallTrace))
    trace_id = call.trace_id.hex()
    whole = read_spans(path, trace_id)
    with path.open("ab") as file:
        file.write(f'{{"trace_id":"{trace_id}","span\n'.encode())
        file.write(f'["{trace_id}"]\n{{"trace_id":"{trace_id}","links":3}}\n'.encode())
        file.write(b"\xff\xfe" + trace_id.encode())
    assert whole == read_spans(path, trace_id)


def test_the_file_is_bounded(tmp_path: Path):
    path = tmp_path / "spans.jsonl"
    for _ in range(20):
        last = write(path, max_bytes=8_000)
    assert {"spans.jsonl", "spans.jsonl.1"} == {file.name for file in tmp_path.iterdir()}
    assert all(file.stat().st_size <= 8_000 for file in tmp_path.iterdir())
    assert read_spans(path, last[-1].trace_id.hex())


_WRITER = """
import sys
from pathlib import Path
from vault.telemetry.span_file import SpanFile
path, name, most = sys.argv[1:]
file = SpanFile(Path(path), max_bytes=int(most))
for number in range(300):
    text = f'{{"trace_id": "{name}-{number}", "more": "{"x" * (number % 90)}"}}\\n'
    file.write(text.encode(), 1)
print(sum(file.dropped.values()))
"""


@pytest.mark.parametrize("most", [1_000_000, 5_000])
def test_processes_share_the_file(tmp_path: Path, most: int):
    path = tmp_path / "spans.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), name, str(most)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    assert ["0\n"] * 3 == [writer.communicate()[0] for writer in writers]

    assert all(file.stat().st_size <= most for file in tmp_path.iterdir())
    kept = [
        json.loads(line)["trace_id"]
        for file in sorted(tmp_path.iterdir(), reverse=True)  # the one before comes first
        for line in file.read_bytes().splitlines()
    ]
    assert len(kept) == len(set(kept))
    for name in "abc":
        numbers = [int(each.removeprefix(f"{name}-")) for each in kept if each[0] == name]
        assert numbers == list(range(numbers[0], 300)) if numbers else most < 1_000_000
    if most == 1_000_000:
        assert len(kept) == 900


def test_a_line_that_was_torn_by_another_swallows_none(tmp_path: Path):
    path = tmp_path / "spans.jsonl"
    file = SpanFile(path)
    path.write_bytes(b'{"trace_id": "torn')
    call = tracer([]).call(names.RPC_TOKENIZE)
    call.finish(0)
    file.write(line_of(builder().judge(call)), 1)
    file.close()
    assert len(read_spans(path, call.trace_id.hex())) == 1


def test_a_file_that_can_not_be_written_costs_counted_spans(tmp_path: Path):
    folder = tmp_path / "spans"
    folder.mkdir()
    path = folder / "spans.jsonl"
    file = SpanFile(path)
    file.close()
    path.unlink()
    folder.rmdir()
    call = tracer([]).call(names.RPC_TOKENIZE)
    call.finish(0)
    file.write(line_of(builder().judge(call)), 3)
    assert file.dropped == {names.DROP_FILE: 3}
    folder.mkdir()
    file.write(line_of(builder().judge(call)), 1)
    file.close()
    assert len(read_spans(path, call.trace_id.hex())) == 1


def test_no_spans_where_there_is_no_file(tmp_path: Path):
    assert read_spans(tmp_path / "none", "0" * 32) == []
    assert span_tree([], "0" * 32) == ()


@pytest.mark.parametrize(
    ("endpoint", "ca_file"),
    [
        ("127.0.0.1:4317", None),
        ("ftp://127.0.0.1:4317", None),
        ("http://127.0.0.1", None),
        ("http://127.0.0.1:99999", None),
        ("http://user:secret@127.0.0.1:4317", None),
        ("http://127.0.0.1:4317/v1/traces", None),
        ("http://127.0.0.1:4317", Path("ca.pem")),
        ("https://127.0.0.1:4317", Path("does-not-exist.pem")),
    ],
)
def test_an_unusable_collector_is_refused_at_start(endpoint: str, ca_file: Path | None):
    with pytest.raises(EndpointError) as caught:
        OtlpChannel(endpoint, ca_file=ca_file)
    assert "secret" not in str(caught.value)
