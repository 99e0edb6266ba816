"""Counts, and how readers get them.

Guarantees: counting on the hot path is one dictionary update; the SDK reads the
dictionaries when it takes a reading, on its own thread. Labels are judged then: what
is not on the allow-list is left out and counted. Leaves to others: sending (`otlp.py`).

A dictionary of counts has one writer, the event loop's thread.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    MetricReader,
)
from opentelemetry.sdk.metrics.export import Metric as SdkMetric
from opentelemetry.sdk.resources import Resource

from vault.errors import Reason
from vault.model import Verdict
from vault.telemetry import names
from vault.telemetry.kinds import Vocabulary
from vault.telemetry.metric import Metric
from vault.telemetry.trace import CallTrace

Labels = tuple[str | int, ...]
Readings = Mapping[Labels, int | float]
"""Labels in the order of `Metric.labels` -> value."""

BOUNDS_S: Final = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0
)  # fmt: skip
"""Upper bounds of the buckets of a call's duration, seconds; one more bucket is above."""

_NO_WORDS = Vocabulary()


class _Durations:
    """The histogram of one RPC. The SDK's own takes 10 µs a record; this takes half of one."""

    __slots__ = ("counts", "longest", "shortest", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total = 0.0
        self.shortest = float("inf")
        self.longest = 0.0

    def record(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total += seconds
        self.shortest = min(self.shortest, seconds)
        self.longest = max(self.longest, seconds)


class Metrics:
    """All instruments of `names.METRICS`.

    Args:
        resource: who we are.
        readers: take readings: a periodic one for the collector, an in-memory one in tests.
        strict: raise at a label that the allow-list stops. For tests.
    """

    def __init__(
        self, *, resource: Resource, readers: Sequence[MetricReader] = (), strict: bool = False
    ) -> None:
        self.refused = 0
        """Readings left out because of their labels."""
        self._strict = strict
        self._started_ns = time.time_ns()
        self._calls: defaultdict[Labels, int] = defaultdict(int)
        self._verdicts: defaultdict[tuple[str, Verdict, Reason], int] = defaultdict(int)
        self._stage_ns: defaultdict[Labels, int] = defaultdict(int)
        self._stage_runs: defaultdict[Labels, int] = defaultdict(int)
        self._trips: defaultdict[Labels, int] = defaultdict(int)
        self._trip_items: defaultdict[Labels, int] = defaultdict(int)
        self._reloads: defaultdict[Labels, int] = defaultdict(int)
        self._audit_failures: defaultdict[Labels, int] = defaultdict(int)
        self._durations: defaultdict[str, _Durations] = defaultdict(_Durations)
        self._watched: dict[str, Callable[[], Readings]] = {
            names.CALLS.name: self._calls.copy,
            names.VERDICTS.name: self._named_verdicts,
            names.STAGE_DURATION.name: self._stage_seconds,
            names.STAGE_RUNS.name: self._stage_runs.copy,
            names.TRIP_COUNT.name: self._trips.copy,
            names.TRIP_BATCH.name: self._trip_items.copy,
            names.POLICY_RELOADS.name: self._reloads.copy,
            names.AUDIT_FAILURES.name: self._audit_failures.copy,
        }
        # shutdown_on_exit would leave an atexit hook behind; close() ends everything.
        self._provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        meter = self._provider.get_meter(names.SCOPE)
        for metric in names.METRICS:
            if metric.form == "histogram":
                continue
            create = (
                meter.create_observable_counter
                if metric.form == "counter"
                else meter.create_observable_gauge
            )
            create(metric.name, [self._reader(metric)], metric.unit, metric.meaning)

    def watch(self, metric: Metric, read: Callable[[], Readings]) -> None:
        """Registers where a metric's values come from.

        Args:
            metric: one of `names.METRICS` that has no `count_` method here.
            read: gives all values, by labels; called on the reader's thread, so it
                must be quick and safe there. `{(): n}` for a metric without labels.

        Raises:
            ValueError: the metric has a source already.
        """
        if metric.name in self._watched:
            raise ValueError(f"{metric.name} has a source already")
        self._watched[metric.name] = read

    def count_call(self, call: CallTrace) -> None:
        """Counts a finished call, its duration and its stages."""
        self._calls[call.name, call.status] += 1
        self._durations[call.name].record((call.end_ns - call.start_ns) * 1e-9)
        end = call.end_ns
        for stage, start in reversed(call.marks):
            key = (stage,)
            self._stage_ns[key] += end - start
            self._stage_runs[key] += 1
            end = start

    def count_items(self, rpc: str, verdict: Verdict, reason: Reason, count: int = 1) -> None:
        """Counts items of a call that share their verdict and reason."""
        self._verdicts[rpc, verdict, reason] += count

    def count_trip(self, trip: str, items: int) -> None:
        """Counts a coalesced round trip and what it carried."""
        self._trips[trip,] += 1
        self._trip_items[trip,] += items

    def count_audit_failure(self) -> None:
        """Counts an audit commit that failed."""
        self._audit_failures[()] += 1

    def count_reload(self, outcome: str) -> None:
        """Counts a reload of the policy bundle; `outcome` is one of `names.RELOAD_OUTCOMES`."""
        self._reloads[outcome,] += 1

    def own_metrics(self) -> list[SdkMetric]:
        """What the SDK has no cheap instrument for: the histogram of call durations."""
        now = time.time_ns()
        points = []
        for rpc, durations in self._durations.copy().items():
            if not self._admits(names.CALL_DURATION, (rpc,)):
                continue
            counts = list(durations.counts)
            points.append(
                HistogramDataPoint(
                    attributes={"rpc": rpc},
                    start_time_unix_nano=self._started_ns,
                    time_unix_nano=now,
                    count=sum(counts),
                    sum=durations.total,
                    bucket_counts=counts,
                    explicit_bounds=BOUNDS_S,
                    min=durations.shortest,
                    max=durations.longest,
                )
            )
        if not points:
            return []
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
        spec = names.CALL_DURATION
        return [SdkMetric(spec.name, spec.meaning, spec.unit, data)]

    def close(self, *, seconds: float = 2.0) -> None:
        """Ends the readers, each after a last reading, within about `seconds`."""
        self._provider.shutdown(timeout_millis=seconds * 1000)

    def _named_verdicts(self) -> Readings:
        return {
            (rpc, verdict.name, reason.name): count
            for (rpc, verdict, reason), count in self._verdicts.copy().items()
        }

    def _stage_seconds(self) -> Readings:
        return {labels: total * 1e-9 for labels, total in self._stage_ns.copy().items()}

    def _reader(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        keys = [key for key, _ in metric.labels]

        def read(_options: CallbackOptions) -> Iterable[Observation]:
            source = self._watched.get(metric.name)
            if source is None:
                return []
            return [
                Observation(value, dict(zip(keys, labels, strict=True)))
                for labels, value in source().items()
                if self._admits(metric, labels)
            ]

        return read

    def _admits(self, metric: Metric, labels: Labels) -> bool:
        if len(labels) == len(metric.labels) and all(
            kind.admits(label, _NO_WORDS)
            for (_, kind), label in zip(metric.labels, labels, strict=True)
        ):
            return True
        self.refused += 1
        if self._strict:
            raise ValueError(f"the allow-list stopped a label of {metric.name}")
        return False
