"""AES-256-GCM that commits to its key: the only door to AESGCM.

Guarantees: a nonce is drawn fresh inside `seal` and no caller can choose one; an
envelope opens under exactly one key, its own (`docs/adr/0002-key-commitment.md`);
whatever is wrong, `open` fails with the same `DecryptError`; key objects show nothing
in `repr` and cannot be pickled or copied. Leaves to others: wrapping the data key
(`transit`), what the associated data says (`binding`), and wiping memory: Python bytes
and the cipher object's own copy cannot be wiped, so no zeroisation is claimed.

AES-GCM with random 96-bit nonces allows 2^32 messages a key (NIST SP 800-38D, 8.3). Who
counts them: `vault.service.seal_uses`.

A stream (a backup) has a key of its own, used for nothing else, so its nonces are counted and not
drawn: STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance, CRYPTO 2015). The counter is the object's own.
"""

import hmac
import secrets
from collections.abc import Callable
from typing import NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.crypto.envelope import (
    MAX_PLAINTEXT_BYTES,
    NONCE_BYTES,
    DecryptError,
    Envelope,
    split_envelope,
    write_envelope,
)

__all__ = [
    "DATA_KEY_BYTES",
    "KEY_SALT_BYTES",
    "DecryptError",
    "StreamOpener",
    "StreamSealer",
    "SubjectKey",
    "new_data_key",
]

DATA_KEY_BYTES = 32
KEY_SALT_BYTES = 32

# AWS Encryption SDK, algorithm suite 0x0478: HKDF-SHA-512 with the message id (here: the
# stored key salt) as salt, and these two `info` strings.
_ENCRYPTION_INFO = b"\x04\x78DERIVEKEY"
_COMMITMENT_INFO = b"COMMITKEY"
# The same derivation for the keys of streams, kept apart by its own words.
_STREAM_INFO = b"pdvault/stream/v1/encrypt"
_STREAM_COMMITMENT_INFO = b"pdvault/stream/v1/commit"
_COUNTER_BYTES = NONCE_BYTES - 1
_MAX_CHUNKS = 1 << 32
"""As for any one key of AES-GCM."""


class SubjectKey:
    """One subject's opened key.

    Attributes:
        commitment: 32 bytes, public: stored with the key row and in every envelope.
    """

    __slots__ = ("_aesgcm", "commitment")

    def __init__(self, data_key: bytes, key_salt: bytes) -> None:
        """Derive the key.

        Args:
            data_key: the 32 random bytes that Transit wraps.
            key_salt: the 32 random bytes stored beside the wrapped key.

        Raises:
            ValueError: one of them is not 32 bytes.
        """
        if len(data_key) != DATA_KEY_BYTES or len(key_salt) != KEY_SALT_BYTES:
            raise ValueError("data key or key salt of a wrong length")
        self._aesgcm = AESGCM(_derive(data_key, key_salt, _ENCRYPTION_INFO))
        self.commitment = _derive(data_key, key_salt, _COMMITMENT_INFO)

    @classmethod
    def check(cls, data_key: bytes, *, key_salt: bytes, commitment: bytes) -> Self:
        """The key, provided that it is the one that the key row commits to.

        Raises:
            DecryptError: it is another key (Transit, or whoever holds the rows,
                answered wrongly), or a length is wrong.
        """
        if len(data_key) != DATA_KEY_BYTES or len(key_salt) != KEY_SALT_BYTES:
            raise DecryptError
        key = cls(data_key, key_salt)
        if not hmac.compare_digest(key.commitment, commitment):
            raise DecryptError
        return key

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """The envelope of `plaintext`, bound to `aad` (from `binding.field_aad`).

        Raises:
            ValueError: `aad` is empty, or `plaintext` is above 65,475 bytes.
        """
        if not aad:
            raise ValueError("associated data is required")
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise ValueError("plaintext too long")
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._aesgcm.encrypt(nonce, plaintext, aad)
        return write_envelope(Envelope(self.commitment, nonce, sealed))

    def open(self, envelope: bytes, aad: bytes) -> bytes:
        """The plaintext of an envelope that `seal` made with this key and `aad`.

        Raises:
            DecryptError: anything else, whatever the cause.
        """
        commitment, nonce, sealed = split_envelope(envelope)
        if not aad or not hmac.compare_digest(commitment, self.commitment):
            raise DecryptError
        try:
            return self._aesgcm.decrypt(nonce, sealed, aad)
        except InvalidTag:
            # No cause: a log that shows one would tell a bad tag from a wrong commitment.
            raise DecryptError from None

    def __repr__(self) -> str:
        return "SubjectKey(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are neither pickled nor copied")


class _Stream:
    """The key of one stream, and how far along it is.

    Attributes:
        commitment: 32 bytes, public: which key this is.
    """

    __slots__ = ("_aesgcm", "_at", "_is_over", "commitment")

    def __init__(self, data_key: bytes, key_salt: bytes) -> None:
        """Derive the key.

        Raises:
            ValueError: data key or salt is not 32 bytes.
        """
        if len(data_key) != DATA_KEY_BYTES or len(key_salt) != KEY_SALT_BYTES:
            raise ValueError("data key or key salt of a wrong length")
        self._aesgcm = AESGCM(_derive(data_key, key_salt, _STREAM_INFO))
        self.commitment = _derive(data_key, key_salt, _STREAM_COMMITMENT_INFO)
        self._at = 0
        self._is_over = False

    def _next_nonce(self, *, is_last: bool) -> bytes:
        """The number of the chunk and whether it is the last: each nonce comes once."""
        if self._is_over or self._at >= _MAX_CHUNKS:
            raise ValueError("the stream is over")
        nonce = self._at.to_bytes(_COUNTER_BYTES, "big") + bytes((is_last,))
        self._at += 1
        self._is_over = is_last
        return nonce

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are neither pickled nor copied")


class StreamSealer(_Stream):
    """Seals the chunks of one stream, in order. A data key is for one stream only."""

    __slots__ = ()

    def seal(self, chunk: bytes, aad: bytes, *, is_last: bool) -> bytes:
        """Ciphertext and tag of the next chunk.

        Raises:
            ValueError: the last chunk was sealed already, or there is no associated data.
        """
        if not aad:
            raise ValueError("associated data is required")
        return self._aesgcm.encrypt(self._next_nonce(is_last=is_last), chunk, aad)


class StreamOpener(_Stream):
    """Opens the chunks of one stream, in order."""

    __slots__ = ()

    @classmethod
    def check(cls, data_key: bytes, *, key_salt: bytes, commitment: bytes) -> Self:
        """The key, provided that it is the one that the stream commits to.

        Raises:
            DecryptError: it is another key, or a length is wrong.
        """
        if len(data_key) != DATA_KEY_BYTES or len(key_salt) != KEY_SALT_BYTES:
            raise DecryptError
        opener = cls(data_key, key_salt)
        if not hmac.compare_digest(opener.commitment, commitment):
            raise DecryptError
        return opener

    def open(self, sealed: bytes, aad: bytes, *, is_last: bool) -> bytes:
        """The next chunk.

        Raises:
            DecryptError: it is not what was sealed in this place; the stream is of no more use.
        """
        if self._is_over:
            raise DecryptError
        try:
            return self._aesgcm.decrypt(self._next_nonce(is_last=is_last), sealed, aad)
        except InvalidTag:
            self._is_over = True
            raise DecryptError from None


def new_data_key(random: Callable[[int], bytes] = secrets.token_bytes) -> tuple[bytes, bytes]:
    """A fresh data key and its salt, 32 bytes each, for `SubjectKey` and for wrapping."""
    return random(DATA_KEY_BYTES), random(KEY_SALT_BYTES)


def _derive(data_key: bytes, key_salt: bytes, info: bytes) -> bytes:
    hkdf = HKDF(algorithm=hashes.SHA512(), length=32, salt=key_salt, info=info)
    return hkdf.derive(data_key)
