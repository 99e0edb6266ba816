"""Signatures and public keys as Transit gives them: read and checked here, without I/O.

Guarantees: what is handed on has the lengths of Ed25519 (RFC 8032), and a key that
could leave Transit is refused. Leaves to others: whether a signature verifies.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from vault.crypto.transit_errors import key_store_error
from vault.errors import Reason, VaultError

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
_SIGNATURE = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})")
_DEMANDS: dict[str, object] = {
    "type": "ed25519",
    "derived": False,
    "exportable": False,
    "allow_plaintext_backup": False,
}


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature.

    Attributes:
        key_version: which version of the key made it.
        signature: 64 bytes.
    """

    key_version: int
    signature: bytes


def read_signature(data: dict[str, object]) -> Signed:
    """The signature in an answer.

    Raises:
        VaultError: KEY_STORE_FAULT: there is none, or not of Ed25519.
    """
    text = data.get("signature")
    match = _SIGNATURE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise key_store_error(Reason.KEY_STORE_FAULT)
    return Signed(int(match[1]), _bytes(match[2], SIGNATURE_BYTES))


def read_public_keys(data: dict[str, object]) -> dict[int, bytes]:
    """Version to public key (32 bytes) of a key that is fit to sign.

    Raises:
        VaultError: KEY_STORE_FAULT: it is of another type, may leave Transit, or the answer
            has no public keys.
    """
    for name, wanted in _DEMANDS.items():
        if data.get(name, False) != wanted:
            raise VaultError(Reason.KEY_STORE_FAULT, f"a signing key: {name} must be {wanted}")
    versions = data.get("keys")
    if not isinstance(versions, dict) or not versions:
        raise key_store_error(Reason.KEY_STORE_FAULT)
    found: dict[int, bytes] = {}
    for number, version in versions.items():
        public = version.get("public_key") if isinstance(version, dict) else None
        if not str(number).isdecimal() or not isinstance(public, str):
            raise key_store_error(Reason.KEY_STORE_FAULT)
        found[int(number)] = _bytes(public, PUBLIC_KEY_BYTES)
    return found


def _bytes(text: str, length: int) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != length:
        raise key_store_error(Reason.KEY_STORE_FAULT)
    return data
