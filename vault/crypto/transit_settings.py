"""How to reach Transit and who to be there. Unsafe settings cannot be built.

Guarantees: a `TransitSettings` never sends a token in the clear off this machine, and
every number is in range. Leaves to `transit`: whether the server agrees.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vault.crypto.transit_batch import MAX_UNWRAPS, check_tenant

_PATH = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
_KEY_PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class AppRole:
    """Log in with an AppRole. The files are read at every login, so they may change.

    Attributes:
        role_id_file, secret_id_file: one line each.
        mount: where the AppRole method is mounted, below `auth/`.
    """

    role_id_file: Path
    secret_id_file: Path
    mount: str = "approle"

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.mount):
            raise ValueError("auth mount: not a path of letters, digits, - and _")


@dataclass(frozen=True, slots=True)
class TokenFile:
    """Use the token in a file, such as an agent keeps; read again when the file changes."""

    path: Path


@dataclass(frozen=True, slots=True)
class TransitSettings:
    """Where Transit is and how to use it.

    Attributes:
        address: `https://host[:port]`; `http` only to a loopback address.
        auth: how to log in.
        mount: path of the Transit engine.
        namespace: of OpenBao or Vault Enterprise, if any.
        ca_file: PEM file of the authorities to trust in place of the usual ones.
        key_prefix: a tenant's root key is `key_prefix` + tenant.
        connect_seconds, read_seconds: of one HTTP request.
        max_batch: items in one HTTP request, 1 to 240; wrapping takes 160 at most.
        threads: requests under way at once, 1 to 32.
        probe_seconds: between two probes, give or take a fifth.
        grace_seconds: how long Transit may be lost before opened keys are dropped.
    """

    address: str
    auth: AppRole | TokenFile
    mount: str = "transit"
    namespace: str | None = None
    ca_file: Path | None = None
    key_prefix: str = "pdv-"
    connect_seconds: float = 1.0
    read_seconds: float = 3.0
    max_batch: int = 200
    threads: int = 4
    probe_seconds: float = 1.0
    grace_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: names the setting and what is wrong with it.
        """
        _check_address(self.address)
        if not _PATH.fullmatch(self.mount):
            raise ValueError("mount: not a path of letters, digits, - and _")
        if self.namespace is not None and not _PATH.fullmatch(self.namespace.removesuffix("/")):
            raise ValueError("namespace: not a path of letters, digits, - and _")
        if not _KEY_PREFIX.fullmatch(self.key_prefix):
            raise ValueError("key_prefix: 1 to 32 lower-case letters, digits, - and _")
        for name in ("connect_seconds", "read_seconds", "probe_seconds", "grace_seconds"):
            if not 0 < getattr(self, name) <= 3600:  # noqa: PLR2004 an hour, in seconds
                raise ValueError(f"{name}: above 0 and at most 3600")
        if not 1 <= self.max_batch <= MAX_UNWRAPS:
            raise ValueError(f"max_batch: 1 to {MAX_UNWRAPS}")
        if not 1 <= self.threads <= 32:  # noqa: PLR2004 as it says
            raise ValueError("threads: 1 to 32")

    @property
    def call_seconds(self) -> float:
        """The longest that one batch may take, with a new login and one repetition."""
        return 2 * (self.connect_seconds + self.read_seconds)

    def root_key(self, tenant: str) -> str:
        """The name of a tenant's root key.

        Raises:
            ValueError: the tenant's id cannot stand in a path.
        """
        check_tenant(tenant)
        return self.key_prefix + tenant


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("address: not an http(s) URL")
    if "@" in parts.netloc or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("address: only scheme, host and port")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("address: http sends tokens and keys in the clear; use https")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
