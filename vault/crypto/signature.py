"""Whether an Ed25519 signature is good. Guarantees: any fault at all is a plain no."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def is_signed(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether `signature` (64 bytes, RFC 8032) of `data` is by the key (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
