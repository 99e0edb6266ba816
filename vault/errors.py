"""The closed list of reasons, and the one error that carries them.

`Reason` mirrors `vault.v1.Reason` number by number; `docs/reasons.md` explains
each one to callers, and a test holds the three together. A refusal that
concerns one item of a call is a value (`vault.model.Refusal`), not an error: an error
ends the call.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Reason(enum.IntEnum):
    """Why an item or a call did not get what it asked for."""

    __hash__ = int.__hash__  # as `vault.model.View`

    NONE = 0

    REQUEST_MALFORMED = 10
    REQUEST_TOO_LARGE = 11
    REQUEST_TOO_DEEP = 12
    FIELD_UNKNOWN = 13
    FIELD_MISSING = 14
    FIELD_INVALID = 15
    FIELD_TOO_LONG = 16
    TOO_MANY_ITEMS = 17
    FIELD_TYPE_UNKNOWN = 18
    VALUE_INVALID = 19
    IDEMPOTENCY_KEY_REUSED = 20
    PAGE_TOKEN_INVALID = 21

    CERTIFICATE_INVALID = 30
    CERTIFICATE_EXPIRED = 31
    CALLER_UNKNOWN = 32
    BEARER_INVALID = 33
    BEARER_EXPIRED = 34
    SERVICE_NOT_PERMITTED = 35

    POLICY_DENIED = 40
    POLICY_FORBIDDEN = 41
    PURPOSE_UNKNOWN = 42
    PURPOSE_NOT_PERMITTED = 43
    FIELD_NOT_IN_PURPOSE = 44
    VIEW_NOT_PERMITTED = 45
    VIEW_UNAVAILABLE = 46
    CONSENT_MISSING = 47
    POLICY_ERROR = 48

    TOKEN_UNKNOWN = 50
    TOKEN_MALFORMED = 51
    DATA_CORRUPT = 52
    ERASED = 53
    KEY_EXHAUSTED = 54
    SUBJECT_UNKNOWN = 55

    KEY_STORE_SEALED = 60
    KEY_STORE_UNAVAILABLE = 61
    KEY_STORE_DENIED = 62
    KEY_STORE_FAULT = 63
    DATABASE_UNAVAILABLE = 64
    AUDIT_UNAVAILABLE = 65
    OVERLOADED = 66
    DEADLINE_EXCEEDED = 67
    CANCELLED = 68
    OUTCOME_UNKNOWN = 69
    SHUTTING_DOWN = 70
    INTERNAL = 71
    BUNDLE_INVALID = 72
    NOT_PUBLISHED = 73
    LEDGER_NOT_REPLAYED = 74

    CUSTODY_UNAVAILABLE = 80
    ACT_UNKNOWN = 81
    ACT_CLOSED = 82
    APPROVAL_MISSING = 83
    APPROVAL_BY_REQUESTER = 84
    APPROVAL_MISMATCH = 85
    APPROVAL_EXPIRED = 86
    KEY_IN_USE = 87
    JOB_UNKNOWN = 88
    JOB_ENDED = 89
    ERASURE_UNKNOWN = 90


@dataclass(frozen=True, slots=True)
class Violation:
    """One field at fault.

    Attributes:
        field: the path in the request, such as `subjects[3].fields[0].value`, or
            in a file, such as `purposes.yaml:14`.
        text: what is wrong, in words that hold nothing of the value.
    """

    field: str
    text: str


class VaultError(Exception):
    """Ends a call, or stops a command.

    Attributes:
        reason: one of the closed list.
        text: a short sentence for the caller. It never holds a value, a token, a
            key, a credential or anything else that came in.
        violations: the fields at fault, where the input is to blame.
        retry_after_ms: a hint for the caller, for reasons that pass.
    """

    def __init__(
        self,
        reason: Reason,
        text: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"{reason.name}: {text}")
        self.reason = reason
        self.text = text
        self.violations = tuple(violations)
        self.retry_after_ms = retry_after_ms


class OutdatedKeysError(VaultError):
    """A key was replaced between two steps of a call: nothing was stored; begin again."""

    def __init__(self) -> None:
        super().__init__(
            Reason.KEY_STORE_UNAVAILABLE,
            "a key was replaced meanwhile; try again",
            retry_after_ms=100,
        )


def invalid(reason: Reason, field: str, text: str) -> VaultError:
    """The error for one field of a request that is wrong."""
    return VaultError(reason, f"{field}: {text}", violations=(Violation(field, text),))
