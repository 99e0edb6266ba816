"""Bearer tokens of people: a JWT in, a person's id out.

Guarantees that the token was signed by a key of the bundle, with that key's one algorithm,
for this vault, and is within its time. Nothing in the token but `iss` and `sub` says who
the person is, and nothing says what the person may do: tenant and roles are the policy
bundle's. The channel, and who may carry a token over it, are for `vault.authn.identify`.

No error text and no error's cause holds anything of the token.
"""

import base64
import re

import jwt

from vault.authn.issuers import Issuer, Issuers
from vault.authn.strict_json import StrictJsonError, read_object
from vault.errors import Reason, VaultError

MAX_TOKEN_BYTES = 8 * 1024
MAX_SUBJECT_CHARS = 128

# The compact form of RFC 7515, section 7.1, without padding; a signature is required.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+", re.ASCII)
# Where to find keys, extensions that must be understood, other encodings: never honoured.
_REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # RFC 7519, 5.1; RFC 9068, 2.1
# Safe in logs, audit entries and policy entity ids; no `#`, which ends the issuer.
_SUBJECT = re.compile(r"[A-Za-z0-9._@|:=+-]+", re.ASCII)


def verify_bearer(token: str, *, issuers: Issuers, now_ns: int, certificate_sha256: bytes) -> str:
    """Verify a token and name the person.

    Args:
        token: the JWT, without `Bearer`.
        issuers: whom the bundle trusts.
        now_ns: the time, Unix nanoseconds.
        certificate_sha256: digest of the carrying service's certificate (DER, 32 bytes); a
            token that is bound to a certificate (RFC 8705, section 3.1) must be bound to it.

    Returns:
        `person:ISSUER#SUBJECT`.

    Raises:
        VaultError: BEARER_EXPIRED when only its time is wrong, else BEARER_INVALID.
    """
    # 1. Size and form, before anything is decoded.
    if len(token) > MAX_TOKEN_BYTES:
        raise _invalid("it is too long")
    if not (form := _COMPACT.fullmatch(token)):
        raise _invalid("it is not a compact JWT")
    header = _decode(form[1])
    # 2. The header only selects among keys that are already known.
    _check_header(header)
    issuer = _issuer_unverified(_decode(form[2]), issuers)
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise _invalid("its kid is not a text")
    key = issuer.key(kid)
    if key is None:
        raise _invalid("it names no key of its issuer")
    if header.get("alg") != key.algorithm:
        raise _invalid("its algorithm is not the one of its key")
    # 3. The signature.
    try:
        payload = jwt.PyJWS(
            algorithms=[key.algorithm], options={"enforce_minimum_key_length": True}
        ).decode(token, key.key, algorithms=[key.algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _invalid("its signature does not verify") from None
    # 4. The claims, from the bytes that were verified.
    claims = _parse(payload)
    _check_claims(claims, issuer, certificate_sha256)
    _check_time(claims, issuer, now_ns)
    return f"person:{issuer.url}#{_subject(claims)}"


def _check_header(header: dict[str, object]) -> None:
    if _REFUSED_HEADERS & header.keys():
        raise _invalid("it has a header parameter that is never honoured")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _invalid("its type is not JWT")


def _issuer_unverified(claims: dict[str, object], issuers: Issuers) -> Issuer:
    url = claims.get("iss")
    issuer = issuers.by_url.get(url) if isinstance(url, str) else None
    if issuer is None:
        raise _invalid("its issuer is not known")
    return issuer


def _check_claims(claims: dict[str, object], issuer: Issuer, certificate_sha256: bytes) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in audiences) or issuer.audience not in audiences:
        raise _invalid("it is for another audience")
    if "cnf" in claims:
        thumbprint = base64.urlsafe_b64encode(certificate_sha256).rstrip(b"=").decode()
        # Any other confirmation method can't be checked here, so it is not met.
        if claims["cnf"] != {"x5t#S256": thumbprint}:
            raise _invalid("it is bound to something other than this client certificate")


def _check_time(claims: dict[str, object], issuer: Issuer, now_ns: int) -> None:
    issued = _seconds(claims, "iat")
    expires = _seconds(claims, "exp")
    not_before = _seconds(claims, "nbf") if "nbf" in claims else issued
    if not 0 < expires - issued <= issuer.max_lifetime_seconds:
        raise _invalid("it lives too long, or ends before it begins")
    now = now_ns // 10**9
    if now >= expires + issuer.leeway_seconds:
        raise VaultError(Reason.BEARER_EXPIRED, "the bearer token has expired")
    if max(issued, not_before) > now + issuer.leeway_seconds:
        raise VaultError(Reason.BEARER_EXPIRED, "the bearer token is not valid yet")


def _seconds(claims: dict[str, object], name: str) -> int:
    # RFC 7519 lets a date have a fraction; no issuer needs one, and floats bring NaN and rounding.
    number = claims.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise _invalid(f"{name} is missing or not a whole number of seconds")
    return number


def _subject(claims: dict[str, object]) -> str:
    subject = claims.get("sub")
    if (
        not isinstance(subject, str)
        or len(subject) > MAX_SUBJECT_CHARS
        or not _SUBJECT.fullmatch(subject)
    ):
        raise _invalid(
            f"sub is not 1 to {MAX_SUBJECT_CHARS} characters of A-Z a-z 0-9 . _ @ | : = + -"
        )
    return subject


def _decode(segment: str) -> dict[str, object]:
    # Trailing bits that no encoder sets are refused by PyJWT, before it verifies.
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise _invalid("it is not base64url") from None
    return _parse(data)


def _parse(data: bytes) -> dict[str, object]:
    try:
        return read_object(data)
    except StrictJsonError as error:
        raise _invalid(f"it is malformed: {error}") from error


def _invalid(why: str) -> VaultError:
    return VaultError(Reason.BEARER_INVALID, f"the bearer token is not usable: {why}")
