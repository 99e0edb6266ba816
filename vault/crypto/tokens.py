"""The token: what callers keep in place of a value.

    PREFIX_ENVIRONMENT_BODYCHECK        phone_demo_… : lower case, URL-safe, 39 to 51 characters

Guarantees: 128 random bits, never derived from the value; one spelling per token, so
equal tokens are equal strings; a mistyped or cut token is told from an unknown one
without asking the database. Leaves to others: whether a token exists and whose it is.
The check finds slips, it does not authenticate. `docs/formats.md`, "Token".
"""

import enum
import hashlib
import re
import secrets
import zlib
from collections.abc import Callable

RANDOM_BYTES = 16
BODY_CHARS = 26
CHECK_CHARS = 7
MAX_TOKEN_CHARS = 8 + 1 + 8 + 1 + BODY_CHARS + CHECK_CHARS

# Crockford's base 32 without i, l, o and u; we read lower case only and no look-alikes.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_PREFIX = re.compile(r"[a-z]{2,8}")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{1,7}")
_TOKEN = re.compile(
    rf"(?P<head>[a-z]{{2,8}}_(?P<environment>[a-z][a-z0-9]{{1,7}})_)"
    rf"(?P<body>[{_ALPHABET}]{{{BODY_CHARS}}})(?P<check>[{_ALPHABET}]{{{CHECK_CHARS}}})"
)
_DIGEST_DOMAIN = b"pdvault/token/v1\x00"


class TokenForm(enum.Enum):
    """What can be said of a token without looking it up."""

    GOOD = enum.auto()
    BAD_CHECK = enum.auto()
    BAD_GRAMMAR = enum.auto()


def new_token(
    prefix: str, environment: str, random: Callable[[int], bytes] = secrets.token_bytes
) -> str:
    """A fresh token.

    Args:
        prefix: the field type's, `[a-z]{2,8}`.
        environment: the marker of this installation, `[a-z][a-z0-9]{1,7}`.
        random: gives as many random bytes as asked for.

    Raises:
        ValueError: prefix or environment do not fit.
    """
    if not _PREFIX.fullmatch(prefix) or not _ENVIRONMENT.fullmatch(environment):
        raise ValueError("token prefix or environment does not fit")
    unchecked = (
        f"{prefix}_{environment}_{_base32(int.from_bytes(random(RANDOM_BYTES)), BODY_CHARS)}"
    )
    return unchecked + _check(unchecked)


def token_form(text: str, environment: str | None = None) -> TokenForm:
    """Whether `text` can be a token; of `environment`, if one is given.

    A token of another environment has BAD_GRAMMAR: it cannot be one of ours.
    """
    match = _TOKEN.fullmatch(text)
    if match is None or environment not in (None, match["environment"]):
        return TokenForm.BAD_GRAMMAR
    # 26 and 7 characters hold 130 and 35 bits: the 2 and 3 in front must be zero, or
    # several strings would stand for one token.
    if _number(match["body"]) >> 128 or _number(match["check"]) >> 32:
        return TokenForm.BAD_GRAMMAR
    if match["check"] != _check(match["head"] + match["body"]):
        return TokenForm.BAD_CHECK
    return TokenForm.GOOD


def token_digest(token: str) -> bytes:
    """The 32 bytes by which audit entries name a token."""
    return hashlib.sha256(_DIGEST_DOMAIN + token.encode()).digest()


def _check(unchecked: str) -> str:
    return _base32(zlib.crc32(unchecked.encode()), CHECK_CHARS)


def _base32(number: int, width: int) -> str:
    return "".join(_ALPHABET[number >> 5 * at & 31] for at in reversed(range(width)))


def _number(text: str) -> int:
    number = 0
    for char in text:
        number = number << 5 | _VALUES[char]
    return number
