"""The field envelope, version 1: the bytes in which one sealed field is stored.

    0x01 | commitment (32) | nonce (12) | ciphertext || tag (16)

Guarantees: the reader accepts exactly what the writer writes, so reading and writing
again gives the same bytes. Leaves to `aead`: what the parts mean. `docs/formats.md`
has the byte table, `tests/vectors/envelope.json` the golden bytes.
"""

from dataclasses import dataclass, field

VERSION = 1
COMMITMENT_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = 1 + COMMITMENT_BYTES + NONCE_BYTES + TAG_BYTES
MAX_ENVELOPE_BYTES = 64 * 1024
MAX_PLAINTEXT_BYTES = MAX_ENVELOPE_BYTES - OVERHEAD_BYTES

_NONCE_AT = 1 + COMMITMENT_BYTES
_SEALED_AT = _NONCE_AT + NONCE_BYTES


class DecryptError(Exception):
    """Something sealed did not open. One text, whatever the cause.

    A wrong key, wrong associated data, a bad tag, a wrong commitment and a malformed
    envelope must look alike, or the difference is an oracle.
    """

    def __init__(self) -> None:
        super().__init__("the ciphertext does not open")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parts of a field envelope.

    Attributes:
        commitment: 32 bytes that name the only key that may open it.
        nonce: 12 bytes.
        sealed: ciphertext and tag, at least 16 bytes.
    """

    commitment: bytes
    nonce: bytes
    sealed: bytes = field(repr=False)


def write_envelope(parts: Envelope) -> bytes:
    """The stored bytes of an envelope.

    Raises:
        ValueError: a part has a wrong length, or the whole is above 64 KiB.
    """
    if len(parts.commitment) != COMMITMENT_BYTES or len(parts.nonce) != NONCE_BYTES:
        raise ValueError("commitment or nonce of a wrong length")
    if not TAG_BYTES <= len(parts.sealed) <= MAX_ENVELOPE_BYTES - _SEALED_AT:
        raise ValueError("sealed part of a wrong length")
    return bytes((VERSION,)) + parts.commitment + parts.nonce + parts.sealed


def read_envelope(data: bytes) -> Envelope:
    """The parts of stored bytes.

    Raises:
        DecryptError: as `split_envelope`.
    """
    return Envelope(*split_envelope(data))


def split_envelope(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Commitment, nonce and sealed part of stored bytes, as the hot path takes them.

    Raises:
        DecryptError: another version, shorter than an empty field's envelope, or
            above 64 KiB.
    """
    if not OVERHEAD_BYTES <= len(data) <= MAX_ENVELOPE_BYTES or data[0] != VERSION:
        raise DecryptError
    return data[1:_NONCE_AT], data[_NONCE_AT:_SEALED_AT], data[_SEALED_AT:]
