"""A small trace store in a process of its own, for tests: spans of a span file over HTTP.

`python trace_store.py STYLE SPAN_FILE [KEY_FILE CERTIFICATE_FILE]` serves on a free port of
127.0.0.1 and prints {"port": …, "pid": …}. STYLE is `jaeger` (OTLP JSON below `result`),
`tempo` (`batches`, ids in base64), or one of the ways to go wrong.
`TraceStoreProcess` starts it.
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from vault.telemetry.span_file import parse_line

SLOW_S = 5.0
HUGE = 40 << 20
_KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3}


class TraceStoreProcess:
    """The store's process."""

    def __init__(self, style: str, spans: Path, tls: tuple[Path, Path] | None = None) -> None:
        self._scheme = "http" if tls is None else "https"
        files = [] if tls is None else [str(file) for file in tls]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), style, str(spans), *files],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        hello = json.loads(self._process.stdout.readline())
        # Our own child answers, not a stranger on the same port.
        assert self._process.pid == hello["pid"]
        self.port: int = hello["port"]

    @property
    def address(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _otlp(span: dict[str, Any], style: str) -> dict[str, Any]:
    def ident(text: str) -> str:
        return base64.b64encode(bytes.fromhex(text)).decode() if style == "tempo" else text

    def value(given: Any) -> dict[str, Any]:
        if isinstance(given, (list, tuple)):
            return {"arrayValue": {"values": [value(each) for each in given]}}
        if isinstance(given, int):
            return {"intValue": str(given)}
        return {"stringValue": given}

    written: dict[str, Any] = {
        "traceId": ident(span["trace_id"]),
        "spanId": ident(span["span_id"]),
        "name": span["name"],
        "kind": f"SPAN_KIND_{span['kind']}" if style == "tempo" else _KINDS[span["kind"]],
        "startTimeUnixNano": str(span["start_ns"]),
        "endTimeUnixNano": str(span["end_ns"]),
        "attributes": [
            {"key": key, "value": value(given)} for key, given in span["attributes"].items()
        ],
        "links": [{"traceId": ident(t), "spanId": ident(s)} for t, s in span["links"]],
        "status": {"code": 2} if span["error"] else {},
    }
    if span["parent_id"]:
        written["parentSpanId"] = ident(span["parent_id"])
    return written


class _Handler(BaseHTTPRequestHandler):
    style: str
    spans: Path

    def do_GET(self) -> None:
        prefix, _, trace_id = self.path.rpartition("/")
        match self.style:
            case "slow":
                time.sleep(SLOW_S)
            case "fault":
                self._answer(500, b"a fault")
            case "redirect":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
            case "huge":
                self._answer(200, b"x" * HUGE)
            case "page":
                self._answer(200, b"<html>welcome</html>")
            case "legacy":
                self._answer(200, b'{"data": []}')
            case "jaeger" | "tempo":
                if prefix == {"jaeger": "/api/v3/traces", "tempo": "/api/traces"}[self.style]:
                    self._trace(trace_id)
                else:
                    self._answer(404, b"{}")

    def _trace(self, trace_id: str) -> None:
        spans = [
            _otlp(asdict(span), self.style)
            for line in self.spans.read_text().splitlines()
            for span in parse_line(line)
            if span.trace_id == trace_id
        ]
        group = [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": spans}]}]
        document = (
            {"batches": group} if self.style == "tempo" else {"result": {"resourceSpans": group}}
        )
        self._answer(200 if spans else 404, json.dumps(document).encode())

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _serve(style: str, spans: str, *tls: str) -> None:
    _Handler.style, _Handler.spans = style, Path(spans)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls[1], tls[0])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(json.dumps({"port": server.server_port, "pid": os.getpid()}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
