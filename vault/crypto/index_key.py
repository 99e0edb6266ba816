"""A tenant's index key: keyed digests of what callers call things by.

Guarantees: the vault can look up a subject reference, an idempotency key or a repeated
request without storing it; digests of different kinds, tenants and key versions have
nothing in common. A version's digest is made from the digest of the version before, so
that stored digests move to a new version without the references
(docs/adr/0016-index-keys-in-layers.md). Leaves to others: wrapping the secrets
(`transit`), storing the digests with the key version. `docs/formats.md`, "Digests".
"""

import enum
import hmac
from collections.abc import Sequence
from typing import NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.crypto.envelope import DecryptError
from vault.model import Digests

SECRET_BYTES = 32
_FIRST = b"\x01"
_LAYER = b"\x02"
_INFO = b"pdvault/index/v1/"


class DigestKind(enum.Enum):
    """What is digested; each kind has a subkey of its own, by this name."""

    SUBJECT_REF = "subject-ref"
    CASE_REF = "case-ref"
    IDEMPOTENCY = "idempotency"
    REQUEST = "request"


class IndexKey:
    """One tenant's index key, one version of it.

    Attributes:
        version: which of the tenant's index keys this is, from 1.
        commitment: 32 bytes, public: stored with the wrapped secret.
    """

    __slots__ = ("_subkeys", "commitment", "version")

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
        self._subkeys = {kind: _derive(secret, kind.value.encode()) for kind in DigestKind}

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

    def digest(self, kind: DigestKind, *parts: bytes) -> bytes:
        """32 bytes for the parts: the first version's digest."""
        message = _FIRST + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._subkeys[kind], message, "sha256")

    def layer(self, kind: DigestKind, digest: bytes) -> bytes:
        """32 bytes for a digest of the version before: this version's digest."""
        return hmac.digest(self._subkeys[kind], _LAYER + digest, "sha256")

    def __repr__(self) -> str:
        return f"IndexKey(version={self.version}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are neither pickled nor copied")


class IndexChain:
    """All versions of a tenant's index key, and which of them rows are kept under now.

    Attributes:
        live: versions, ascending: a thing is searched under each and stored under all.
    """

    __slots__ = ("_is_live", "_keys", "live")

    def __init__(self, keys: Sequence[IndexKey], live: Sequence[int]) -> None:
        """Link the versions.

        Args:
            keys: every version from 1 to the newest, in order.
            live: at least one of them, ascending.

        Raises:
            ValueError: a link is missing, or nothing is live.
        """
        versions = range(1, len(keys) + 1)
        if [key.version for key in keys] != list(versions):
            raise ValueError("a version of the index key is missing")
        if not live or list(live) != [version for version in versions if version in live]:
            raise ValueError("the live versions are none of the index key's")
        self.live = tuple(live)
        self._keys = tuple(keys[: live[-1]])
        self._is_live = tuple(key.version in live for key in self._keys)

    def subject_ref(self, ref: str) -> Digests:
        """For a caller's reference of a subject, byte by byte as given."""
        return self._digests(DigestKind.SUBJECT_REF, ref.encode())

    def case_ref(self, kind: str, case_id: str) -> Digests:
        """For a caller's reference of a case, byte by byte as given."""
        return self._digests(DigestKind.CASE_REF, kind.encode(), case_id.encode())

    def idempotency(self, caller: str, key: str) -> Digests:
        """For an idempotency key of one caller."""
        return self._digests(DigestKind.IDEMPOTENCY, caller.encode(), key.encode())

    def request(self, request: bytes) -> Digests:
        """For a request's bytes, to tell a retry from another request."""
        return self._digests(DigestKind.REQUEST, request)

    def __repr__(self) -> str:
        return f"IndexChain(live={self.live}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are neither pickled nor copied")

    def _digests(self, kind: DigestKind, *parts: bytes) -> Digests:
        digest = self._keys[0].digest(kind, *parts)
        digests = [digest] if self._is_live[0] else []
        for key, is_live in zip(self._keys[1:], self._is_live[1:], strict=True):
            digest = key.layer(kind, digest)
            if is_live:
                digests.append(digest)
        return tuple(digests)


def _derive(secret: bytes, label: bytes) -> bytes:
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_INFO + label)
    return hkdf.derive(secret)
