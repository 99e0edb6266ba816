"""Counts come out as OpenTelemetry metrics, and no label that is not on the list."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from vault.errors import Reason
from vault.model import Verdict
from vault.telemetry import Telemetry, names
from vault.telemetry.loop_lag import LoopLag
from vault.telemetry.metrics import BOUNDS_S, Metrics
from vault.telemetry.otlp import with_metrics
from vault.telemetry.trace import Tracer
from vault.v1 import audit_pb2, keys_pb2, policy_pb2, subjects_pb2, tokens_pb2

ROOT = Path(__file__).parents[2]


def reading(metrics: Metrics, reader: InMemoryMetricReader) -> dict[str, dict[tuple, object]]:
    """Name -> labels' values -> value, or (count, sum, buckets) of a histogram."""
    data = with_metrics(reader.get_metrics_data(), metrics.own_metrics())
    return {
        metric.name: {
            tuple(point.attributes.values()): point.value
            if hasattr(point, "value")
            else (point.count, point.sum, list(point.bucket_counts))
            for point in metric.data.data_points
        }
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def metrics(reader: InMemoryMetricReader):
    made = Metrics(resource=Resource({}), readers=[reader], strict=False)
    yield made
    made.close()


def test_a_call_is_counted_with_its_stages(metrics: Metrics, reader: InMemoryMetricReader):
    ticks = iter([0, 1_000_000, 2_000_000, 4_000_000])
    call = Tracer(metrics.count_call, now=lambda: next(ticks)).call(names.RPC_DETOKENIZE)
    call.mark("decode")
    call.mark("load")
    call.finish(7)
    found = reading(metrics, reader)
    assert found["pdvault.calls"] == {(names.RPC_DETOKENIZE, 7): 1}
    assert found["pdvault.stage.runs"] == {("decode",): 1, ("load",): 1}
    assert pytest.approx(found["pdvault.stage.duration"]) == {("decode",): 0.001, ("load",): 0.002}
    count, total, buckets = found["pdvault.call.duration"][names.RPC_DETOKENIZE,]
    assert (1, pytest.approx(0.004)) == (count, total)
    assert 1 == buckets[BOUNDS_S.index(0.005)] == sum(buckets)


def test_the_rest_is_counted(metrics: Metrics, reader: InMemoryMetricReader):
    metrics.count_items(names.RPC_TOKENIZE, Verdict.INVALID, Reason.VALUE_INVALID, 2)
    metrics.count_trip(names.TRIP_TRANSIT_WRAP, 40)
    metrics.count_audit_failure()
    metrics.count_reload("refused")
    metrics.watch(names.KEY_CACHE_SIZE, lambda: {(): 17})
    metrics.watch(names.TRANSIT_STATE, lambda: {("sealed",): 1})
    found = reading(metrics, reader)
    assert found["pdvault.item.verdicts"] == {(names.RPC_TOKENIZE, "INVALID", "VALUE_INVALID"): 2}
    assert found["pdvault.trips"] == {("transit.wrap",): 1}
    assert found["pdvault.trip.batch"] == {("transit.wrap",): 40}
    assert found["pdvault.audit.failures"] == {(): 1}
    assert found["pdvault.policy.reloads"] == {("refused",): 1}
    assert found["pdvault.key_cache.size"] == {(): 17}
    assert found["pdvault.transit.state"] == {("sealed",): 1}


def test_a_foreign_label_does_not_get_out(metrics: Metrics, reader: InMemoryMetricReader):
    metrics.count_reload("changed")
    metrics.count_reload("canary-13800138000")
    metrics.watch(names.TRANSIT_STATE, lambda: {("canary-13800138000",): 1, ("a", "b"): 1})
    found = reading(metrics, reader)
    assert found["pdvault.policy.reloads"] == {("changed",): 1}
    assert "canary" not in str(found)
    assert metrics.refused == 3


def test_strict_raises_at_a_foreign_label():
    strict = Metrics(resource=Resource({}), strict=True)
    call = Tracer(strict.count_call).call("canary")
    call.finish(0)
    with pytest.raises(ValueError, match="allow-list"):
        strict.own_metrics()
    strict.close()


def test_a_metric_has_one_source(metrics: Metrics):
    with pytest.raises(ValueError, match="source"):
        metrics.watch(names.CALLS, dict)


def test_dropped_spans_are_a_metric():
    reader = InMemoryMetricReader()
    telemetry = Telemetry(version="1", readers=[reader])
    found = reading(telemetry.metrics, reader)
    assert found["pdvault.spans.dropped"]["queue_full",] == 0
    assert found["pdvault.attributes.dropped"] == {(): 0}
    telemetry.close()


async def test_loop_lag_sees_a_stall():
    lag = LoopLag(interval_s=0.01)
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0.05)
    time.sleep(0.2)  # noqa: ASYNC251 - the stall
    await asyncio.sleep(0.05)
    task.cancel()
    assert 0.15 < lag.read()[()] < 2
    assert lag.read() == {(): 0.0}


def test_every_method_of_the_protos_has_a_name():
    methods = {
        f"{service.full_name}/{method.name}"
        for module in (tokens_pb2, audit_pb2, policy_pb2, keys_pb2, subjects_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert names.RPCS - {names.RPC_OTHER} == methods


def test_the_page_lists_every_name():
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([^`\n]+)`", page))
    expected = {
        *names.RPCS,
        *names.STAGES,
        *names.TRIPS,
        *names.SPAN_ATTRIBUTES,
        *names.EXPORT_ATTRIBUTES,
        *names.LOG_FIELDS,
        *names.DROP_CAUSES,
        *names.TRANSIT_STATES,
        *names.RELOAD_OUTCOMES,
        *(metric.name for metric in names.METRICS),
        *(metric.unit for metric in names.METRICS),
        *(label for metric in names.METRICS for label, _ in metric.labels),
    }
    assert set() == expected - listed
