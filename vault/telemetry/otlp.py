"""The only door to the OTLP collector: one gRPC channel for spans and metrics.

Guarantees: `export` of spans never waits for the collector beyond a short, bounded
courtesy; every batch has its own deadline; what does not get there is dropped and counted by
cause; nothing that the collector says is logged. A restart shorter than the deadline loses
nothing, because calls wait for the channel.

Why not the SDK's OTLPSpanExporter: it holds its thread for the whole deadline, does
not tell why a batch failed, logs the collector's own words, and its encoder takes
four times as long (docs/telemetry.md).
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, cast
from urllib.parse import urlsplit

import grpc
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.metrics.export import (
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.trace import ReadableSpan

from vault.telemetry import names
from vault.telemetry.otlp_encode import encode
from vault.telemetry.pace import Pace

DEADLINE_S: Final = 3.0  # of one batch
_IN_FLIGHT: Final = 16  # batches; with one every 0.2 s, a stall reaches the deadline first
_COURTESY_S: Final = 0.25  # how long one batch waits for a free place, once per stall
_LOST_AFTER: Final = 4  # deadlines in a row before the channel is made anew
_MARGIN_S: Final = 0.3  # so that the thread ends before somebody stops waiting for it
_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    # Also the limit of one attempt to connect (20 s otherwise), so that a collector which
    # accepted and fell silent is tried anew soon.
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


class EndpointError(ValueError):
    """The collector's address or CA file can't be used. The text is for the operator."""


class _Answer(Protocol):
    """What grpc hands out for a call under way; its own name for it is private."""

    def done(self) -> bool: ...
    def code(self) -> grpc.StatusCode: ...
    def result(self) -> ExportTraceServiceResponse: ...
    def exception(self, timeout: float) -> object: ...
    def cancel(self) -> object: ...


class OtlpChannel:
    """The connection to the collector.

    Args:
        endpoint: `https://HOST:PORT`, or `http://HOST:PORT` for plain text. Whether plain
            text is acceptable there is for the configuration to say.
        ca_file: who vouches for the collector; None: the system's roots.

    Raises (from the constructor):
        EndpointError: another scheme, no host or port, a CA file with plain text, or an
            unreadable CA file.
    """

    def __init__(self, endpoint: str, *, ca_file: Path | None = None) -> None:
        self._target, is_tls = _target(endpoint)
        if ca_file is not None and not is_tls:
            raise EndpointError("a CA file for the collector needs an https:// endpoint")
        self._credentials: grpc.ChannelCredentials | None = None
        if is_tls:
            try:
                roots = ca_file.read_bytes() if ca_file is not None else None
            except OSError as error:
                raise EndpointError("the collector's CA file can't be read") from error
            self._credentials = grpc.ssl_channel_credentials(roots)
        self._lock = threading.Lock()
        self._late = 0
        self._channel = self._connect()

    def send_spans(self, request: bytes, timeout: float) -> "_Answer":
        """Sets off one batch and returns at once.

        Raises:
            ValueError: the channel is closed.
        """
        export = self._channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            request_serializer=bytes,
            response_deserializer=ExportTraceServiceResponse.FromString,
        )
        return cast("_Answer", export.future(request, timeout=timeout, wait_for_ready=True))

    def send_metrics(self, request: ExportMetricsServiceRequest, timeout: float) -> None:
        """Sends one reading and waits for the answer.

        Raises:
            grpc.RpcError: the collector did not take it.
            ValueError: the channel is closed.
        """
        export = self._channel.unary_unary(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            request_serializer=ExportMetricsServiceRequest.SerializeToString,
            response_deserializer=ExportMetricsServiceResponse.FromString,
        )
        export(request, timeout=timeout, wait_for_ready=True)

    def note(self, *, late: bool) -> None:
        """After several deadlines in a row, connects anew: a silent peer is not seen otherwise."""
        with self._lock:
            self._late = self._late + 1 if late else 0
            if self._late < _LOST_AFTER:
                return
            self._late = 0
            lost, self._channel = self._channel, self._connect()
        lost.close()

    def close(self) -> None:
        """Cancels what is under way."""
        self._channel.close()

    def _connect(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self._target, options=_OPTIONS)
        return grpc.secure_channel(self._target, self._credentials, options=_OPTIONS)


class OtlpSpans:
    """Sends batches of spans without waiting for the answers.

    Used from one thread.
    """

    def __init__(
        self, channel: OtlpChannel, *, deadline_s: float = DEADLINE_S, pace: Pace | None = None
    ) -> None:
        self._pace = pace or Pace()
        self._channel = channel
        self._deadline_s = deadline_s
        self._in_flight: deque[tuple[_Answer, int]] = deque()
        self._is_stalled = False
        self.dropped: dict[str, int] = {}
        """Spans that the collector did not take, by cause."""

    def export(self, spans: Sequence[ReadableSpan]) -> None:
        """Sends a batch on its way; drops it if too many are."""
        self._settle()
        if len(self._in_flight) >= _IN_FLIGHT and not self._is_stalled:
            self._wait(time.monotonic() + _COURTESY_S, down_to=_IN_FLIGHT - 1)
        self._is_stalled = len(self._in_flight) >= _IN_FLIGHT
        if self._is_stalled:
            self._drop(names.DROP_SLOW, len(spans))
            return
        try:
            future = self._channel.send_spans(encode(spans, self._pace), self._deadline_s)
        except ValueError:  # the channel is closed
            self._drop(names.DROP_CLOSED, len(spans))
            return
        self._in_flight.append((future, len(spans)))

    def close(self, deadline: float) -> None:
        """Waits for answers until `deadline` (monotonic seconds); the rest is cancelled."""
        self._wait(deadline, down_to=0)
        while self._in_flight:
            future, count = self._in_flight.popleft()
            future.cancel()
            self._drop(names.DROP_CLOSED, count)

    def _wait(self, deadline: float, *, down_to: int) -> None:
        while len(self._in_flight) > down_to:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            # exception() waits, and raises FutureTimeoutError past its time; a plain
            # event would need a callback on one of the library's own threads.
            with contextlib.suppress(grpc.FutureTimeoutError, grpc.FutureCancelledError):
                self._in_flight[0][0].exception(timeout=remaining)
            self._settle()

    def _settle(self) -> None:
        """Takes the finished batches off the list and counts what they lost."""
        while self._in_flight and self._in_flight[0][0].done():
            future, count = self._in_flight.popleft()
            status = future.code()
            self._channel.note(late=status is grpc.StatusCode.DEADLINE_EXCEEDED)
            if status is not grpc.StatusCode.OK:
                self._drop(_CAUSES.get(status, names.DROP_REJECTED), count)
                continue
            answer: ExportTraceServiceResponse = future.result()
            rejected = min(max(answer.partial_success.rejected_spans, 0), count)
            if rejected:
                self._drop(names.DROP_REJECTED, rejected)

    def _drop(self, cause: str, count: int) -> None:
        self.dropped[cause] = self.dropped.get(cause, 0) + count


_CAUSES: Final = {
    grpc.StatusCode.DEADLINE_EXCEEDED: names.DROP_DEADLINE,
    grpc.StatusCode.UNAVAILABLE: names.DROP_UNAVAILABLE,
    grpc.StatusCode.CANCELLED: names.DROP_UNAVAILABLE,
}


class OtlpMetrics(MetricExporter):
    """Sends readings of the metrics. Called from the SDK's reader thread.

    Args:
        channel: to the collector.
        own: metrics that the SDK has no instrument for (`metrics.py`).
        deadline_s: of one reading. A reading that fails is not sent again: the sums
            are cumulative, so the next one carries everything.
    """

    def __init__(
        self,
        channel: OtlpChannel,
        own: Callable[[], Sequence[Metric]],
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        super().__init__()
        self._channel = channel
        self._own = own
        self._deadline_s = deadline_s
        self._end = float("inf")

    def hurry(self, end: float) -> None:
        """From now on, no reading takes longer than until `end` (monotonic seconds)."""
        self._end = end - _MARGIN_S

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **_kwargs: object,
    ) -> MetricExportResult:
        request = encode_metrics(with_metrics(metrics_data, self._own()))
        remaining = max(0.0, self._end - time.monotonic())
        timeout = min(self._deadline_s, timeout_millis / 1000, remaining)
        try:
            self._channel.send_metrics(request, timeout)
        except (grpc.RpcError, ValueError):  # ValueError: the channel is closed
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - nothing is kept
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: object) -> None:
        """Nothing to do: the channel's owner closes it."""


def with_metrics(data: MetricsData, own: Sequence[Metric]) -> MetricsData:
    """The SDK's reading with our own metrics beside its own."""
    resources = list(data.resource_metrics)
    if not resources or not resources[0].scope_metrics:
        return data
    first = resources[0]
    scope = first.scope_metrics[0]
    scope = ScopeMetrics(scope.scope, [*scope.metrics, *own], scope.schema_url)
    scopes = [scope, *first.scope_metrics[1:]]
    resources[0] = ResourceMetrics(first.resource, scopes, first.schema_url)
    return MetricsData(resources)


def _target(endpoint: str) -> tuple[str, bool]:
    """(HOST:PORT, whether TLS)."""
    try:
        url = urlsplit(endpoint)
        port = url.port
    except ValueError as error:
        raise EndpointError("the collector's endpoint is no URL") from error
    extra = url.path.rstrip("/") or url.query or url.fragment or url.username or url.password
    if url.scheme not in ("http", "https") or not url.hostname or port is None or extra:
        raise EndpointError("the collector's endpoint must be http(s)://HOST:PORT")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{host}:{port}", url.scheme == "https"
