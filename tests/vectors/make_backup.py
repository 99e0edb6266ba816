"""Makes backup.json anew: `python tests/vectors/make_backup.py`.

Nothing of `vault` is used here: the bytes are put together from docs/formats.md. The sealed
part is there as its SHA-256, being longer than a chunk.
"""

import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 262_144
DATA_KEY = bytes(range(32))
KEY_SALT = bytes(range(32, 64))
HEADER = (
    '{"backup_id":"00112233445546778899aabbccddeeff","begun_at":"2026-11-21T08:30:00Z",'
    '"commitment":"COMMITMENT","key_salt":"SALT","transit_key":"pdv-backup",'
    '"wrapped":"vault:v3:AAECAwQ="}'
)


def hkdf(info):
    """RFC 5869 with SHA-512, one block."""
    prk = hmac.digest(KEY_SALT, DATA_KEY, "sha512")
    return hmac.digest(prk, info + b"\x01", "sha512")[:32]


def seal(plain):
    commitment = hkdf(b"pdvault/stream/v1/commit")
    header = HEADER.replace("COMMITMENT", commitment.hex()).replace("SALT", KEY_SALT.hex()).encode()
    preamble = b"pdvault-backup/1" + len(header).to_bytes(4, "big") + header
    aad = hashlib.sha256(preamble).digest()
    key = AESGCM(hkdf(b"pdvault/stream/v1/encrypt"))
    chunks = [plain[at : at + CHUNK] for at in range(0, len(plain), CHUNK)] or [b""]
    sealed = b""
    for number, chunk in enumerate(chunks):
        last = b"\x01" if number == len(chunks) - 1 else b"\x00"
        sealed += key.encrypt(number.to_bytes(11, "big") + last, chunk, aad)
    return preamble, sealed


def pattern(length):
    return (b"pdvault." * (length // 8 + 1))[:length]


def make():
    cases = []
    for length in (0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 77):
        preamble, sealed = seal(pattern(length))
        case = {"length": length, "sealed_sha256": hashlib.sha256(sealed).hexdigest()}
        if length <= 100:
            case["sealed"] = sealed.hex()
        cases.append(case)
    return {
        "how": "tests/vectors/make_backup.py; docs/formats.md has the format",
        "data_key": DATA_KEY.hex(),
        "key_salt": KEY_SALT.hex(),
        "preamble": preamble.hex(),
        "plain": "`pdvault.` over and over, cut to the length",
        "cases": cases,
    }


if __name__ == "__main__":
    text = json.dumps(make(), indent=2) + "\n"
    Path(__file__).with_name("backup.json").write_text(text, encoding="utf-8")
