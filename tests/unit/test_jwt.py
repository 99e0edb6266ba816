"""Bearer tokens: what verifies, and every way in which one must not."""

import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bearer_tokens import (
    AUDIENCE,
    ISSUER,
    PERSON,
    base64url,
    claims,
    header,
    issuers,
    jwk,
    staff_key,
    token,
)
from tests.support.frozen_clock import NOW
from vault.authn.issuers import NO_ISSUERS
from vault.authn.jwt import verify_bearer
from vault.errors import Reason, VaultError

CERTIFICATE = hashlib.sha256(b"the carrying service's certificate").digest()
CANARY = "canary7f3a"


def verify(text, trusted=None, now=NOW):
    return verify_bearer(
        text,
        issuers=trusted or issuers(),
        now_ns=int(now * 10**9),
        certificate_sha256=CERTIFICATE,
    )


def reason(text, trusted=None, now=NOW):
    with pytest.raises(VaultError) as caught:
        verify(text, trusted, now)
    return caught.value.reason


def outcome(text):
    try:
        verify(text)
    except VaultError as error:
        return error.reason
    return Reason.NONE


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ({}, {}),
        ({"typ": None}, {}),
        ({"typ": "at+jwt"}, {}),
        ({"typ": "application/at+JWT"}, {}),
        ({"x5t": "abc"}, {}),  # a name of a key, not a key
        ({"kid": None}, {}),
        ({}, {"aud": [AUDIENCE]}),
        ({}, {"aud": ["other", AUDIENCE]}),
        ({}, {"nbf": NOW}),
        ({}, {"roles": ["custodian"], "tenant": "other-shop"}),
        ({}, {"cnf": {"x5t#S256": base64url(CERTIFICATE)}}),
    ],
)
def test_good_token_names_the_person(head, body):
    assert verify(token(header(**head), claims(**body))) == PERSON


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
        ("RS256", rsa.generate_private_key(65537, 2048)),
        ("PS256", rsa.generate_private_key(65537, 2048)),
    ],
)
def test_each_algorithm_of_the_list(algorithm, key):
    trusted = issuers(jwk(key, algorithm), algorithms=(algorithm,))
    text = jwt.encode(claims(), key, algorithm, headers={"kid": "any"})
    assert verify(text, trusted) == PERSON


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "", "HS256", "ES384", "RS256", None, 7, ["ES256"]]
)
def test_other_algorithm_in_the_header(alg):
    assert reason(token(header(alg=alg))) == Reason.BEARER_INVALID


def test_alg_none_without_signature():
    head, body, _ = token(header(alg="none")).split(".")
    assert reason(f"{head}.{body}.") == Reason.BEARER_INVALID


@pytest.mark.parametrize(
    "secret",
    [
        staff_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        staff_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwk(staff_key(), kid="k1")).encode(),
        b"",
    ],
    ids=["PEM", "DER", "JWK", "empty"],
)
def test_hmac_with_the_public_key_as_secret(secret):
    """The classic confusion: a public key is no secret."""
    forged = token(header(alg="HS256"), sign=lambda data: hmac.digest(secret, data, "sha256"))
    assert reason(forged) == Reason.BEARER_INVALID


def test_another_algorithm_of_the_same_key():
    """A key that is pinned to RS256 does not verify PS256, though the bytes would allow it."""
    key = rsa.generate_private_key(65537, 2048)
    trusted = issuers(jwk(key, "RS256", alg="RS256"), algorithms=("RS256", "PS256"))
    assert reason(jwt.encode(claims(), key, "PS256"), trusted) == Reason.BEARER_INVALID


@pytest.mark.parametrize(
    "extra",
    [
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/x5.pem"},
        {"x5c": ["MIIB"]},
        {"jwk": jwk(staff_key())},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": True},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"typ": "JWE"},
        {"typ": "logout+jwt"},
        {"typ": 1},
        {"kid": "unknown"},
        {"kid": 1},
        {"kid": ["k1"]},
        {"kid": "../../k1"},
    ],
)
def test_header_that_is_never_honoured(extra):
    assert reason(token(header(**extra))) == Reason.BEARER_INVALID


def test_embedded_key_does_not_verify_its_own_token():
    key = ec.generate_private_key(ec.SECP256R1())
    kind = jwt.get_algorithm_by_name("ES256")
    forged = token(header(jwk=jwk(key)), sign=lambda data: kind.sign(data, key))
    assert reason(forged) == Reason.BEARER_INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "https://evil.example/"},
        {"iss": ISSUER.rstrip("/")},
        {"iss": ISSUER.upper()},
        {"iss": [ISSUER]},
        {"iss": {"a": 1}},
        {"aud": None},
        {"aud": "other"},
        {"aud": []},
        {"aud": [AUDIENCE, 1]},
        {"aud": {AUDIENCE: 1}},
        {"aud": AUDIENCE + " "},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 129},
        {"sub": "alice#bob"},
        {"sub": "alice\nbob"},
        {"sub": "alice\x00"},
        {"sub": "\u0430lice"},
        {"sub": "\ud800"},
        {"sub": 'alice" || true'},
        {"exp": None},
        {"exp": str(NOW + 300)},
        {"exp": NOW + 300.5},
        {"exp": True},
        {"exp": 1e999},
        {"exp": -1},
        {"exp": NOW - 10},  # not after iat
        {"exp": NOW + 3591},  # lives an hour and a second
        {"exp": 10**30},
        {"iat": None},
        {"iat": "now"},
        {"iat": NOW - 7200},
        {"nbf": "now"},
        {"nbf": -5},
        {"cnf": {}},
        {"cnf": "x"},
        {"cnf": {"x5t#S256": base64url(hashlib.sha256(b"another").digest())}},
        {"cnf": {"x5t#S256": base64url(CERTIFICATE) + "="}},
        {"cnf": {"x5t#S256": base64url(CERTIFICATE), "jkt": "abc"}},
        {"cnf": {"jkt": "abc"}},
    ],
)
def test_claim_that_does_not_fit(changes):
    assert reason(token(body=claims(**changes))) == Reason.BEARER_INVALID


def test_null_cnf_is_not_no_cnf():
    body = json.dumps(claims() | {"cnf": None}).encode()
    assert reason(token(body=body)) == Reason.BEARER_INVALID


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({}, NOW + 330),  # exp + leeway
        ({}, NOW + 365 * 86400),
        ({"iat": NOW + 31}, NOW),
        ({"nbf": NOW + 31}, NOW),
        ({}, NOW - 41),
    ],
)
def test_outside_its_time(changes, now):
    assert reason(token(body=claims(**changes)), now=now) == Reason.BEARER_EXPIRED


@pytest.mark.parametrize(
    ("changes", "now"),
    [({}, NOW + 329.9), ({"iat": NOW + 30}, NOW), ({"nbf": NOW + 30}, NOW)],
)
def test_leeway_is_bounded_but_there(changes, now):
    assert verify(token(body=claims(**changes)), now=now) == PERSON


def test_expired_token_with_a_bad_signature_is_invalid():
    """Only a genuine token is told that it expired."""
    forged = token(body=claims(exp=NOW - 5, iat=NOW - 50), sign=lambda _: b"\x01" * 64)
    assert reason(forged, now=NOW + 1000) == Reason.BEARER_INVALID


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        json.dumps(claims()).encode("utf-16"),
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 5000,
        b'{"a":' * 900,
        b'{"a":' + b"[" * 1500 + b"]" * 1500 + b"}",
        json.dumps(claims()).encode()[:-1] + b',"sub":"mallory"}',
        json.dumps(claims()).encode()[:-1] + b',"x":{"y":1,"y":2}}',
        json.dumps(claims()).encode() + b"{}",
    ],
)
def test_malformed_payload_or_header(body):
    """Signed or not, what has no single meaning is refused; so are nesting bombs."""
    assert reason(token(body=body)) == Reason.BEARER_INVALID
    assert reason(token(head=body)) == Reason.BEARER_INVALID


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + "A",
        lambda text: text + "=",
        lambda text: text + ".",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace(".", "..", 1),
        lambda text: text.rsplit(".", 1)[0],
        lambda text: text.rsplit(".", 1)[0] + ".",
        lambda text: text + ".e30.e30",
        lambda text: text[:10] + "é" + text[11:],
        lambda text: text[:10] + "+" + text[11:],
        lambda _: "",
        lambda _: "..",
        lambda _: json.dumps({"payload": "", "signatures": []}),
    ],
)
def test_broken_compact_form(change):
    assert reason(change(token())) == Reason.BEARER_INVALID


def test_every_flipped_bit_of_the_signature():
    text, _, _ = token().rpartition(".")
    signature = bytearray(64)
    assert reason(f"{text}.{base64url(bytes(signature))}") == Reason.BEARER_INVALID
    good = jwt.utils.base64url_decode(token().rpartition(".")[2])
    for bit in range(0, 512, 37):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        assert reason(token(sign=lambda _, s=bytes(flipped): s)) == Reason.BEARER_INVALID


def test_der_signature_is_not_a_jws_signature():
    forged = token(sign=lambda data: staff_key().sign(data, ec.ECDSA(hashes.SHA256())))
    assert reason(forged) == Reason.BEARER_INVALID


def test_nine_kib_token_is_refused_and_eight_is_read():
    assert reason(token(body=claims(pad="x" * 6800))) == Reason.BEARER_INVALID
    text = token(body=claims(pad="x" * 5700))
    assert 7 * 1024 < len(text) <= 8 * 1024
    assert verify(text) == PERSON


def test_several_keys_need_a_kid():
    other = ec.generate_private_key(ec.SECP256R1())
    trusted = issuers(jwk(staff_key(), kid="k1"), jwk(other, kid="k2"))
    assert verify(token(), trusted) == PERSON
    assert reason(token(header(kid=None)), trusted) == Reason.BEARER_INVALID
    assert reason(token(header(kid="k2")), trusted) == Reason.BEARER_INVALID


def test_no_issuers_accept_nobody():
    with pytest.raises(VaultError):
        verify_bearer(
            token(), issuers=NO_ISSUERS, now_ns=NOW * 10**9, certificate_sha256=CERTIFICATE
        )


def test_no_error_holds_anything_of_the_token():
    """Neither the text, nor its cause, nor the traceback's chain."""
    attempts = [
        token(header(kid=CANARY)),
        token(header(alg=CANARY)),
        token(header(typ=CANARY)),
        token(body=claims(iss=f"https://{CANARY}/")),
        token(body=claims(sub=f"{CANARY} x")),
        token(body=claims(aud=CANARY)),
        token(body=claims(exp=CANARY)),
        token(body=claims(cnf=CANARY)),
        token(body=f'{{"{CANARY}":'.encode()),
        token(body=f'{{"{CANARY}":1,"{CANARY}":2}}'.encode()),
        token(body=claims(x=CANARY), sign=lambda _: b"x"),
        f"{CANARY}.{CANARY}.{CANARY}",
        CANARY,
    ]
    for text in attempts:
        with pytest.raises(VaultError) as caught:
            verify(text)
        error = caught.value
        while error is not None:
            assert CANARY not in f"{error} {error!r} {vars(error)}"
            assert text not in f"{error} {error!r} {vars(error)}"
            error = error.__cause__


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jku", "x"]), _JSON),
    st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "iat", "nbf", "cnf"]), _JSON),
)
def test_odd_types_anywhere_end_in_one_of_two_reasons(head, body):
    found = outcome(token(header(**head), claims(**body)))
    assert found in {Reason.NONE, Reason.BEARER_INVALID, Reason.BEARER_EXPIRED}


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_noise_is_invalid(text):
    assert reason(text) == Reason.BEARER_INVALID
