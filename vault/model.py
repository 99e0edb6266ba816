"""The values that the layers hand to each other: frozen, typed, without behaviour."""

import enum
import uuid
from dataclasses import dataclass
from typing import NewType

from vault.errors import Reason

TenantId = NewType("TenantId", str)
SubjectId = NewType("SubjectId", uuid.UUID)
"""The random handle of a consumer (128 bits). The only name of a person in the audit log."""

Digests = tuple[bytes, ...]
"""What one thing is found by: digests under the live versions of the index key."""


class View(enum.IntEnum):
    """The form in which a value is revealed; numbers as in `vault.v1.View`."""

    # Enum's own is written in Python; these are keys of dictionaries on every call.
    __hash__ = int.__hash__

    UNSPECIFIED = 0
    FULL = 1
    MASKED = 2
    COARSE = 3
    LAST4 = 4


class Verdict(enum.IntEnum):
    """What became of an item or a call; numbers as in `vault.v1.Verdict`."""

    __hash__ = int.__hash__  # as `View`

    UNSPECIFIED = 0
    ALLOWED = 1
    REFUSED = 2
    INVALID = 3
    FAILED = 4


class Authentication(enum.IntEnum):
    """How the caller proved who it is; numbers as in the audit entry (docs/formats.md)."""

    __hash__ = int.__hash__  # as `View`

    NONE = 0
    MTLS = 1
    JWT = 2


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. Everything here but `id` comes from the policy bundle.

    Attributes:
        id: `spiffe://DOMAIN/PATH`, or `person:ISSUER#SUBJECT` for a person.
        authentication: how the id was proved.
        tenant: whose data the caller may ask for.
        roles: sorted, without duplicates.
    """

    id: str
    authentication: Authentication
    tenant: TenantId
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one item did not get what it asked for. `detail` holds nothing of the value."""

    verdict: Verdict
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy says about one item.

    Attributes:
        view: the view to reveal; UNSPECIFIED when refused, and for acts that
            reveal nothing.
        reason: NONE when allowed.
        policies: the `@id` of each deciding policy, sorted.
    """

    view: View
    reason: Reason
    policies: tuple[str, ...]

    @property
    def is_allowed(self) -> bool:
        return self.reason is Reason.NONE
