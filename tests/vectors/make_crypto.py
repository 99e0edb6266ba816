"""Makes crypto.json anew: `python tests/vectors/make_crypto.py`.

Nothing of `vault` is used here: the bytes are put together from docs/formats.md with the
standard library's HMAC and SHA-2, and AES-GCM of pyca/cryptography. So a slip in the
product cannot make its own golden bytes. The file changes only with a format version.
"""

import hashlib
import hmac
import json
import uuid
import zlib
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
TENANT = "demo-shop"
SUBJECT = uuid.UUID("00112233-4455-4677-8899-aabbccddeeff")
DATA_KEY = bytes(range(32))
KEY_SALT = bytes(range(32, 64))
NONCE = bytes(range(64, 76))
SECRET = bytes(range(128, 160))
SECOND_SECRET = bytes(range(160, 192))
KINDS = ("subject-ref", "case-ref", "idempotency", "request")


def hkdf(name, salt, ikm, info):
    """RFC 5869, one block."""
    size = hashlib.new(name).digest_size
    prk = hmac.digest(salt or bytes(size), ikm, name)
    return hmac.digest(prk, info + b"\x01", name)[:32]


def prefixed(*parts, width):
    return b"".join(len(part).to_bytes(width, "big") + part for part in parts)


def base32(bits):
    return "".join(CROCKFORD[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


def token(prefix, environment, random):
    unchecked = f"{prefix}_{environment}_" + base32("00" + "".join(f"{b:08b}" for b in random))
    return unchecked + base32("000" + f"{zlib.crc32(unchecked.encode()):032b}")


def make():
    phone = token("phone", "demo", bytes(range(16)))
    key = hkdf("sha512", KEY_SALT, DATA_KEY, b"\x04\x78DERIVEKEY")
    commitment = hkdf("sha512", KEY_SALT, DATA_KEY, b"COMMITKEY")
    aad = b"\x01" + prefixed(
        b"field", TENANT.encode(), SUBJECT.bytes, b"phone", phone.encode(), b"\x01", width=2
    )
    texts = ["", "13800005678", "浙江省杭州市西湖区"]
    digests = {
        kind: hkdf("sha256", b"", SECRET, b"pdvault/index/v1/" + kind.encode())
        for kind in ("commitment", *KINDS)
    }
    layers = {
        kind: hkdf("sha256", b"", SECOND_SECRET, b"pdvault/index/v1/" + kind.encode())
        for kind in KINDS
    }

    def digest(kind, *parts):
        return hmac.digest(digests[kind], b"\x01" + prefixed(*parts, width=4), "sha256").hex()

    def layer(kind, first):
        return hmac.digest(layers[kind], b"\x02" + bytes.fromhex(first), "sha256").hex()

    firsts = {
        "subject-ref": digest("subject-ref", "买家-42".encode()),
        "case-ref": digest("case-ref", b"order", b"A-2026-000123"),
        "idempotency": digest("idempotency", b"spiffe://pdvault.example/shop/order", b"order-7"),
        "request": digest("request", b"\x00\xff"),
    }
    return {
        "how": "tests/vectors/make_crypto.py; docs/formats.md has the formats",
        "key_commitment": {
            "data_key": DATA_KEY.hex(),
            "key_salt": KEY_SALT.hex(),
            "encryption_key": key.hex(),
            "commitment": commitment.hex(),
        },
        "field_aad": {
            "tenant": TENANT,
            "subject_id": str(SUBJECT),
            "field_type": "phone",
            "token": phone,
            "aad": aad.hex(),
        },
        "envelopes": [
            {
                "plaintext": text,
                "nonce": NONCE.hex(),
                "envelope": (
                    b"\x01" + commitment + NONCE + AESGCM(key).encrypt(NONCE, text.encode(), aad)
                ).hex(),
            }
            for text in texts
        ],
        "contexts": {
            "tenant": TENANT,
            "subject_id": str(SUBJECT),
            "key_version": 258,
            "key_context": (
                b"\x01"
                + prefixed(
                    b"subject-key", TENANT.encode(), SUBJECT.bytes, b"\x00\x00\x01\x02", width=2
                )
            ).hex(),
            "index_key_context": (
                b"\x01" + prefixed(b"index-key", TENANT.encode(), b"\x00\x00\x01\x02", width=2)
            ).hex(),
        },
        "tokens": [
            {
                "prefix": prefix,
                "environment": environment,
                "random": random.hex(),
                "token": (text := token(prefix, environment, random)),
                "digest": hashlib.sha256(b"pdvault/token/v1\x00" + text.encode()).hexdigest(),
            }
            for prefix, environment, random in [
                ("phone", "demo", bytes(range(16))),
                ("ab", "p1", bytes(16)),
                ("abcdefgh", "staging9", b"\xff" * 16),
            ]
        ],
        "index_key": {
            "secret": SECRET.hex(),
            "commitment": digests["commitment"].hex(),
            "subject_ref": {"ref": "买家-42", "digest": firsts["subject-ref"]},
            "case_ref": {
                "kind": "order",
                "id": "A-2026-000123",
                "digest": firsts["case-ref"],
            },
            "idempotency": {
                "caller": "spiffe://pdvault.example/shop/order",
                "key": "order-7",
                "digest": firsts["idempotency"],
            },
            "request": {"bytes": "00ff", "digest": firsts["request"]},
            "second_secret": SECOND_SECRET.hex(),
            "second_digests": {kind: layer(kind, firsts[kind]) for kind in KINDS},
        },
    }


if __name__ == "__main__":
    path = Path(__file__).with_name("crypto.json")
    path.write_text(json.dumps(make(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
