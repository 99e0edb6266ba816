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
_TO_INT = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""To the digits of Python's own base 32."""
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_PREFIX = re.compile(r"[a-z]{2,8}")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{1,7}")
_TOKEN = re.compile(
    r"[a-z]{2,8}_(?P<environment>[a-z][a-z0-9]{1,7})_"
    # 26 and 7 characters hold 130 and 35 bits: the 2 and 3 in front must be zero, or
    # several strings would stand for one token.
    rf"[0-7][{_ALPHABET}]{{{BODY_CHARS - 1}}}[0-3][{_ALPHABET}]{{{CHECK_CHARS - 1}}}"
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
    return unchecked + _base32(_checksum(unchecked), CHECK_CHARS)


def token_form(text: str, environment: str | None = None) -> TokenForm:
    """Whether `text` can be a token; of `environment`, if one is given.

    A token of another environment has BAD_GRAMMAR: it cannot be one of ours.
    """
    match = _TOKEN.fullmatch(text)
    if match is None or (environment is not None and environment != match["environment"]):
        return TokenForm.BAD_GRAMMAR
    check = int(text[-CHECK_CHARS:].translate(_TO_INT), 32)
    return TokenForm.GOOD if check == _checksum(text[:-CHECK_CHARS]) else TokenForm.BAD_CHECK


def token_digest(token: str) -> bytes:
    """The 32 bytes by which audit entries name a token."""
    return hashlib.sha256(_DIGEST_DOMAIN + token.encode()).digest()


def _checksum(unchecked: str) -> int:
    return zlib.crc32(unchecked.encode())


def _base32(number: int, width: int) -> str:
    pairs = [_PAIRS[number >> at & 1023] for at in range(10 * ((width - 1) // 2), -1, -10)]
    return "".join(pairs)[-width:]
