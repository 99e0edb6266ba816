"""issuers.yaml and key sets: what loads, and every refusal."""

import json
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bearer_tokens import AUDIENCE, ISSUER, issuers, jwk, staff_key
from vault.authn.issuers import NO_ISSUERS, IssuersError, load_issuers

REPOSITORY = Path(__file__).parents[2]
RSA = rsa.generate_private_key(65537, 2048)
STAFF = jwk(staff_key())


def fault(*keys, **entry):
    with pytest.raises(IssuersError) as caught:
        issuers(*keys, **entry)
    return caught.value


def load(document, data=b""):
    return load_issuers(document, lambda _: data, file="issuers.yaml")


def test_an_issuer_with_its_defaults():
    issuer = issuers().by_url[ISSUER]
    assert (issuer.audience, issuer.leeway_seconds) == (AUDIENCE, 30)
    assert issuer.max_lifetime_seconds == 3600
    assert [(key.kid, key.algorithm) for key in issuer.keys] == [("k1", "ES256")]


def test_shipped_file_trusts_nobody():
    text = (REPOSITORY / "policies/issuers.yaml").read_text("utf-8")
    assert load(yaml.safe_load(text)) == NO_ISSUERS


def test_the_commented_example_is_well_formed():
    text = (REPOSITORY / "policies/issuers.yaml").read_text("utf-8")
    example = text[text.index("# issuers:") :].split("\n#\n")[0].replace("# ", "", 1)
    document = yaml.safe_load(example.replace("\n# ", "\n"))
    data = json.dumps({"keys": [STAFF]}).encode()
    assert len(load(document, data).by_url) == 1


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "",
        {},
        {"issuers": None},
        {"issuers": {}},
        {"issuers": [], "more": 1},
        {"issuers": [1]},
    ],
)
def test_document_of_another_form(document):
    with pytest.raises(IssuersError):
        load(document)


@pytest.mark.parametrize("name", ["issuer", "audience", "algorithms", "jwks"])
def test_required_key_is_missing(name):
    entry = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "jwks": "a.json"}
    del entry[name]
    with pytest.raises(IssuersError) as caught:
        load({"issuers": [entry]})
    assert caught.value.path == f"issuers[0].{name}"


@pytest.mark.parametrize(
    "entry",
    [
        {"issuer": "http://login.shop.example/"},
        {"issuer": "https://login.shop.example/#x"},
        {"issuer": "https://login.shop.example/?x"},
        {"issuer": "https://user@login.shop.example/"},
        {"issuer": ""},
        {"issuer": 1},
        {"issuer": "https://" + "a" * 200},
        {"audience": ""},
        {"audience": ["pdvault"]},
        {"algorithms": []},
        {"algorithms": "ES256"},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"algorithms": ["ES256", "HS256"]},
        {"algorithms": ["es256"]},
        {"algorithms": [["ES256"]]},
        {"jwks": "/etc/passwd"},
        {"jwks": "../keys.json"},
        {"jwks": "a/../../keys.json"},
        {"jwks": "https://login.shop.example/jwks"},
        {"jwks": ".hidden"},
        {"leeway_seconds": 61},
        {"leeway_seconds": -1},
        {"leeway_seconds": True},
        {"leeway_seconds": "30"},
        {"max_lifetime_seconds": 0},
        {"max_lifetime_seconds": 3601},
        {"max_lifetime_seconds": 1.5},
        {"jwks_uri": "https://login.shop.example/jwks"},
    ],
)
def test_setting_that_is_refused(entry):
    found = fault(**entry)
    assert found.file == "issuers.yaml"
    assert found.path == f"issuers[0].{next(iter(entry))}"


def test_same_issuer_twice():
    entry = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "jwks": "a.json"}
    with pytest.raises(IssuersError, match="twice"):
        load({"issuers": [entry, entry]}, json.dumps({"keys": [STAFF]}).encode())


def test_missing_key_set():
    def absent(_):
        raise FileNotFoundError

    document = {
        "issuers": [
            {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "jwks": "a.json"}
        ]
    }
    with pytest.raises(IssuersError) as caught:
        load_issuers(document, absent, file="issuers.yaml")
    assert caught.value.path == "issuers[0].jwks"


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (STAFF | {"kty": "oct", "k": "AAAA"}, ("ES256",)),
        ({"kty": "oct"}, ("ES256",)),
        (STAFF | {"d": "AAAA"}, ("ES256",)),
        (STAFF | {"alg": "HS256"}, ("ES256",)),
        (STAFF | {"alg": "none"}, ("ES256",)),
        (STAFF | {"alg": ["ES256"]}, ("ES256",)),
        (STAFF | {"use": "enc"}, ("ES256",)),
        (STAFF | {"key_ops": ["sign"]}, ("ES256",)),
        (STAFF | {"kid": ""}, ("ES256",)),
        (STAFF | {"kid": 1}, ("ES256",)),
        (STAFF | {"x": STAFF["y"]}, ("ES256",)),  # not on the curve
        (STAFF | {"x": 1}, ("ES256",)),
        (STAFF | {"x": "AA"}, ("ES256",)),
        (STAFF | {"crv": "P-384"}, ("ES256",)),
        ({"kty": "EC", "crv": "P-256"}, ("ES256",)),
        (jwk(ec.generate_private_key(ec.SECP384R1()), "ES384"), ("ES256",)),
        (jwk(ec.generate_private_key(ec.SECP256K1()), "ES256K"), ("ES256",)),
        (jwk(ed448.Ed448PrivateKey.generate(), "EdDSA"), ("EdDSA",)),
        (jwk(ed25519.Ed25519PrivateKey.generate(), "EdDSA"), ("ES256",)),
        (jwk(RSA, "RS256"), ("ES256",)),
        (jwk(RSA, "RS256"), ("RS256", "PS256")),  # which of the two?
        (
            jwk(
                rsa.generate_private_key(65537, 1024),  # noqa: S505 - to see it refused
                "RS256",
            ),
            ("RS256",),
        ),
        ({"kty": "RSA", "n": 5, "e": "AQAB"}, ("RS256",)),
        ({"kty": "RSA", "n": "AQAB"}, ("RS256",)),
        ("text", ("ES256",)),
    ],
)
def test_key_that_is_refused(key, algorithms):
    found = fault(key, algorithms=algorithms)
    assert (found.file, found.path) == ("staff.jwks.json", "keys[0]")


@pytest.mark.parametrize("kids", [(None, "k2"), ("k1", None), ("k1", "k1"), (None, None)])
def test_several_keys_need_distinct_kids(kids):
    keys = [STAFF | ({"kid": kid} if kid else {}) for kid in kids]
    assert fault(*keys).path == "keys"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[],"keys":[]}',
        b"[" * 9999,
        b" " * 262145,
    ],
)
def test_key_set_of_another_form(data):
    entry = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "jwks": "a.json"}
    with pytest.raises(IssuersError) as caught:
        load({"issuers": [entry]}, data)
    assert caught.value.file == "a.json"


_ODD = st.none() | st.integers() | st.text(max_size=8) | st.lists(st.text(), max_size=2)


@given(
    st.dictionaries(st.sampled_from(["x", "y", "n", "e", "alg", "kid", "use", "key_ops"]), _ODD),
    st.sampled_from(["EC", "OKP", "RSA"]),
)
def test_odd_key_members_load_or_are_refused(members, kty):
    """Whatever a key set holds, nothing but IssuersError comes out."""
    curve = {"EC": {"crv": "P-256"}, "OKP": {"crv": "Ed25519"}, "RSA": {}}[kty]
    fault({"kty": kty, **curve, **members}, algorithms=("ES256", "EdDSA", "RS256"))
