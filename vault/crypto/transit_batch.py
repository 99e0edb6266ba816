"""The bodies of Transit's batch calls: written and read here, without I/O.

Guarantees: every answer is checked item by item (count, order, shape); an error of one
item stays with that item; an answer that does not fit the question is a fault, not a
guess. Leaves to others: that an unwrapped key is the right one (`SubjectKey.check`).

Only strings go out: the audit devices of OpenBao and Vault hash strings and log
numbers in the clear.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from vault.crypto.transit_errors import key_store_error
from vault.errors import Reason, VaultError

SECRET_BYTES = 32
# OpenBao 2.7.2 refuses a JSON body of more than about 1,000 strings, names included
# (measured: 166 items of three fields, 249 of two).
MAX_WRAPS = 160
MAX_UNWRAPS = 240
MAX_REWRAPS = MAX_WRAPS
# nonce (12), the key, tag (16)
_WRAPPED_BYTES = 12 + SECRET_BYTES + 16
_WRAPPED = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})")

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

Result = dict[str, object]


def check_tenant(tenant: str) -> None:
    """Raises ValueError unless a tenant's id can stand in a path."""
    if not _TENANT.fullmatch(tenant):
        raise ValueError("tenant: 1 to 63 lower-case letters, digits, - and _")


@dataclass(frozen=True, slots=True)
class WrapItem:
    """A 32-byte key to wrap under `tenant`'s root key, bound to `context` (from `binding`)."""

    tenant: str
    secret: bytes = field(repr=False)
    context: bytes

    def __post_init__(self) -> None:
        check_tenant(self.tenant)
        if len(self.secret) != SECRET_BYTES or not self.context:
            raise ValueError("a key to wrap has 32 bytes and a context")

    def body(self, at: int) -> dict[str, str]:
        return {
            "plaintext": _base64(self.secret),
            "context": _base64(self.context),
            # Comes back with the result and proves the order. A wrapped key that is stored
            # in another's place would be noticed only when its data is lost.
            "reference": str(at),
        }


@dataclass(frozen=True, slots=True)
class UnwrapItem:
    """A wrapped key to open, with the context that it was wrapped under."""

    tenant: str
    wrapped: str = field(repr=False)
    context: bytes

    def __post_init__(self) -> None:
        check_tenant(self.tenant)
        if not self.context:
            raise ValueError("a key to unwrap has a context")

    def body(self, _at: int) -> dict[str, str]:
        # No reference: an opened key in another's place is found by its commitment.
        return {"ciphertext": self.wrapped, "context": _base64(self.context)}


@dataclass(frozen=True, slots=True)
class RewrapItem:
    """A wrapped key to wrap anew under the newest version of the same root key."""

    tenant: str
    wrapped: str = field(repr=False)
    context: bytes

    def __post_init__(self) -> None:
        check_tenant(self.tenant)
        if not self.context:
            raise ValueError("a key to rewrap has a context")

    def body(self, at: int) -> dict[str, str]:
        # As for wrapping: nobody who rewraps can open the key and see which it is.
        return {
            "ciphertext": self.wrapped,
            "context": _base64(self.context),
            "reference": str(at),
        }


Item = WrapItem | UnwrapItem | RewrapItem


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A wrapped key as stored.

    Attributes:
        wrapped: `vault:vN:...`.
        root_version: N, the version of the root key.
    """

    wrapped: str = field(repr=False)
    root_version: int


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """An opened key: 32 bytes, not yet checked against its commitment."""

    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unopenable:
    """Transit refused this one item: damaged, moved to another context, or trimmed."""


def batch_body(items: Sequence[Item]) -> dict[str, object]:
    """The JSON document for a batch of one tenant's items."""
    return {
        "batch_input": [item.body(at) for at, item in enumerate(items)],
        # Without it one bad item turns the status of the whole batch into 400.
        "partial_failure_response_code": "200",
    }


def batch_results(document: dict[str, object], count: int) -> list[Result] | None:
    """The results in an answer, or None if it has none (a refusal of the whole batch).

    Raises:
        VaultError: KEY_STORE_FAULT: not one result per item, in order.
    """
    data = document.get("data")
    results = data.get("batch_results") if isinstance(data, dict) else None
    if results is None:
        return None
    if not isinstance(results, list) or len(results) != count:
        raise key_store_error(Reason.KEY_STORE_FAULT)
    for at, result in enumerate(results):
        # None was sent, or the server is older than `reference`.
        if not isinstance(result, dict) or result.get("reference") not in (None, "", str(at)):
            raise key_store_error(Reason.KEY_STORE_FAULT)
    return results


def read_wrapped(result: Result) -> Wrapped | VaultError:
    """One result of a wrapping. A key that cannot be wrapped is our fault or Transit's."""
    wrapped = result.get("ciphertext")
    match = _WRAPPED.fullmatch(wrapped) if isinstance(wrapped, str) else None
    if result.get("error") or match is None or len(_bytes(match[2])) != _WRAPPED_BYTES:
        return key_store_error(Reason.KEY_STORE_FAULT)
    return Wrapped(match[0], int(match[1]))


def read_rewrapped(result: Result) -> Wrapped | Unopenable | VaultError:
    """One result of a rewrapping. Which key it is can't be checked here: it must say its place."""
    if not result.get("reference"):
        return key_store_error(Reason.KEY_STORE_FAULT)
    return Unopenable() if result.get("error") else read_wrapped(result)


def read_unwrapped(result: Result) -> Unwrapped | Unopenable | VaultError:
    """One result of an unwrapping."""
    if result.get("error"):
        return Unopenable()
    plaintext = result.get("plaintext")
    secret = _bytes(plaintext) if isinstance(plaintext, str) else b""
    return (
        Unwrapped(secret)
        if len(secret) == SECRET_BYTES
        else key_store_error(Reason.KEY_STORE_FAULT)
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    """The bytes of base64 text; none if it is not."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
