"""Who may vouch for people: the issuers of bearer tokens and their public keys.

Guarantees that every key of an issuer has exactly one algorithm, out of a closed list of
asymmetric ones, that its type and size fit that algorithm, and that it is a public
key. The files are content of the policy bundle; reading them, and putting them under
the bundle's digest, is the bundle's work.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from vault.authn.strict_json import StrictJsonError, read_object

MAX_LEEWAY_SECONDS = 60
MAX_LIFETIME_SECONDS = 3600
MAX_JWKS_BYTES = 256 * 1024
MIN_RSA_BITS = 2048  # NIST SP 800-131A
MAX_RSA_BITS = 8192  # verifying gets slow beyond

# The key (kty, crv) that each permitted algorithm needs. No HMAC, no `none`.
_KEY_OF_ALGORITHM: Mapping[str, tuple[str, str | None]] = {
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
    "RS256": ("RSA", None),
    "PS256": ("RSA", None),
}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# `#` parts issuer and subject in a person's id, so an issuer cannot hold it.
_ISSUER_URL = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_MAX_TEXT = 200
_JWKS_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)
_REQUIRED = frozenset({"issuer", "audience", "algorithms", "jwks"})
_OPTIONAL = frozenset({"leeway_seconds", "max_lifetime_seconds"})


class IssuersError(ValueError):
    """A fault in issuers.yaml or in a key set that it names.

    Attributes:
        file: the file at fault, as the bundle names it.
        path: where in it, such as `issuers[0].algorithms`.
        text: what is wrong.
    """

    def __init__(self, path: str, text: str, *, file: str) -> None:
        super().__init__(": ".join(part for part in (file, path, text) if part))
        self.file = file
        self.path = path
        self.text = text


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key and the one algorithm that it verifies."""

    kid: str | None
    algorithm: str
    key: jwt.PyJWK = field(repr=False)


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer.

    Attributes:
        url: what the `iss` claim must be, letter by letter.
        audience: what the `aud` claim must hold.
        leeway_seconds: how far the issuer's clock may be off.
        max_lifetime_seconds: the most that `exp` may lie after `iat`.
        keys: at least one; several have distinct kids.
    """

    url: str
    audience: str
    leeway_seconds: int
    max_lifetime_seconds: int
    keys: tuple[IssuerKey, ...]

    def key(self, kid: str | None) -> IssuerKey | None:
        """The key that a token header points at, if there is just one."""
        if kid is None:
            return self.keys[0] if len(self.keys) == 1 else None
        # A lone key without a kid answers to any.
        return next((key for key in self.keys if key.kid is None or key.kid == kid), None)


@dataclass(frozen=True, slots=True)
class Issuers:
    """Every issuer of a bundle, by URL. Empty: nobody's bearer token is accepted."""

    by_url: Mapping[str, Issuer]


NO_ISSUERS = Issuers(MappingProxyType({}))


def load_issuers(document: object, read_file: Callable[[str], bytes], *, file: str) -> Issuers:
    """Check issuers.yaml and read the key sets that it names.

    Args:
        document: the parsed YAML.
        read_file: gives the bytes of a file of the bundle by its relative path, with
            `/`; raises OSError when there is none.
        file: what error texts call the document.

    Raises:
        IssuersError: the first fault.
    """
    if not isinstance(document, dict) or set(document) != {"issuers"}:
        raise IssuersError("", "must be a mapping with the one key `issuers`", file=file)
    entries = document["issuers"]
    if not isinstance(entries, list):
        raise IssuersError("issuers", "must be a list", file=file)
    by_url: dict[str, Issuer] = {}
    for index, entry in enumerate(entries):
        path = f"issuers[{index}]"
        issuer = _Entry(entry, path, file).issuer(read_file)
        if issuer.url in by_url:
            raise IssuersError(f"{path}.issuer", "stands twice", file=file)
        by_url[issuer.url] = issuer
    return Issuers(MappingProxyType(by_url))


class _Entry:
    """One entry of `issuers` while it is checked."""

    def __init__(self, entry: object, path: str, file: str) -> None:
        self._path = path
        self._file = file
        if not isinstance(entry, dict):
            raise IssuersError(path, "must be a mapping", file=file)
        self._entry: dict[object, object] = entry
        if missing := sorted(_REQUIRED - set(entry)):
            raise self._fault(missing[0], "is missing")
        if unknown := sorted(str(name) for name in set(entry) - _REQUIRED - _OPTIONAL):
            raise self._fault(unknown[0], "is not a known key")

    def issuer(self, read_file: Callable[[str], bytes]) -> Issuer:
        url = self._text("issuer")
        if not _ISSUER_URL.fullmatch(url):
            raise self._fault("issuer", "must be an https URL without query and fragment")
        audience = self._text("audience")
        algorithms = self._algorithms()
        leeway = self._seconds("leeway_seconds", 0, MAX_LEEWAY_SECONDS, 30)
        lifetime = self._seconds("max_lifetime_seconds", 1, MAX_LIFETIME_SECONDS, 3600)
        jwks = self._text("jwks")
        if not _JWKS_PATH.fullmatch(jwks):
            raise self._fault(
                "jwks", "must be a path inside the bundle, such as issuers/staff.jwks.json"
            )
        try:
            data = read_file(jwks)
        except OSError as error:
            raise self._fault("jwks", "names a file that can't be read") from error
        return Issuer(url, audience, leeway, lifetime, _read_jwks(data, algorithms, file=jwks))

    def _algorithms(self) -> frozenset[str]:
        names = self._entry["algorithms"]
        if not isinstance(names, list) or not names:
            raise self._fault("algorithms", "must be a list with at least one algorithm")
        for name in names:
            if not isinstance(name, str) or name not in _KEY_OF_ALGORITHM:
                known = ", ".join(_KEY_OF_ALGORITHM)
                raise self._fault("algorithms", f"may hold only {known}")
        return frozenset(names)

    def _text(self, name: str) -> str:
        text = self._entry[name]
        if not isinstance(text, str) or not text or len(text) > _MAX_TEXT or not text.isprintable():
            raise self._fault(name, f"must be a text of 1 to {_MAX_TEXT} printable characters")
        return text

    def _seconds(self, name: str, low: int, high: int, default: int) -> int:
        number = self._entry.get(name, default)
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise self._fault(name, f"must be whole seconds from {low} to {high}")
        return number

    def _fault(self, name: str, text: str) -> IssuersError:
        return IssuersError(f"{self._path}.{name}", text, file=self._file)


def _read_jwks(data: bytes, algorithms: frozenset[str], *, file: str) -> tuple[IssuerKey, ...]:
    """Read an explicit key set (RFC 7517); unlike the RFC, one unusable key refuses it all."""
    if len(data) > MAX_JWKS_BYTES:
        raise IssuersError("", f"has more than {MAX_JWKS_BYTES} bytes", file=file)
    try:
        members = read_object(data).get("keys")
    except StrictJsonError as error:
        raise IssuersError("", str(error), file=file) from error
    if not isinstance(members, list) or not members:
        raise IssuersError("keys", "must be a list with at least one key", file=file)
    keys = tuple(
        _read_key(member, algorithms, path=f"keys[{index}]", file=file)
        for index, member in enumerate(members)
    )
    kids = [key.kid for key in keys]
    if len(keys) > 1 and None in kids:
        raise IssuersError("keys", "each of several keys needs a kid", file=file)
    if len(set(kids)) != len(kids):
        raise IssuersError("keys", "a kid stands twice", file=file)
    return keys


def _read_key(member: object, algorithms: frozenset[str], *, path: str, file: str) -> IssuerKey:
    def fault(text: str) -> IssuersError:
        return IssuersError(path, text, file=file)

    if not isinstance(member, dict):
        raise fault("must be an object")
    if _PRIVATE_MEMBERS & set(member):
        raise fault("holds private key material; only public keys belong here")
    kid = member.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= _MAX_TEXT):
        raise fault(f"kid must be a text of 1 to {_MAX_TEXT} characters")
    if member.get("use", "sig") != "sig":
        raise fault("use must be sig")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise fault("key_ops must hold verify")
    # A key serves one algorithm (RFC 8725, 3.1), so the token never chooses.
    fitting = {
        name
        for name, (kty, crv) in _KEY_OF_ALGORITHM.items()
        if name in algorithms and member.get("kty") == kty and member.get("crv") == crv
    }
    if "alg" in member:
        fitting = {name for name in fitting if name == member["alg"]}
    if not fitting:
        raise fault("fits none of the issuer's algorithms")
    if len(fitting) > 1:
        raise fault("fits several of the issuer's algorithms; name one as alg")
    algorithm = fitting.pop()
    try:
        key = jwt.PyJWK(member, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        # The cause quotes the key; PyJWT checks the types of members only in passing.
        raise fault(f"is not a public key for {algorithm}") from None
    if isinstance(key.key, rsa.RSAPublicKey) and not (
        MIN_RSA_BITS <= key.key.key_size <= MAX_RSA_BITS
    ):
        raise fault(f"must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    return IssuerKey(kid, algorithm, key)
