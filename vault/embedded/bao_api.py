"""The few calls to OpenBao that setting up and operating a private server take.

The service's own traffic goes through `vault.crypto.transit`; nothing of this is on its path.
"""

from collections.abc import Mapping
from pathlib import Path

import hvac.exceptions
import requests
from hvac.adapters import JSONAdapter

from vault.embedded.state import EmbeddedError


class BaoApi:
    """One server, reached with certificate checks against `ca_file`, past any proxy."""

    def __init__(self, address: str, ca_file: Path, *, timeout_s: float = 30) -> None:
        session = requests.Session()
        session.trust_env = False  # neither proxies nor another CA from the environment
        session.verify = str(ca_file)  # the adapter leaves a given session as it is
        # The adapter and not hvac.Client, which takes tokens and certificates from there too.
        self._adapter = JSONAdapter(base_uri=address, timeout=timeout_s, session=session)

    def close(self) -> None:
        self._adapter.close()

    def log_in(self, role_id: str, secret_id: str) -> None:
        """Use an AppRole from here on."""
        body = {"role_id": role_id, "secret_id": secret_id}
        auth = self.call("POST", "auth/approle/login", body)["auth"]
        self.use_token(_mapping(auth)["client_token"])

    def use_token(self, token: object) -> None:
        self._adapter.token = token

    def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Mapping[str, object]:
        """One request below `/v1/`; the JSON that came back, empty if none.

        Raises:
            EmbeddedError: refused or failed. The text names the path and the kind of
                failure only: OpenBao's own texts may quote what was sent.
        """
        try:
            answer = self._adapter.request(method, f"/v1/{path}", json=body)
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise EmbeddedError(f"OpenBao: {method} {path}: {type(error).__name__}") from error
        return answer if isinstance(answer, Mapping) else {}

    def status(self) -> tuple[bool, bool] | None:
        """(is initialised, is sealed), or None when nothing answers yet."""
        try:
            answer = self.call("GET", "sys/seal-status")
        except EmbeddedError:
            return None
        return bool(answer["initialized"]), bool(answer["sealed"])

    def is_active(self) -> bool:
        """Whether it serves requests: initialised, unsealed and leading."""
        try:
            self.call("GET", "sys/health")
        except EmbeddedError:
            return False
        return True


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise EmbeddedError("OpenBao: an answer of an unknown form")
    return value
