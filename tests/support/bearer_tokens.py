"""Bearer tokens with valid defaults, and the issuer that they are for.

Tokens are put together by hand, so that a test can write what no library would.
"""

import base64
import functools
import json
from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.frozen_clock import NOW
from vault.authn.issuers import Issuers, load_issuers

ISSUER = "https://login.shop.example/"
AUDIENCE = "pdvault"
PERSON = f"person:{ISSUER}#alice"


@functools.cache
def staff_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: object, algorithm: str = "ES256", **members: object) -> dict[str, object]:
    """The public JWK of a private key."""
    kind = jwt.get_algorithm_by_name(algorithm)
    public = kind.to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in public.items() if name != "key_ops"} | members


def issuers(
    *keys: dict[str, object], algorithms: tuple[str, ...] = ("ES256",), **entry: object
) -> Issuers:
    """Issuers with one entry; no keys: the staff key with kid k1."""
    jwks = {"keys": list(keys) or [jwk(staff_key(), kid="k1")]}
    document = {
        "issuers": [
            {
                "issuer": ISSUER,
                "audience": AUDIENCE,
                "algorithms": list(algorithms),
                "jwks": "staff.jwks.json",
                **entry,
            }
        ]
    }
    return load_issuers(document, lambda _: json.dumps(jwks).encode(), file="issuers.yaml")


def claims(**changes: object) -> dict[str, object]:
    """Good claims; None takes one away."""
    merged = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": NOW - 10,
        "exp": NOW + 300,
    } | changes
    return {name: value for name, value in merged.items() if value is not None}


def header(**changes: object) -> dict[str, object]:
    """A good header; None takes one member away."""
    merged = {"alg": "ES256", "typ": "JWT", "kid": "k1"} | changes
    return {name: value for name, value in merged.items() if value is not None}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign_es256(data: bytes) -> bytes:
    return jwt.get_algorithm_by_name("ES256").sign(data, staff_key())


def token(
    head: dict[str, object] | bytes | None = None,
    body: dict[str, object] | bytes | None = None,
    *,
    sign: Callable[[bytes], bytes] = sign_es256,
) -> str:
    """A compact JWT of any header and claims, raw bytes included."""

    def encode(part: dict[str, object] | bytes) -> str:
        return base64url(part if isinstance(part, bytes) else json.dumps(part).encode())

    signed = (
        f"{encode(header() if head is None else head)}.{encode(claims() if body is None else body)}"
    )
    return f"{signed}.{base64url(sign(signed.encode()))}"
