"""A Transit key's settings and versions as Transit gives them: read and checked here, without I/O.

Guarantees: what is handed on has every number in the order that Transit promises, or the answer
is a fault. Leaves to others whether the key is fit for its use (`check_root_key`, `public_keys`).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vault.crypto.transit_errors import key_store_error
from vault.errors import Reason


@dataclass(frozen=True, slots=True)
class RootKey:
    """A key in Transit, without its material.

    Attributes:
        name: as Transit has it.
        type: such as `aes256-gcm96`.
        versions: those that still open what they wrapped, and when each was made (UTC).
        latest: the version that wraps.
        min_decryption_version: older versions are retired: they open nothing until it is lowered.
        min_encryption_version: the oldest that may be asked to wrap; 0: any.
        min_available_version: older versions were trimmed: they are gone; 0 or 1: none.
        deletion_allowed: whether Transit would delete the key.
    """

    name: str
    type: str
    versions: Mapping[int, dt.datetime]
    latest: int
    min_decryption_version: int
    min_encryption_version: int
    min_available_version: int
    deletion_allowed: bool


def read_root_key(name: str, data: dict[str, object]) -> RootKey:
    """The key in an answer.

    Raises:
        VaultError: KEY_STORE_FAULT: the answer is of another key, or of no key at all.
    """
    versions = data.get("keys")
    if data.get("name") != name or not isinstance(versions, dict):
        raise key_store_error(Reason.KEY_STORE_FAULT)
    numbers = {
        field: data.get(field)
        for field in (
            "latest_version",
            "min_decryption_version",
            "min_encryption_version",
            "min_available_version",
        )
    }
    latest, decryption, encryption, available = (
        number if isinstance(number, int) and number >= 0 else -1 for number in numbers.values()
    )
    key = RootKey(
        name,
        str(data.get("type")),
        MappingProxyType({int(n): _made_at(v) for n, v in versions.items() if str(n).isdecimal()}),
        latest,
        decryption,
        encryption,
        available,
        data.get("deletion_allowed") is True,
    )
    expected = set(range(max(decryption, 1), latest + 1))
    if latest < 1 or min(decryption, encryption, available) < 0 or set(key.versions) != expected:
        raise key_store_error(Reason.KEY_STORE_FAULT)
    return key


def _made_at(version: object) -> dt.datetime:
    """Seconds since 1970 of a symmetric key's version; a document with a time of any other's."""
    try:
        if isinstance(version, dict):
            made = dt.datetime.fromisoformat(str(version.get("creation_time")))
            return made.astimezone(dt.UTC)
        if isinstance(version, int):
            return dt.datetime.fromtimestamp(version, dt.UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise key_store_error(Reason.KEY_STORE_FAULT)
