"""Wycheproof (C2SP, Apache-2.0): AES-GCM, HKDF-SHA-256 and HMAC-SHA-256 as we use them.

AES-GCM goes through `SubjectKey` itself. Cases outside our parameters (key, nonce and tag
of fixed sizes, associated data not empty) are counted by rule, so that none drops out
unseen. Needs the vectors beside the repository.
"""

import hmac
import json
from collections import Counter
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.crypto.aead import DecryptError, SubjectKey
from vault.crypto.envelope import Envelope, write_envelope

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "wycheproof"

pytestmark = pytest.mark.skipif(not VECTORS.exists(), reason="no third-party vectors here")


def cases(name):
    document = json.loads((VECTORS / f"{name}_test.json").read_text(encoding="utf-8"))
    found = [(group, case) for group in document["testGroups"] for case in group["tests"]]
    assert document["numberOfTests"] == len(found)
    return found


def key_from_raw(raw):
    """A subject key whose encryption key is `raw`: the vectors know nothing of our derivation."""
    key = SubjectKey(bytes(32), bytes(32))
    key._aesgcm = AESGCM(raw)
    return key


def outside_our_parameters(group, case):
    """The rule by which we never meet a case; None if we may meet it."""
    if group["keySize"] != 256:
        return "key is not 256 bits"
    if group["ivSize"] != 96:
        return "nonce is not 96 bits"
    assert group["tagSize"] == 128
    return None if case["aad"] else "associated data is empty"


def test_aes_gcm():
    counts = Counter()
    for group, case in cases("aes_gcm"):
        raw, nonce, aad, message, ciphertext, tag = (
            bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")
        )
        rule = outside_our_parameters(group, case)
        counts[rule] += 1
        if rule == "key is not 256 bits":
            with pytest.raises(ValueError):
                SubjectKey(raw, bytes(32))
            continue
        if rule == "nonce is not 96 bits":
            with pytest.raises(ValueError):
                write_envelope(Envelope(bytes(32), nonce, ciphertext + tag))
            continue
        key = key_from_raw(raw)
        envelope = write_envelope(Envelope(key.commitment, nonce, ciphertext + tag))
        if rule is None and case["result"] == "valid":
            assert message == key.open(envelope, aad), case["tcId"]
            continue
        with pytest.raises(DecryptError):
            key.open(envelope, aad)
        if rule == "associated data is empty":  # refused as such: ask the cipher below it
            if case["result"] == "valid":
                assert message == key._aesgcm.decrypt(nonce, ciphertext + tag, aad), case["tcId"]
            else:
                with pytest.raises(InvalidTag):
                    key._aesgcm.decrypt(nonce, ciphertext + tag, aad)
    expected = {
        None: 18,
        "associated data is empty": 48,
        "key is not 256 bits": 211,
        "nonce is not 96 bits": 39,
    }
    assert expected == counts


def test_hkdf_sha256():
    for _, case in cases("hkdf_sha256"):
        salt, ikm, info = (bytes.fromhex(case[name]) for name in ("salt", "ikm", "info"))
        if case["result"] == "valid":
            hkdf = HKDF(algorithm=hashes.SHA256(), length=case["size"], salt=salt, info=info)
            assert case["okm"] == hkdf.derive(ikm).hex(), case["tcId"]
        else:
            with pytest.raises(ValueError):
                HKDF(algorithm=hashes.SHA256(), length=case["size"], salt=salt, info=info)


def test_hmac_sha256():
    for group, case in cases("hmac_sha256"):
        key, message, tag = (bytes.fromhex(case[name]) for name in ("key", "msg", "tag"))
        computed = hmac.digest(key, message, "sha256")[: group["tagSize"] // 8]
        assert (case["result"] == "valid") == hmac.compare_digest(computed, tag), case["tcId"]
