"""A Transit that speaks the protocol and lies: at HTTP level, so the real client is exercised."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LyingTransit:
    """Wraps by encoding (no secrecy: a fake). `twist` changes the batch results before they leave.

    Attributes:
        twist: from the honest results to what is sent.
        answer: if set, (status, body) for every encrypt and decrypt.
        requests: method, path and body of every request.
        traceparents: the header of every request, or None.
    """

    def __init__(self):
        self.twist = lambda results: results
        self.answer = None
        self.requests = []
        self.traceparents = []
        self.policies = ["pdvault"]
        self.key = {"type": "aes256-gcm96", "derived": True}

    def reply(self, method, path, body):
        self.requests.append((method, path, body))
        if path == "/v1/auth/token/lookup-self":
            return 200, {"data": {"ttl": 0, "policies": self.policies, "renewable": False}}
        if path.startswith("/v1/transit/keys/"):
            return 200, {"data": self.key}
        if self.answer is not None:
            return self.answer
        results = [self._one(path, item) for item in body["batch_input"]]
        return 200, {"data": {"batch_results": self.twist(results)}}

    def _one(self, path, item):
        reference = {"reference": item.get("reference", "")}
        if "/encrypt/" in path:
            wrapped = bytes(12) + base64.b64decode(item["plaintext"]) + bytes(16)
            return reference | {"ciphertext": f"vault:v1:{base64.b64encode(wrapped).decode()}"}
        wrapped = base64.b64decode(item["ciphertext"].removeprefix("vault:v1:"))
        return reference | {"plaintext": base64.b64encode(wrapped[12:-16]).decode()}


@contextmanager
def lying_transit():
    fake = LyingTransit()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._serve(None)

        def do_POST(self):
            length = int(self.headers["Content-Length"])
            self._serve(json.loads(self.rfile.read(length)))

        def _serve(self, body):
            fake.traceparents.append(self.headers["traceparent"])
            status, document = fake.reply(self.command, self.path, body)
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/v1/elsewhere")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    fake.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
