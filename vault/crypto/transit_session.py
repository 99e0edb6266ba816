"""Being somebody to Transit: log in, keep the token, ask. Synchronous, for worker threads.

Guarantees: a token is renewed at half its life; one that expired or was revoked is
replaced once, by one thread, and the question asked again; a right that was withdrawn is
told from that by asking the token about itself (both are a 403); a root token is refused.
Leaves to `transit`: HTTP (`send`), threads, time limits, health.
"""

import base64
import hashlib
import logging
import random
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vault.clock import Clock
from vault.crypto.transit_batch import Item, Result, batch_body, batch_results
from vault.crypto.transit_errors import (
    BAD_REQUEST,
    FORBIDDEN,
    NO_CONTENT,
    NOT_FOUND,
    OK,
    failure,
    key_store_error,
)
from vault.crypto.transit_settings import TokenFile, TransitSettings
from vault.crypto.transit_signing import Signed, read_public_keys, read_signature
from vault.errors import Reason, VaultError

_log = logging.getLogger(__name__)

_TOO_OLD = "less than the minimum encryption key version"
_CREDENTIAL = re.compile(r"[!-~]{1,4096}")
_REFUSED_PAUSE_NS = 16 * 60 * 1_000_000_000
"""After a secret id was refused, unless another comes. The server locks a role out for everybody
after five refusals, each within 15 minutes of the one before (OpenBao's defaults)."""


class Send(Protocol):
    """One HTTP request below `/v1/`."""

    def __call__(
        self,
        method: str,
        path: str,
        body: dict[str, object] | None,
        token: str | None,
        *,
        attempts: int = 2,
    ) -> tuple[int, dict[str, object]]:
        """Status and JSON document ({} if there is none); again if the connection dropped.

        Raises:
            VaultError: KEY_STORE_UNAVAILABLE: no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Lease:
    """A token and how long it lasts; `renew_ns` is monotonic, None for one without end."""

    token: str = field(repr=False)
    ttl_seconds: int
    is_renewable: bool
    renew_ns: int | None


class TransitSession:
    """One token, used by several threads. Every method may raise VaultError (KEY_STORE_*)."""

    def __init__(self, settings: TransitSettings, *, clock: Clock, send: Send) -> None:
        self._settings = settings
        self._clock = clock
        self._send = send
        self._login_lock = threading.Lock()
        self._lease: _Lease | None = None
        self._file_stamp: tuple[int, int, int] | None = None
        self._refused = b""
        self._refused_until_ns = 0

    def batch(self, verb: str, tenant: str, items: Sequence[Item]) -> list[Result]:
        """One result per item, in order."""
        path = f"{self._settings.mount}/{verb}/{self._settings.root_key(tenant)}"
        status, document = self._authorised("post", path, batch_body(items))
        # A batch of which every item failed is a 400 that still carries the results.
        if status in (OK, BAD_REQUEST):
            results = batch_results(document, len(items))
            if results is not None:
                return results
        raise failure(status, document)

    def check_root_key(self, tenant: str) -> None:
        """Refuse unless the root key is fit, or its settings may not be read."""
        path = f"{self._settings.mount}/keys/{self._settings.root_key(tenant)}"
        status, document = self._authorised("get", path, None)
        if status == FORBIDDEN:
            _log.warning("transit: may not read the root key's settings, so they go unchecked")
            return
        if status == NOT_FOUND:
            raise VaultError(Reason.KEY_STORE_FAULT, f"tenant {tenant} has no root key")
        if status != OK:
            raise failure(status, document)
        key = _part(document, "data")
        demands: dict[str, object] = {
            "type": "aes256-gcm96",
            "derived": True,
            "convergent_encryption": False,
            "exportable": False,
            "allow_plaintext_backup": False,
        }
        for name, wanted in demands.items():
            # Servers leave `convergent_encryption` out where it does not apply.
            if key.get(name, False) != wanted:
                raise VaultError(
                    Reason.KEY_STORE_FAULT, f"root key of tenant {tenant}: {name} must be {wanted}"
                )

    def on_key(
        self,
        method: str,
        verb: str,
        key: str,
        body: dict[str, object] | None = None,
        *,
        attempts: int = 2,
    ) -> dict[str, object] | None:
        """What one request about a key answers; None: it was refused as wrong (a 400 or 404).

        Args:
            method: of the request.
            verb: after the mount, such as `rewrap`.
            key: the key's name and what may follow it, such as `/rotate`.
            body: of the request.
            attempts: 1 for what must not happen twice because an answer got lost.
        """
        path = f"{self._settings.mount}/{verb}/{key}"
        status, document = self._authorised(method, path, body, attempts=attempts)
        if status in (BAD_REQUEST, NOT_FOUND):
            return None
        if status not in (OK, NO_CONTENT):
            raise failure(status, document)
        return _part(document, "data") if status == OK else {}

    def sign(self, key: str, data: bytes, version: int | None = None) -> Signed:
        """A signature of `data` by `key`: by its newest version, or another."""
        path = f"{self._settings.mount}/sign/{key}"
        body: dict[str, object] = {"input": base64.b64encode(data).decode()}
        if version is not None:
            body["key_version"] = version
        status, document = self._authorised("post", path, body)
        if version is not None and _TOO_OLD in str(document.get("errors")):  # it is a 500
            raise key_store_error(Reason.KEY_STORE_FAULT)
        if status != OK:
            raise failure(status, document)
        return read_signature(_part(document, "data"))

    def public_keys(self, key: str) -> dict[int, bytes]:
        """Every version's public key; refuse a key that is not fit to sign the log."""
        status, document = self._authorised("get", f"{self._settings.mount}/keys/{key}", None)
        if status == NOT_FOUND:
            raise VaultError(Reason.KEY_STORE_FAULT, f"the signing key {key} is missing")
        if status != OK:
            raise failure(status, document)
        return read_public_keys(_part(document, "data"))

    def look_up_token(self) -> None:
        """Refuse unless Transit knows our token."""
        status, document = self._authorised("get", "auth/token/lookup-self", None)
        if status != OK:
            raise failure(status, document)

    def log_in(self) -> None:
        """Get a first token, or one in place of the present one."""
        self._replace(self._lease)

    def seconds_to_renewal(self) -> float | None:
        lease = self._lease
        if lease is None or lease.renew_ns is None:
            return None
        return (lease.renew_ns - self._clock.monotonic_ns()) / 1e9

    def keep_token(self) -> None:
        """Renew or replace the token if it is time."""
        lease = self._lease
        if lease is None or self._stamp() != self._file_stamp:
            self._replace_while_alive(lease)
            return
        due = self.seconds_to_renewal()
        if due is None or due > 0:
            return
        ttl_seconds = 0
        if lease.is_renewable:
            # Whatever a failure means, the next call with this token will tell.
            status, document = self._send("post", "auth/token/renew-self", {}, lease.token)
            if status == OK:
                ttl_seconds = _number(_part(document, "auth").get("lease_duration"))
        # A shorter life than before means that the token nears its last hour.
        if ttl_seconds >= lease.ttl_seconds:
            self._lease = self._new_lease(lease.token, ttl_seconds, lease.is_renewable)
        elif isinstance(self._settings.auth, TokenFile):
            self._keep_for_now(lease)
        else:
            self._replace_while_alive(lease)

    def _replace_while_alive(self, lease: _Lease | None) -> None:
        """Replace a token that may still be good: if there is no new one, stay with it."""
        try:
            self._replace(lease)
        except VaultError as error:
            is_refused = error.reason is Reason.KEY_STORE_DENIED
            if lease is None or not is_refused or not self._is_alive(lease):
                raise
            _log.warning("transit: no new token, the present one still works")
            self._keep_for_now(lease)

    def _keep_for_now(self, lease: _Lease) -> None:
        """Stay with a token that was neither renewed nor replaced; try again soon."""
        shorter = (lease.ttl_seconds + 3) // 4
        self._lease = self._new_lease(lease.token, shorter, lease.is_renewable)

    def _authorised(
        self, method: str, path: str, body: dict[str, object] | None, *, attempts: int = 2
    ) -> tuple[int, dict[str, object]]:
        """Send with our token; if it has expired, once more with a new one."""
        lease = self._lease or self._replace(None)
        status, document = self._send(method, path, body, lease.token, attempts=attempts)
        # 403 means either; only a token that still knows itself has been denied a right.
        if status == FORBIDDEN and not self._is_alive(lease):
            lease = self._replace(lease)
            status, document = self._send(method, path, body, lease.token, attempts=attempts)
        return status, document

    def _is_alive(self, lease: _Lease) -> bool:
        status, document = self._send("get", "auth/token/lookup-self", None, lease.token)
        if status not in (OK, FORBIDDEN):
            raise failure(status, document)
        return status == OK

    def _replace(self, lease: _Lease | None) -> _Lease:
        """A token in place of `lease`; threads that come with the same one share the login."""
        with self._login_lock:
            if self._lease is None or self._lease is lease:
                self._lease = self._log_in()
            return self._lease

    def _log_in(self) -> _Lease:
        auth = self._settings.auth
        if isinstance(auth, TokenFile):
            self._file_stamp = self._stamp()
            token = _read(auth.path)
            status, document = self._send("get", "auth/token/lookup-self", None, token)
            if status != OK:
                raise failure(status, document)
            data = _part(document, "data")
            ttl_seconds, policies = _number(data.get("ttl")), data.get("policies")
        else:
            role_id, secret_id = _read(auth.role_id_file), _read(auth.secret_id_file)
            credentials = hashlib.sha256(f"{role_id} {secret_id}".encode()).digest()
            now = self._clock.monotonic_ns()
            if credentials == self._refused and now < self._refused_until_ns:
                raise key_store_error(Reason.KEY_STORE_DENIED)
            body: dict[str, object] = {"role_id": role_id, "secret_id": secret_id}
            status, document = self._send("post", f"auth/{auth.mount}/login", body, None)
            if status == BAD_REQUEST:  # "invalid role or secret ID"
                self._refused, self._refused_until_ns = credentials, now + _REFUSED_PAUSE_NS
                raise key_store_error(Reason.KEY_STORE_DENIED)
            if status != OK:
                raise failure(status, document)
            data = _part(document, "auth")
            ttl_seconds, policies = _number(data.get("lease_duration")), data.get("policies")
            token = str(data.get("client_token") or "")
        if not token or not isinstance(policies, list):
            raise key_store_error(Reason.KEY_STORE_FAULT)
        if "root" in policies:
            raise VaultError(Reason.KEY_STORE_DENIED, "a root token is not accepted")
        return self._new_lease(token, ttl_seconds, bool(data.get("renewable")))

    def _new_lease(self, token: str, ttl_seconds: int, is_renewable: bool) -> _Lease:
        renew_ns = None
        if ttl_seconds:
            half = ttl_seconds / 2 * random.uniform(0.8, 1.0)
            renew_ns = self._clock.monotonic_ns() + int(half * 1e9)
        return _Lease(token, ttl_seconds, is_renewable, renew_ns)

    def _stamp(self) -> tuple[int, int, int] | None:
        """Changes when the token file does. A file that is gone for now has not changed."""
        auth = self._settings.auth
        if not isinstance(auth, TokenFile):
            return None
        try:
            stat = auth.path.stat()
        except OSError:
            return self._file_stamp
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _part(document: dict[str, object], name: str) -> dict[str, object]:
    part = document.get(name)
    if not isinstance(part, dict):
        raise key_store_error(Reason.KEY_STORE_FAULT)
    return part


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _read(path: Path) -> str:
    """The one line of a credential file."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        text = ""
    if not _CREDENTIAL.fullmatch(text):
        raise VaultError(
            Reason.KEY_STORE_DENIED, "a credential file of the key store cannot be used"
        )
    return text
