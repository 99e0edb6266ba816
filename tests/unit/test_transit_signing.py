"""What Transit may answer when it signs, and what the signing key must be."""

import base64

import pytest

from vault.crypto.transit_signing import Signed, read_public_keys, read_signature
from vault.errors import Reason, VaultError

SIGNATURE = bytes(range(64))
PUBLIC = bytes(range(32))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def key(**changes: object) -> dict[str, object]:
    """Settings of a sound key, some of them changed."""
    versions = {"1": {"public_key": text(PUBLIC)}, "12": {"public_key": text(PUBLIC[::-1])}}
    return {"type": "ed25519", "derived": False, "exportable": False, "keys": versions} | changes


def test_a_signature_and_public_keys():
    data = {"signature": f"vault:v12:{text(SIGNATURE)}"}
    assert Signed(12, SIGNATURE) == read_signature(data)
    assert {1: PUBLIC, 12: PUBLIC[::-1]} == read_public_keys(key())


@pytest.mark.parametrize(
    "signature",
    [
        None,
        7,
        "",
        text(SIGNATURE),
        f"vault:v0:{text(SIGNATURE)}",
        f"vault:v1:{text(SIGNATURE[:-1])}",
        f"vault:v1:{text(SIGNATURE + b'x')}",
        f"vault:v1:{text(SIGNATURE)}\n",
        "vault:v1:====",
    ],
)
def test_what_is_no_signature(signature):
    with pytest.raises(VaultError) as caught:
        read_signature({"signature": signature})
    assert Reason.KEY_STORE_FAULT is caught.value.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "ecdsa-p256"},
        {"type": "aes256-gcm96"},
        {"derived": True},
        {"exportable": True},
        {"allow_plaintext_backup": True},
        {"keys": {}},
        {"keys": None},
        {"keys": {"1": 1700000000}},
        {"keys": {"1": {"public_key": text(PUBLIC[:31])}}},
        {"keys": {"x": {"public_key": text(PUBLIC)}}},
        {"keys": {"1": {"public_key": "?"}}},
    ],
)
def test_a_key_that_is_not_fit_to_sign_the_log(changes):
    with pytest.raises(VaultError) as caught:
        read_public_keys(key(**changes))
    assert Reason.KEY_STORE_FAULT is caught.value.reason
