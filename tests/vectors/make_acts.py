"""Writes acts.json from docs/formats.md alone, without the product's code."""

import hashlib
import json
import struct
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REQUEST_ID = uuid.UUID("6b0e2a3c-9f43-4d9e-8a7b-2f1d3c4b5a69")
TENANT = "demo-shop"
REQUESTER = "spiffe://pdvault.example/vault/custodian-1"
APPROVER = "spiffe://pdvault.example/vault/custodian-2"
ASKED, APPROVED, UNTIL = 1_790_000_000_000_000, 1_790_000_060_000_001, 1_790_086_400_000_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ACTS = {
    "retire": b"\x01\x01" + struct.pack(">I", 2),
    "trim": b"\x01\x02" + struct.pack(">I", 2_147_483_647),
    "destroy": b"\x01\x03" + struct.pack(">H", len(TENANT)) + TENANT.encode(),
    "widen": b"\x01\x04" + bytes(range(32)),
}


def part(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def vector(act: bytes) -> dict[str, str]:
    request = b"pdvault/act-request/v1\x00" + REQUEST_ID.bytes
    for each in (TENANT.encode(), act, b"rotation", REQUESTER.encode()):
        request += part(each)
    digest = hashlib.sha256(request + struct.pack(">QQ", ASKED, UNTIL)).digest()
    statement = b"pdvault/act-approval/v1\x00" + digest + part(APPROVER.encode())
    statement += struct.pack(">QQ", APPROVED, UNTIL)
    return {
        "act": act.hex(),
        "digest": digest.hex(),
        "statement": statement.hex(),
        "signature": KEY.sign(statement).hex(),
    }


def main() -> None:
    document = {
        "request_id": REQUEST_ID.hex,
        "tenant": TENANT,
        "cause": "rotation",
        "requested_by": REQUESTER,
        "requested_at_us": ASKED,
        "expires_at_us": UNTIL,
        "approver": APPROVER,
        "approved_at_us": APPROVED,
        "public_key": KEY.public_key().public_bytes_raw().hex(),
        "idempotency": hashlib.sha256(
            b"pdvault/act-idempotency/v1\x00" + part(REQUESTER.encode()) + part(b"k" * 16)
        ).hexdigest(),
        "acts": {name: vector(act) for name, act in ACTS.items()},
    }
    path = Path(__file__).with_name("acts.json")
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
