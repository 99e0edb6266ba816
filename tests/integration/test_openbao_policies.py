"""deploy/openbao: what each policy permits, and all that it does not."""

import base64
import urllib.error
from pathlib import Path

import pytest

from tests.support.openbao import running_openbao

FOLDER = Path(__file__).parents[2] / "deploy" / "openbao"
ITEM = {"plaintext": base64.b64encode(bytes(32)).decode(), "context": "Y3R4"}


@pytest.fixture(scope="module")
def bao(tmp_path_factory):
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        text = (FOLDER / "custodian.hcl").read_text(encoding="utf-8")
        bao.call("PUT", "sys/policies/acl/custodian", {"policy": text})
        yield bao


def status(bao, token, method, path, body):
    try:
        bao.call(method, path, body, token=token)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


SERVICE = [
    ("POST", "transit/encrypt/pdv-demo-shop", ITEM, 200),
    ("GET", "transit/keys/pdv-demo-shop", None, 200),
    ("GET", "auth/token/lookup-self", None, 200),
    ("POST", "auth/token/renew-self", {}, 200),
    ("POST", "transit/encrypt/pdv-new", ITEM, 403),
    ("POST", "transit/encrypt/other", ITEM, 403),
    ("POST", "transit/keys/pdv-new", {"derived": True}, 403),
    ("POST", "transit/keys/pdv-demo-shop/rotate", {}, 403),
    ("POST", "transit/keys/pdv-demo-shop/config", {"deletion_allowed": True}, 403),
    ("DELETE", "transit/keys/pdv-demo-shop", None, 403),
    ("GET", "transit/export/encryption-key/pdv-demo-shop", None, 403),
    ("GET", "transit/backup/pdv-demo-shop", None, 403),
    ("LIST", "transit/keys", None, 403),
    ("POST", "transit/rewrap/pdv-demo-shop", {}, 403),
    ("POST", "transit/datakey/plaintext/pdv-demo-shop", ITEM, 403),
    ("POST", "auth/token/create", {}, 403),
    ("GET", "sys/mounts", None, 403),
    ("PUT", "sys/seal", {}, 403),
]
CUSTODIAN = [
    ("LIST", "transit/keys", None, 200),
    ("GET", "transit/keys/pdv-demo-shop", None, 200),
    ("POST", "transit/keys/pdv-shop-3", {"type": "aes256-gcm96", "derived": True}, 200),
    ("POST", "transit/keys/pdv-shop-4", {"derived": False}, 403),
    ("POST", "transit/keys/pdv-shop-4", {"derived": True, "exportable": True}, 403),
    ("POST", "transit/keys/pdv-demo-shop/rotate", {}, 200),
    ("POST", "transit/keys/pdv-demo-shop/config", {"min_decryption_version": 1}, 200),
    ("POST", "transit/keys/pdv-demo-shop/config", {"exportable": True}, 403),
    ("POST", "transit/keys/pdv-demo-shop/config", {"allow_plaintext_backup": True}, 403),
    ("POST", "transit/keys/pdv-demo-shop/config", {"deletion_allowed": True}, 403),
    ("DELETE", "transit/keys/pdv-demo-shop", None, 400),  # not allowed for this key
    ("POST", "transit/encrypt/pdv-demo-shop", ITEM, 403),
    ("POST", "transit/decrypt/pdv-demo-shop", {"ciphertext": "vault:v1:x"}, 403),
    ("GET", "transit/export/encryption-key/pdv-demo-shop", None, 403),
    ("GET", "transit/backup/pdv-demo-shop", None, 403),
    ("POST", "transit/keys/other", {"derived": True}, 403),
    ("PUT", "sys/policies/acl/pdvault", {"policy": ""}, 403),
]


@pytest.mark.parametrize(
    ("policy", "cases"),
    [("pdvault", SERVICE), ("custodian", CUSTODIAN)],
    ids=["service", "custodian"],
)
def test_policy(bao, policy, cases):
    token = bao.token(policies=(policy,))
    found = [(m, p, b, status(bao, token, m, p, b)) for m, p, b, _ in cases]
    assert cases == found


def test_rewrapping_is_a_custodians_and_gives_no_key_away(bao):
    wrapped = bao.raw_wrap("other-shop", bytes(32), b"ctx")
    body = {"ciphertext": wrapped, "context": "Y3R4"}
    answer = bao.call(
        "POST", "transit/rewrap/pdv-other-shop", body, token=bao.token(policies=("custodian",))
    )
    assert set(answer["data"]) <= {"ciphertext", "key_version"}
