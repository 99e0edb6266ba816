"""A tenant's index key: keyed digests of what callers call things by.

Guarantees: the vault can look up a subject reference, an idempotency key or a repeated
request without storing it; digests of different kinds, tenants and key versions have
nothing in common. Leaves to others: wrapping the secret (`transit`), storing the
digests with the key version. `docs/formats.md`, "Digests".
"""

import hmac
from typing import NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.crypto.envelope import DecryptError

SECRET_BYTES = 32
_VERSION = b"\x01"
_INFO = b"pdvault/index/v1/"


class IndexKey:
    """One tenant's index key, one version of it.

    Attributes:
        version: which of the tenant's index keys this is, from 1.
        commitment: 32 bytes, public: stored with the wrapped secret.
    """

    __slots__ = ("_case_ref", "_idempotency", "_request", "_subject_ref", "commitment", "version")

    def __init__(self, secret: bytes, *, version: int) -> None:
        """Derive the subkeys.

        Args:
            secret: 32 random bytes, what Transit wraps.
            version: from 1.

        Raises:
            ValueError: `secret` is not 32 bytes.
        """
        if len(secret) != SECRET_BYTES:
            raise ValueError("index key of a wrong length")
        self.version = version
        self.commitment = _derive(secret, b"commitment")
        self._subject_ref = _derive(secret, b"subject-ref")
        self._case_ref = _derive(secret, b"case-ref")
        self._idempotency = _derive(secret, b"idempotency")
        self._request = _derive(secret, b"request")

    @classmethod
    def check(cls, secret: bytes, *, version: int, commitment: bytes) -> Self:
        """The key, provided that it is the one that its row commits to.

        Raises:
            DecryptError: it is another, or of a wrong length.
        """
        if len(secret) != SECRET_BYTES:
            raise DecryptError
        key = cls(secret, version=version)
        if not hmac.compare_digest(key.commitment, commitment):
            raise DecryptError
        return key

    def subject_ref_digest(self, ref: str) -> bytes:
        """32 bytes for a caller's reference of a subject, byte by byte as given."""
        return _digest(self._subject_ref, ref.encode())

    def case_ref_digest(self, kind: str, case_id: str) -> bytes:
        """32 bytes for a caller's reference of a case, byte by byte as given."""
        return _digest(self._case_ref, kind.encode(), case_id.encode())

    def idempotency_digest(self, caller: str, key: str) -> bytes:
        """32 bytes for an idempotency key of one caller."""
        return _digest(self._idempotency, caller.encode(), key.encode())

    def request_digest(self, request: bytes) -> bytes:
        """32 bytes for a request's bytes, to tell a retry from another request."""
        return _digest(self._request, request)

    def __repr__(self) -> str:
        return f"IndexKey(version={self.version}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are neither pickled nor copied")


def _derive(secret: bytes, label: bytes) -> bytes:
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_INFO + label)
    return hkdf.derive(secret)


def _digest(subkey: bytes, *parts: bytes) -> bytes:
    message = _VERSION + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(subkey, message, "sha256")
