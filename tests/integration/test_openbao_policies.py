"""deploy/openbao: what each policy permits, and all that it does not."""

import base64
import urllib.error

import pytest

from tests.support.openbao import running_openbao

CONTEXT = base64.b64encode(b"ctx").decode()
ITEM = {"plaintext": base64.b64encode(bytes(32)).decode(), "context": CONTEXT}
PLAIN = {"plaintext": ITEM["plaintext"]}
DATA = {"input": "YQ=="}
TENANT, SIGNING, APPROVALS, BACKUPS = "pdv-demo-shop", "pdv-audit-log", "pdv-custody", "pdv-backup"


@pytest.fixture(scope="module")
def bao(tmp_path_factory):
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        for key, kind in ((SIGNING, "ed25519"), (APPROVALS, "ed25519"), (BACKUPS, "aes256-gcm96")):
            bao.call("POST", f"transit/keys/{key}", {"type": kind})
        bao.call("POST", "transit/keys/other", {})
        yield bao


@pytest.fixture(scope="module")
def wrapped(bao):
    """Something that each wrapping key has wrapped."""
    backup = bao.call("POST", f"transit/encrypt/{BACKUPS}", PLAIN)["data"]["ciphertext"]
    return {TENANT: bao.raw_wrap("demo-shop", bytes(32), b"ctx"), BACKUPS: backup}


def status(bao, token, method, path, body):
    try:
        bao.call(method, path, body, token=token)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


OWN_TOKEN = [
    ("GET", "auth/token/lookup-self", None, 200),
    ("POST", "auth/token/renew-self", {}, 200),
]
# Nobody's, whatever the login.
NOBODYS = [
    *(
        (method, path.format(key=key), body, 403)
        for key in (TENANT, SIGNING, APPROVALS, BACKUPS)
        for method, path, body in (
            ("GET", "transit/export/encryption-key/{key}", None),
            ("GET", "transit/export/signing-key/{key}/1", None),
            ("GET", "transit/export/public-key/{key}", None),
            ("GET", "transit/backup/{key}", None),
            ("POST", "transit/restore/{key}", {"backup": "x"}),
            ("POST", "transit/keys/{key}/config", {"exportable": True}),
            ("POST", "transit/keys/{key}/config", {"allow_plaintext_backup": True}),
            ("POST", "transit/keys/{key}/config", {"deletion_allowed": True}),
            ("POST", "transit/keys/{key}/config", {"auto_rotate_period": "1h"}),
            ("POST", "transit/keys/{key}/import", {"ciphertext": "x"}),
            ("POST", "transit/datakey/plaintext/{key}", ITEM),
            ("POST", "transit/datakey/wrapped/{key}", ITEM),
            ("POST", "transit/hmac/{key}", DATA),
        )
    ),
    ("GET", "transit/keys/other", None, 403),
    ("POST", "transit/keys/other/rotate", {}, 403),
    ("POST", "transit/encrypt/other", PLAIN, 403),
    ("POST", "transit/rewrap/other", {}, 403),
    ("DELETE", "transit/keys/other", None, 403),
    ("POST", "transit/cache-config", {"size": 10}, 403),
    ("POST", "auth/token/create", {}, 403),
    ("PUT", "sys/policies/acl/pdvault", {"policy": ""}, 403),
    ("PUT", "sys/policies/acl/custodian", {"policy": ""}, 403),
    ("POST", "sys/mounts/transit2", {"type": "transit"}, 403),
    ("DELETE", "sys/mounts/transit", None, 403),
    ("GET", "sys/mounts", None, 403),
    ("PUT", "sys/seal", {}, 403),
]
SERVICE = [
    *OWN_TOKEN,
    *NOBODYS,
    ("POST", f"transit/encrypt/{TENANT}", ITEM, 200),
    ("POST", f"transit/decrypt/{TENANT}", {"ciphertext": TENANT, "context": CONTEXT}, 200),
    ("GET", f"transit/keys/{TENANT}", None, 200),
    ("GET", f"transit/keys/{SIGNING}", None, 200),
    ("POST", f"transit/sign/{SIGNING}", DATA, 200),
    ("POST", f"transit/sign/{SIGNING}", DATA | {"key_version": 1}, 200),
    # Makes nothing: neither a key by asking for it, nor by wrapping under a name.
    ("POST", "transit/encrypt/pdv-new", ITEM, 403),
    ("POST", "transit/keys/pdv-new", {"type": "aes256-gcm96", "derived": True}, 403),
    ("LIST", "transit/keys", None, 403),
    # Turns nothing.
    *(
        (method, path.format(key=key), body, 403)
        for key in (TENANT, SIGNING, APPROVALS, BACKUPS)
        for method, path, body in (
            ("POST", "transit/keys/{key}/rotate", {}),
            ("POST", "transit/keys/{key}/config", {"min_decryption_version": 1}),
            ("POST", "transit/keys/{key}/config", {"min_encryption_version": 1}),
            ("POST", "transit/keys/{key}/trim", {"min_available_version": 1}),
            ("DELETE", "transit/keys/{key}", None),
            ("POST", "transit/rewrap/{key}", {"ciphertext": "vault:v1:x", "context": CONTEXT}),
        )
    ),
    # Approvals and backups are the custodians'.
    ("POST", f"transit/sign/{APPROVALS}", DATA, 403),
    ("POST", f"transit/encrypt/{BACKUPS}", PLAIN, 403),
    ("POST", f"transit/decrypt/{BACKUPS}", {"ciphertext": BACKUPS}, 403),
]
CUSTODIAN = [
    *OWN_TOKEN,
    *NOBODYS,
    ("LIST", "transit/keys", None, 200),
    ("GET", f"transit/keys/{TENANT}", None, 200),
    ("POST", "transit/keys/pdv-shop-3", {"type": "aes256-gcm96", "derived": True}, 200),
    ("POST", "transit/keys/pdv-shop-4", {"derived": False}, 403),
    ("POST", "transit/keys/pdv-shop-4", {"derived": True, "convergent_encryption": True}, 403),
    ("POST", "transit/keys/pdv-shop-4", {"derived": True, "exportable": True}, 403),
    ("POST", "transit/keys/pdv-shop-4", {"type": "ed25519"}, 403),
    ("POST", f"transit/rewrap/{TENANT}", {"ciphertext": TENANT, "context": CONTEXT}, 200),
    ("POST", f"transit/keys/{TENANT}/rotate", {}, 200),
    ("POST", f"transit/keys/{SIGNING}/rotate", {}, 200),
    ("POST", f"transit/keys/{TENANT}/config", {"min_decryption_version": 2}, 200),
    ("POST", f"transit/keys/{TENANT}/config", {"min_encryption_version": 2}, 200),
    ("POST", f"transit/keys/{TENANT}/trim", {"min_available_version": 2}, 200),
    ("DELETE", f"transit/keys/{TENANT}", None, 400),  # not allowed for this key
    ("POST", f"transit/sign/{APPROVALS}", DATA, 200),
    ("POST", f"transit/encrypt/{BACKUPS}", PLAIN, 200),
    ("POST", f"transit/decrypt/{BACKUPS}", {"ciphertext": BACKUPS}, 200),
    # Opens and wraps no data key, and signs no checkpoint.
    ("POST", f"transit/encrypt/{TENANT}", ITEM, 403),
    ("POST", f"transit/decrypt/{TENANT}", {"ciphertext": TENANT, "context": CONTEXT}, 403),
    ("POST", f"transit/sign/{SIGNING}", DATA, 403),
    ("POST", "transit/keys/other", {"derived": True}, 403),
]


@pytest.mark.parametrize(
    ("policy", "cases"),
    [("pdvault", SERVICE), ("custodian", CUSTODIAN)],
    ids=["service", "custodian"],
)
def test_policy(bao, wrapped, policy, cases):
    token = bao.token(policies=(policy,))

    def body_of(body):
        if body and body.get("ciphertext") in wrapped:
            return body | {"ciphertext": wrapped[body["ciphertext"]]}
        return body

    found = [(m, p, b, status(bao, token, m, p, body_of(b))) for m, p, b, _ in cases]
    assert cases == found


def test_rewrapping_gives_no_key_away(bao):
    body = {"ciphertext": bao.raw_wrap("other-shop", bytes(32), b"ctx"), "context": CONTEXT}
    answer = bao.call(
        "POST", "transit/rewrap/pdv-other-shop", body, token=bao.token(policies=("custodian",))
    )
    assert set(answer["data"]) <= {"ciphertext", "key_version"}


@pytest.mark.parametrize(("policy", "expected"), [("pdvault", 403), ("custodian", 200)])
def test_who_may_revoke_its_own_token(bao, policy, expected):
    """Last: the list above needs a token."""
    token = bao.token(policies=(policy,))
    assert expected == status(bao, token, "POST", "auth/token/revoke-self", {})
