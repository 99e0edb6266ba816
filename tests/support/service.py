"""The real service in a process of its own, on the session's PostgreSQL and OpenBao.

Each service has its own database, its own copy of the bundle and its own folder for its log
and spans. `start_service` gives a fresh one; most tests share the session's (`service`).
"""

import asyncio
import contextlib
import datetime as dt
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.support import calls
from tests.support.calls import RPCS, Answer, Metadata
from tests.support.database import DatabaseEyes
from tests.support.embedded import DatabaseUrls, fresh_database
from tests.support.ports import holds_port
from tests.support.service_bundle import DOMAIN, EXTRA_CLIENTS, write_bundle
from vault.audit.entry import Entry
from vault.embedded import EmbeddedInstance
from vault.embedded.certificates import Issued, Leaf, issue
from vault.embedded.config_file import Settings, config_text
from vault.embedded.files import make_folder, write_file
from vault.embedded.pki import CLIENTS
from vault.embedded.ports import free_port
from vault.store.migrate import migrate
from vault.telemetry.span_file import parse_line

_RUNNER = Path(__file__).with_name("service_runner.py")
_START_S = 30.0
_ATTEMPTS = 3


class VaultService:
    """One service. Certificates of the clients come from the instance's own authority."""

    def __init__(
        self, instance: EmbeddedInstance, urls: DatabaseUrls, folder: Path, extra: str
    ) -> None:
        self.instance = instance
        self.urls = urls
        self.folder = folder
        self.ledger_name = ""  # of the database
        self.policies = write_bundle(folder / "policies")
        self.log = folder / "service.log"
        self.spans_file = folder / "spans.jsonl"
        self.database = DatabaseEyes(urls.owner)
        self.port = 0
        self._extra = extra
        self._process: subprocess.Popen[str] | None = None
        self._channels: dict[str, grpc.Channel] = {}
        self._lock = threading.Lock()

    # --- The process ------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, and makes sure that it is our own child that holds the port."""
        for attempt in range(_ATTEMPTS):
            hello = self._try_start(free_port(self.port or None))
            if hello is not None:
                self.port = hello["port"]
                assert self.pid == hello["pid"]
                assert holds_port(self.pid, self.port)
                return
            assert attempt < _ATTEMPTS - 1, self.log.read_text()

    def _try_start(self, port: int) -> dict[str, Any] | None:
        config = self.folder / "pdvault.toml"
        write_file(config, self.config(port))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(_RUNNER), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_S)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.stop()
            return None
        return json.loads(line)

    def config(self, port: int) -> str:
        """The text of its configuration file."""
        settings = self._settings()
        return _merged(config_text(settings, policies=self.policies, port=port), self._extra)

    def _settings(self) -> Settings:
        """The instance's settings, with a database and a folder of our own."""
        shared = self.instance.settings()
        own: dict[str, Path] = {"state": self.folder}
        for each in fields(shared):
            if each.name.endswith("_url_file") and each.name != "owner_url_file":
                url = getattr(shared, each.name).read_text().rpartition("/")[0]
                own[each.name] = self.folder / f"{each.name.removesuffix('_url_file')}.url"
                write_file(own[each.name], f"{url}/{self.urls.name}")
            elif each.name == "witness_file":
                own[each.name] = make_folder(self.folder / "witness") / "checkpoint"
            elif each.name == "ledger_file":
                # Of the database, so that all services on it share it.
                folder = make_folder(shared.ledger_file.parent)
                own[each.name] = folder / f"{self.ledger_name or self.urls.name}.jsonl"
        return replace(shared, **own)

    def stop(self) -> int:
        """Ends it; its exit code."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=25)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode

    @property
    def ledger_file(self) -> Path:
        """The ledger of erasures."""
        return self._settings().ledger_file

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def resident_bytes(self) -> int:
        """Memory that the process has in RAM now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def peak_bytes(self) -> int:
        """The most that it ever had."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    # --- Clients ----------------------------------------------------------------------

    def certificate(self, uri: str, **changes: Any) -> Issued:
        """A client certificate of the instance's authority; `changes` are those of a Leaf."""
        return issue(client_leaf(uri, **changes), self.instance.pki.authority())

    def open_channel(
        self,
        issued: Issued | None,
        *,
        options: tuple[tuple[str, Any], ...] = (),
        port: int | None = None,
    ) -> grpc.Channel:
        """A channel of its own with this certificate, or with none."""
        authority = self.instance.pki.authority_file.read_bytes()
        credentials = (
            grpc.ssl_channel_credentials(authority)
            if issued is None
            else grpc.ssl_channel_credentials(authority, issued.key_pem, issued.certificate_pem)
        )
        return grpc.secure_channel(
            f"127.0.0.1:{port or self.port}", credentials, options=(*calls.OPTIONS, *options)
        )

    def channel(self, caller: str) -> grpc.Channel:
        """The channel of a client by name (`order`, `other-auditor`); kept open."""
        with self._lock:
            if caller not in self._channels:
                uri = spiffe_id(caller)
                self._channels[caller] = self.open_channel(self.certificate(uri))
            return self._channels[caller]

    def call(
        self,
        rpc: str,
        request: Mapping[str, object] | bytes,
        *,
        caller: str,
        metadata: Metadata = (),
        timeout: float | None = 20.0,
    ) -> Answer:
        """One call, from proto JSON or raw bytes."""
        data = request if isinstance(request, bytes) else calls.message(rpc, request)
        return calls.call(
            self.channel(caller), RPCS[rpc].path, data, metadata=metadata, timeout=timeout
        )

    def tokenize(
        self, fields: Mapping[str, str], *, caller: str = "order", ref: str | None = None
    ) -> dict[str, str]:
        """Stores one subject's values; field type to token."""
        request = {
            "idempotency_key": new_key(),
            "subjects": [
                {
                    "subject_ref": ref or f"ref-{uuid.uuid4()}",
                    "fields": [{"field_type": name, "value": v} for name, v in fields.items()],
                }
            ],
            "all_or_nothing": True,
        }
        response = self.call("Tokenize", request, caller=caller).read("Tokenize")
        results = [result.token for result in response.subjects[0].fields]
        return dict(zip(fields, results, strict=True))

    def health(self, name: str = "") -> str:
        """What the standard health service says."""
        request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
        answer = calls.call(self.channel("order"), "/grpc.health.v1.Health/Check", request)
        if answer.code != "OK":
            return answer.code
        status = health_pb2.HealthCheckResponse.FromString(answer.data).status
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)

    # --- What it wrote ----------------------------------------------------------------

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Entry]]:
        """A list that holds, after the block, the entries that were written within it."""
        newest = self.database.newest_entry()
        found: list[Entry] = []
        yield found
        found += self.database.entries(after=newest)

    def spans(self) -> list[dict[str, Any]]:
        lines = self.spans_file.read_text().splitlines() if self.spans_file.exists() else []
        return [asdict(span) for line in lines for span in parse_line(line)]


def _merged(text: str, extra: str) -> str:
    """TOML with more keys; those of a section that is there already go into it."""
    for section in filter(None, extra.split("\n[")):
        name, _, keys = section.strip().lstrip("[").partition("]\n")
        header = f"[{name}]\n"
        text = (
            text.replace(header, f"{header}{keys}\n")
            if header in text
            else text + f"\n{header}{keys}\n"
        )
    return text


def spiffe_id(caller: str) -> str:
    """The SPIFFE id of a client by name."""
    return EXTRA_CLIENTS.get(caller) or f"{DOMAIN}{CLIENTS[caller]}"


def client_leaf(uri: str, **changes: Any) -> Leaf:
    """A sound client's leaf; `changes` bend it."""
    now = dt.datetime.now(dt.UTC)
    sound: dict[str, Any] = {
        "common_name": "client",
        "not_before": now - dt.timedelta(minutes=5),
        "not_after": now + dt.timedelta(hours=2),
        "uris": (uri,),
    }
    return Leaf(**(sound | changes))


def new_key() -> str:
    """An idempotency key."""
    return uuid.uuid4().hex


def wait_until(holds: Callable[[], bool], *, seconds: float, text: str) -> float:
    """Waits until something holds; how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, text
        time.sleep(0.05)
    return time.monotonic() - began


StartService = Callable[..., contextlib.AbstractContextManager[VaultService]]


@pytest.fixture(scope="session")
def start_service(
    instance: EmbeddedInstance, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartService]:
    """Gives a context manager: a service with this TOML added, on a database of its own."""
    with fresh_database(instance) as template:
        asyncio.run(migrate(template.owner))

        @contextlib.contextmanager
        def start(
            extra: str = "", prepare: Callable[[VaultService], None] = lambda _: None
        ) -> Iterator[VaultService]:
            folder = tmp_path_factory.mktemp("service")
            folder.chmod(0o700)
            with fresh_database(instance, template=template.name) as urls:
                service = VaultService(instance, urls, folder, extra)
                try:
                    prepare(service)
                    service.start()
                    yield service
                finally:
                    service.stop()
                    service.database.close()

        yield start


@pytest.fixture(scope="session")
def service(start_service: StartService) -> Iterator[VaultService]:
    """The session's service. Whoever changes its rules or rights puts them back."""
    with start_service() as started:
        yield started
