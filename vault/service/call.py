"""What a call carries through its steps, and the requests in domain words."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vault.audit.account import Account
from vault.model import Principal, TenantId, View
from vault.policy.bundle import Bundle
from vault.telemetry.trace import CallTrace


@dataclass(frozen=True, slots=True)
class Call:
    """One identified call. The bundle is the one that was current when it came in."""

    principal: Principal
    bundle: Bundle
    account: Account
    trace: CallTrace

    @property
    def tenant(self) -> TenantId:
        return self.principal.tenant


@dataclass(frozen=True, slots=True)
class CaseRef:
    """What a call is about, in the caller's own words."""

    kind: str
    id: str = field(repr=False)


# The next two are not frozen, though nobody changes them: there is one of each for every item, and
# a frozen one takes twice as long to make.
@dataclass(slots=True)
class WantedToken:
    """One item of a Detokenize request; `is_sound`: its check characters fit."""

    token: str = field(repr=False)
    view: View
    is_sound: bool


@dataclass(slots=True)
class Revealed:
    """A value in the view that policy allows."""

    value: str = field(repr=False)
    view: View
    field_type: str


@dataclass(frozen=True, slots=True)
class DetokenizeQuery:
    """A Detokenize request that is well formed."""

    purpose: str
    items: Sequence[WantedToken]
    all_or_nothing: bool
    case: CaseRef | None = None


@dataclass(frozen=True, slots=True)
class FieldInput:
    """One value of a Tokenize request; `path` names it in errors."""

    path: str
    field_type: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SubjectInput:
    """What one consumer hands over."""

    subject_ref: str = field(repr=False)
    fields: Sequence[FieldInput]


@dataclass(frozen=True, slots=True)
class TokenizeCommand:
    """A Tokenize request that is well formed.

    Attributes:
        content: the request's bytes in canonical form, for telling a retry from reuse.
    """

    idempotency_key: str = field(repr=False)
    subjects: Sequence[SubjectInput]
    all_or_nothing: bool
    content: bytes = field(repr=False)
    case: CaseRef | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token for a value that was stored."""

    token: str = field(repr=False)
