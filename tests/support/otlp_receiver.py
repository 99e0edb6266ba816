"""A real OTLP receiver in a process of its own, for tests.

`python otlp_receiver.py PORT DELAY_S [KEY_FILE CERTIFICATE_FILE]` serves on 127.0.0.1
(PORT 0: a free one), prints
{"port": …, "pid": …} and then one JSON line per span and metric that arrives.
`OtlpReceiver` starts it and reads what it printed.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class OtlpReceiver:
    """The receiver's process, and what it has received so far."""

    def __init__(
        self, *, port: int = 0, delay_s: float = 0.0, tls: tuple[Path, Path] | None = None
    ) -> None:
        self._scheme = "http" if tls is None else "https"
        files = [] if tls is None else [str(file) for file in tls]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(port), str(delay_s), *files],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="otlp-receiver-lines")
        self._reader.start()
        hello = self._lines.get(timeout=20)
        # Our own child answers, not a stranger on the same port.
        assert self._process.pid == hello["pid"]
        self.port: int = hello["port"]
        self.seen: list[dict[str, Any]] = []

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def spans(self) -> list[dict[str, Any]]:
        while not self._lines.empty():
            self.seen.append(self._lines.get())
        return [line for line in self.seen if line["signal"] == "span"]

    def metrics(self) -> dict[str, dict[str, Any]]:
        """The latest of each."""
        self.spans()
        return {line["name"]: line for line in self.seen if line["signal"] == "metric"}

    def await_spans(self, count: int, *, seconds: float = 10.0) -> list[dict[str, Any]]:
        end = time.monotonic() + seconds
        while len(self.spans()) < count and time.monotonic() < end:
            time.sleep(0.05)
        return self.spans()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):  # the last one may be torn by stop()
                    self._lines.put(json.loads(line))


_say_lock = threading.Lock()


def _say(lines: list[str]) -> None:
    with _say_lock:  # requests are served by several threads
        sys.stdout.write("".join(line + "\n" for line in lines))
        sys.stdout.flush()


def _plain(attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = (
            [part.string_value for part in value.values] if kind == "array_value" else value
        )
    return found


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the proto's name
        time.sleep(self._delay_s)
        lines = []
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    line = {
                        "signal": "span",
                        "resource": _plain(resource.resource.attributes),
                        "name": span.name,
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_id": span.parent_span_id.hex(),
                        "kind": span.kind,
                        "flags": span.flags,
                        "error": span.status.code,
                        "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
                        "attributes": _plain(span.attributes),
                        "links": [[one.trace_id.hex(), one.span_id.hex()] for one in span.links],
                    }
                    lines.append(json.dumps(line))
        _say(lines)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the proto's name
        lines = []
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    form = metric.WhichOneof("data")
                    points = [
                        [
                            _plain(point.attributes),
                            point.count
                            if form == "histogram"
                            else getattr(point, point.WhichOneof("value")),
                        ]
                        for point in getattr(metric, form).data_points
                    ]
                    line = {"signal": "metric", "name": metric.name, "form": form, "points": points}
                    lines.append(json.dumps(line))
        _say(lines)
        return metrics_service_pb2.ExportMetricsServiceResponse()


def main() -> None:
    port, delay_s = int(sys.argv[1]), float(sys.argv[2])
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(delay_s), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(), server)
    if len(sys.argv) > 3:
        pair = tuple(Path(file).read_bytes() for file in sys.argv[3:5])
        credentials = grpc.ssl_server_credentials([pair])
        port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    else:
        port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
