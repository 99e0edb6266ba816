"""Spans, metrics and logs: what the vault tells about itself, and never about a person.

`Telemetry` builds the parts and ends them. Guarantees: no call waits for a collector, a
file or a lock of telemetry; nothing leaves that is not on the allow-lists of
`names.py`; after `close`, no thread is left. Spans are not evidence: the audit log is.
"""

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from opentelemetry.sdk.metrics.export import Metric as SdkMetric
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from vault.telemetry import names
from vault.telemetry.export import Sink, SpanPipeline
from vault.telemetry.kinds import NO_WORDS, Vocabulary
from vault.telemetry.metrics import Labels, Metrics
from vault.telemetry.otlp import OtlpChannel, OtlpMetrics, OtlpSpans
from vault.telemetry.pace import Pace
from vault.telemetry.span_file import SpanFile
from vault.telemetry.spans import SpanBuilder
from vault.telemetry.trace import CallTrace, Tracer, TripTrace

__all__ = ["Telemetry"]

CLOSE_S: Final = 4.0  # of the 5 s that the process gives telemetry to end
_METRICS_INTERVAL_S: Final = 15.0


class Telemetry:
    """All telemetry of one process but the log (`logs.Logging`).

    Attributes:
        tracer: starts calls and trips.
        metrics: counts.

    Args:
        version: of the service.
        words: gives the words of the policy bundle in force.
        trip_attributes: per trip name, `db.system.name`, `server.address`, `server.port`.
        otlp_endpoint: `http(s)://HOST:PORT` of a collector, or None.
        otlp_ca_file: who vouches for the collector; None: the system's roots.
        span_queue: finished calls and trips that may wait, 1 to 1,000,000.
        span_file: where spans are kept as JSON lines, or None.
        metrics_interval_s: between two readings that are sent.
        sinks, readers: more of them, for tests.
        strict: raise where the allow-list stops something. For tests.

    Raises (from the constructor):
        EndpointError: the collector's address or CA file can't be used.
        OSError: the span file can't be written.
        ValueError: inconsistent arguments.
    """

    def __init__(
        self,
        *,
        version: str,
        words: Callable[[], Vocabulary] = lambda: NO_WORDS,
        trip_attributes: Mapping[str, Mapping[str, str | int]] | None = None,
        otlp_endpoint: str | None = None,
        otlp_ca_file: Path | None = None,
        span_queue: int = 8192,
        span_file: Path | None = None,
        metrics_interval_s: float = _METRICS_INTERVAL_S,
        sinks: Sequence[Sink] = (),
        readers: Sequence[MetricReader] = (),
        strict: bool = False,
    ) -> None:
        if not 1 <= span_queue <= 1_000_000:  # noqa: PLR2004 - said above
            raise ValueError("span_queue is from 1 to 1000000")
        if otlp_ca_file is not None and otlp_endpoint is None:
            raise ValueError("otlp_ca_file needs otlp_endpoint")
        trip_attributes = trip_attributes or {}
        if not trip_attributes.keys() <= names.TRIPS:
            raise ValueError("trip_attributes names an unknown trip")
        # Not Resource.create: it reads the environment, and telemetry has one source of truth.
        resource = Resource(
            {
                "service.name": names.SCOPE,
                "service.version": version,
                "service.instance.id": str(uuid.uuid4()),
            }
        )
        pace = Pace()
        all_sinks: list[Sink] = [*sinks]
        file = None if span_file is None else SpanFile(span_file)
        all_readers = list(readers)
        self._channel: OtlpChannel | None = None
        self._exporter: OtlpMetrics | None = None
        if otlp_endpoint is not None:
            self._channel = OtlpChannel(otlp_endpoint, ca_file=otlp_ca_file)
            all_sinks.append(OtlpSpans(self._channel, pace=pace))
            self._exporter = OtlpMetrics(self._channel, self._own_metrics)
            interval_ms = metrics_interval_s * 1000
            all_readers.append(
                PeriodicExportingMetricReader(self._exporter, export_interval_millis=interval_ms)
            )
        self._builder = SpanBuilder(
            resource=resource,
            version=version,
            words=words,
            trip_attributes=trip_attributes,
            strict=strict,
        )
        self.metrics = Metrics(resource=resource, readers=all_readers, strict=strict)
        self._pipeline = SpanPipeline(
            self._builder, all_sinks, file=file, queue=span_queue, pace=pace
        )
        self.tracer = Tracer(self._submit)
        self.metrics.watch(names.SPANS_DROPPED, self._pipeline.dropped)
        self.metrics.watch(names.ATTRIBUTES_DROPPED, self._refused)

    def dropped(self) -> Mapping[Labels, int]:
        """Spans that did not reach a reader, by cause."""
        return self._pipeline.dropped()

    def close(self) -> None:
        """Sends what is queued, takes a last reading, ends every thread: 5 s at most.

        Raises:
            AttributeRefusedError: in strict mode only.
        """
        end = time.monotonic() + CLOSE_S
        if self._exporter is not None:
            self._exporter.hurry(end)
        with contextlib.ExitStack() as stack:
            if self._channel is not None:
                stack.callback(self._channel.close)
            stack.callback(lambda: self.metrics.close(seconds=max(0.1, end - time.monotonic())))
            self._pipeline.close()

    def _submit(self, record: CallTrace | TripTrace) -> None:
        self._pipeline.submit(record)
        if isinstance(record, CallTrace):
            self.metrics.count_call(record)

    def _own_metrics(self) -> list[SdkMetric]:
        return self.metrics.own_metrics()

    def _refused(self) -> dict[Labels, int | float]:
        return {(): self._builder.refused + self.metrics.refused}
