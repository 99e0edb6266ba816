"""A real witness (C2SP tlog-witness) in a process of its own, with switches for being ill.

It implements add-checkpoint with its atomic check-and-store, on the code of nobody but the
verifiers of proofs and notes. `Witness` starts it and holds its switches.
"""

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.support.small_log import Signer
from vault.audit.checkpoint import Checkpoint, parse_body
from vault.audit.merkle import ProofError, verify_consistency
from vault.audit.note import (
    KeyType,
    NoteError,
    VerifierKey,
    base64_bytes,
    check_note,
    parse_note,
)

ROOT = Path(__file__).parents[2]
SIZE_TYPE = "text/x.tlog.size"


class Ledger:
    """The witness's rules and memory, without HTTP.

    Attributes:
        logs: origin to the log's keys.
        latest: origin to the latest checkpoint that was cosigned.
        mode: "honest", "lying" (a bad signature), "slow" (answers after 10 s), "down" (503),
            "garbage" (no note line).
    """

    def __init__(self, signer: Signer, logs: dict[str, list[VerifierKey]]) -> None:
        self.signer = signer
        self.logs = logs
        self.latest: dict[str, Checkpoint] = {}
        self.mode = "honest"
        self.requests = 0
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes) -> tuple[int, str, bytes]:
        """Status, content type, body."""
        self.requests += 1
        if self.mode == "slow":
            time.sleep(10)
        if self.mode == "down":
            return 503, "text/plain", b""
        try:
            old, proof, rest = _parse(body)
            note = parse_note(rest)
            new = parse_body(note.text)
        except ValueError:
            return 400, "text/plain", b"malformed\n"
        if new.origin not in self.logs:
            return 404, "text/plain", b""
        try:
            check_note(note, self.logs[new.origin])
        except NoteError:
            return 403, "text/plain", b""
        if old > new.size:
            return 400, "text/plain", b"old is larger\n"
        with self._lock:
            last = self.latest.get(new.origin)
            known = last.size if last else 0
            if old != known:
                return 409, SIZE_TYPE, f"{known}\n".encode()
            try:
                if old:
                    verify_consistency(old, last.root, new.size, new.root, proof)
                elif proof:
                    raise ProofError("a proof from nothing")
            except ProofError:
                return 422, "text/plain", b""
            self.latest[new.origin] = new
        at = int(time.time())
        line = str(self.signer.sign(note.text if self.mode != "lying" else "lie\n", at))
        if self.mode == "garbage":
            line = "good enough\n"
        return 200, "text/plain", line.encode()


def _parse(body: bytes) -> tuple[int, list[bytes], bytes]:
    head, separator, note = body.partition(b"\n\n")
    old, *proof = head.decode().split("\n")
    word, _, digits = old.partition(" ")
    if not separator or word != "old" or str(int(digits)) != digits or len(proof) > 63:
        raise ValueError("not an add-checkpoint request")
    return int(digits), [base64_bytes(line) for line in proof], note


class Witness:
    """Starts the process; a context manager. Its memory is gone with the process.

    Args:
        certificate: server certificate and key in one PEM file; None: plain HTTP.
    """

    def __init__(
        self, name: str, seed: int, logs: dict[str, list[str]], certificate: Path | None = None
    ) -> None:
        self.key = Signer(name, KeyType.COSIGNATURE, seed).key
        self._settings = {
            "name": name,
            "seed": seed,
            "logs": logs,
            "certificate": str(certificate) if certificate else None,
        }
        self._scheme = "https" if certificate else "http"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self._control = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/w"

    def start(self) -> None:
        """Starts it, on the port that it had before."""
        settings = self._settings | {"port": self.port}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.witness", json.dumps(settings)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.port, self._control = ports["port"], ports["control"]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def switch(self, mode: str) -> None:
        self._ask({"mode": mode})

    def forget(self) -> None:
        """Rolls the witness itself back to nothing."""
        self._ask({"forget": True})

    def state(self) -> dict[str, object]:
        """`sizes` by origin, `requests`."""
        return self._ask({})

    def size(self, origin: str) -> int:
        return self.state()["sizes"].get(origin, 0)

    def _ask(self, order: dict[str, object]) -> dict[str, object]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._control}/", json.dumps(order).encode()
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=5) as answer:
            return json.load(answer)


def toml(witnesses: list[Witness], ca_file: Path | None = None) -> str:
    """The list of witnesses for a configuration."""
    lines = []
    for one in witnesses:
        lines += ["[[witness]]", f'url = "{one.url}"', f'verifier_key = "{one.key}"']
        lines += [f'ca_file = "{ca_file}"'] if ca_file else []
    return "\n".join(lines) + "\n"


# --- The process ----------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, kind, answer = self.answer(body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def serve(settings: dict[str, object]) -> None:
    ledger = Ledger(
        Signer(settings["name"], KeyType.COSIGNATURE, settings["seed"]),
        {
            origin: [VerifierKey.parse(key) for key in keys]
            for origin, keys in settings["logs"].items()
        },
    )

    class Public(_Handler):
        def answer(self, body: bytes) -> tuple[int, str, bytes]:
            if self.path != "/w/add-checkpoint":
                return 404, "text/plain", b""
            return ledger.add_checkpoint(body)

    class Control(_Handler):
        def answer(self, body: bytes) -> tuple[int, str, bytes]:
            order = json.loads(body)
            ledger.mode = order.get("mode", ledger.mode)
            if order.get("forget"):
                ledger.latest.clear()
            sizes = {origin: one.size for origin, one in ledger.latest.items()}
            state = {"sizes": sizes, "requests": ledger.requests}
            return 200, "application/json", json.dumps(state).encode()

    public = ThreadingHTTPServer(("127.0.0.1", settings["port"]), Public)
    if settings["certificate"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings["certificate"])
        public.socket = context.wrap_socket(public.socket, server_side=True)
    control = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    ports = {"port": public.server_address[1], "control": control.server_address[1]}
    print(json.dumps(ports), flush=True)
    public.serve_forever()


if __name__ == "__main__":
    socket.setdefaulttimeout(30)
    serve(json.loads(sys.argv[1]))
