"""Keys and rewrapped keys as Transit tells them: an answer that does not fit is a fault."""

import base64
import datetime as dt

import pytest

from vault.crypto.transit_batch import RewrapItem, Unopenable, Wrapped, batch_body, read_rewrapped
from vault.crypto.transit_keys import read_root_key
from vault.errors import Reason, VaultError

ANSWER = {
    "name": "pdv-shop",
    "type": "aes256-gcm96",
    "keys": {"2": 1_700_000_000, "3": 1_700_000_100},
    "latest_version": 3,
    "min_decryption_version": 2,
    "min_encryption_version": 0,
    "min_available_version": 1,
    "deletion_allowed": False,
}
WRAPPED = f"vault:v3:{base64.b64encode(bytes(60)).decode()}"


def test_a_key():
    key = read_root_key("pdv-shop", ANSWER)
    assert (3, 2, 0, 1, False) == (
        key.latest,
        key.min_decryption_version,
        key.min_encryption_version,
        key.min_available_version,
        key.deletion_allowed,
    )
    assert {2, 3} == set(key.versions)
    assert dt.datetime.fromtimestamp(1_700_000_000, dt.UTC) == key.versions[2]


def test_a_signing_keys_versions_have_times_with_a_zone():
    versions = {"1": {"creation_time": "2026-11-21T23:10:57.914117903+01:00", "public_key": "x"}}
    change = {"keys": versions, "latest_version": 1, "min_decryption_version": 1}
    made_at = read_root_key("pdv-shop", ANSWER | change).versions[1]
    assert "2026-11-21T22:10:57.914117+00:00" == made_at.isoformat()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "pdv-other"},
        {"keys": None},
        {"keys": {}},
        {"keys": {"3": 1_700_000_000}},
        {"keys": {"1": 1, "2": 2, "3": 3}},
        {"keys": {"2": "yesterday", "3": 3}},
        {"keys": {"2": {"creation_time": None}, "3": 3}},
        {"keys": {"2": 10**30, "3": 3}},
        {"latest_version": None},
        {"latest_version": 4},
        {"min_decryption_version": -1},
        {"min_encryption_version": "2"},
        {"min_available_version": None},
    ],
)
def test_an_answer_that_is_no_key(change):
    with pytest.raises(VaultError) as caught:
        read_root_key("pdv-shop", ANSWER | change)
    assert Reason.KEY_STORE_FAULT is caught.value.reason


def test_a_rewrapped_key_says_its_place():
    """Nobody who rewraps could see that it is another's."""
    assert Wrapped(WRAPPED, 3) == read_rewrapped({"ciphertext": WRAPPED, "reference": "0"})
    answer = read_rewrapped({"ciphertext": WRAPPED})
    assert isinstance(answer, VaultError)
    assert Reason.KEY_STORE_FAULT is answer.reason
    assert Unopenable() == read_rewrapped({"error": "message authentication", "reference": "0"})
    assert isinstance(read_rewrapped({"ciphertext": WRAPPED[:-8], "reference": "0"}), VaultError)


def test_what_is_asked_for():
    item = RewrapItem("shop", WRAPPED, b"ctx")
    one, two = batch_body([item, item])["batch_input"]
    assert {"ciphertext": WRAPPED, "context": "Y3R4", "reference": "0"} == one
    assert "1" == two["reference"]
    assert WRAPPED not in repr(item)
    for wrong in (("Shop", b"ctx"), ("shop", b"")):
        with pytest.raises(ValueError, match=r"tenant|context"):
            RewrapItem(wrong[0], WRAPPED, wrong[1])
