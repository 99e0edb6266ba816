"""SPIFFE ids, read strictly.

Guarantees that a `SpiffeId` is well formed by the SPIFFE ID standard (sections 2.1
to 2.4), so two ids are the same workload exactly when their texts are equal:
nothing is unescaped, folded or normalised. Whose id it is, and whether it may do
anything, is for others to judge.
"""

import re
from dataclasses import dataclass

SCHEME = "spiffe://"
MAX_ID_BYTES = 2048  # section 2.3: longer ids need not be supported
MAX_TRUST_DOMAIN_BYTES = 255  # section 2.1: what a host name may have

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


class SpiffeIdError(ValueError):
    """Not a SPIFFE id. The text names the rule and holds nothing of the input."""


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A well-formed id, made by `parse_spiffe_id`.

    Attributes:
        trust_domain: such as `pdvault.example`.
        path: empty for the trust domain itself, else `/segment/segment`.
    """

    trust_domain: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}{self.path}"


def check_trust_domain(name: str) -> None:
    """Refuse a text that is not a trust domain name.

    Raises:
        SpiffeIdError: it is empty, too long, or has another character than a-z, 0-9, `.`, `_`, `-`.
    """
    if not name:
        raise SpiffeIdError("the trust domain is empty")
    if len(name) > MAX_TRUST_DOMAIN_BYTES:
        raise SpiffeIdError(f"the trust domain has more than {MAX_TRUST_DOMAIN_BYTES} characters")
    # Ports, user info, upper case and percent-encoding all end here.
    if not _TRUST_DOMAIN.fullmatch(name):
        raise SpiffeIdError("the trust domain has a character other than a-z 0-9 . _ -")


def parse_spiffe_id(text: str) -> SpiffeId:
    """Read an id; `str()` of the result is the input again.

    Raises:
        SpiffeIdError: it breaks a rule of the standard.
    """
    if len(text.encode("utf-8", "replace")) > MAX_ID_BYTES:
        raise SpiffeIdError(f"the id has more than {MAX_ID_BYTES} bytes")
    if not text.startswith(SCHEME):
        raise SpiffeIdError("the scheme is not spiffe://")
    trust_domain, slash, path = text.removeprefix(SCHEME).partition("/")
    check_trust_domain(trust_domain)
    if not slash:
        return SpiffeId(trust_domain, "")
    for segment in path.split("/"):
        if not segment:
            raise SpiffeIdError("the path has an empty segment or a trailing slash")
        if segment in {".", ".."}:
            raise SpiffeIdError("the path has a dot segment")
        # Queries, fragments and percent-encoding end here.
        if not _SEGMENT.fullmatch(segment):
            raise SpiffeIdError("the path has a character other than A-Z a-z 0-9 . _ -")
    return SpiffeId(trust_domain, f"/{path}")
