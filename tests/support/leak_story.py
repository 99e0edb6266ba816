"""A log that tells of a leak: support's certificate is used by somebody else for two days."""

import uuid

from tests.support.small_log import SmallLog
from vault.audit.entry import Entry, EntryItem, encode
from vault.crypto.tokens import new_token, token_digest
from vault.errors import Reason
from vault.model import Authentication, SubjectId, Verdict, View

BEGIN_US = 1_763_712_000_000_000
"""2025-11-21T08:00:00Z."""
HOUR_US = 3_600_000_000
SUPPORT = "spiffe://pdvault.example/shop/support"
SHIPPING = "spiffe://pdvault.example/shop/shipping"
STRANGER = "spiffe://pdvault.example/shop/<b>stranger"
DETOKENIZE = "vault.v1.TokenService/Detokenize"
TOKENS = {
    (person, field_type): new_token(
        prefix, "demo", lambda n, at=person * 8 + kind: bytes([at + 1]) * n
    )
    for person in range(4)
    for kind, (field_type, prefix) in enumerate(
        {"phone": "pho", "person_name": "nam", "bank_card": "crd"}.items()
    )
}
"""(consumer, field type) to token; tokens are always the same."""

_POLICIES = {View.FULL: "reveal-full", View.MASKED: "reveal-masked", View.LAST4: "reveal-last4"}


def subject(person: int) -> SubjectId:
    return SubjectId(uuid.UUID(int=(4 << 76) | (2 << 62) | (person + 1)))


def item(
    person: int, field_type: str, view: View = View.UNSPECIFIED, reason: Reason = Reason.NONE
) -> EntryItem:
    """Revealed in a view, or refused for a reason."""
    return EntryItem(
        token_digest(TOKENS[person, field_type]),
        field_type,
        View.UNSPECIFIED,
        view,
        Verdict.ALLOWED if reason is Reason.NONE else Verdict.REFUSED,
        reason,
        (_POLICIES[view],) if view in _POLICIES else (),
    )


def story() -> SmallLog:
    """Nine entries: before, during and after the leak, of the leaked caller and of others."""
    phone, name, card = "phone", "person_name", "bank_card"
    denied = Reason.FIELD_NOT_IN_PURPOSE
    rows: list[tuple[int, str, str, int | None, tuple[EntryItem, ...], Reason, str]] = [
        (0, SUPPORT, DETOKENIZE, 0, (item(0, phone, View.MASKED),), Reason.NONE, "after_sales"),
        (1, SHIPPING, DETOKENIZE, 0, (item(0, phone, View.FULL),), Reason.NONE, "delivery"),
        (
            24,
            SUPPORT,
            DETOKENIZE,
            0,
            (item(0, phone, View.MASKED), item(0, card, reason=denied)),
            Reason.NONE,
            "after_sales",
        ),
        (
            25,
            SUPPORT,
            DETOKENIZE,
            1,
            (item(1, phone, View.MASKED), item(1, name, View.MASKED)),
            Reason.NONE,
            "after_sales",
        ),
        (26, SUPPORT, DETOKENIZE, 2, (item(2, card, View.LAST4),), Reason.NONE, "refund"),
        (26, SUPPORT, DETOKENIZE, 3, (item(3, card, reason=denied),), denied, "after_sales"),
        (27, SUPPORT, "vault.v1.AuditService/ListEntries", None, (), denied, ""),
        (49, SUPPORT, DETOKENIZE, 1, (item(1, phone, View.MASKED),), Reason.NONE, "after_sales"),
        (50, STRANGER, DETOKENIZE, None, (), Reason.CALLER_UNKNOWN, ""),
    ]
    return SmallLog(
        [
            encode(
                Entry(
                    entry_id=uuid.UUID(int=(0x019A << 112) | (7 << 76) | (2 << 62) | number),
                    time_us=BEGIN_US + hours * HOUR_US + number,
                    call_id=uuid.UUID(int=(4 << 76) | (2 << 62) | number),
                    trace_id=(number + 1).to_bytes(16),
                    span_id=(number + 1).to_bytes(8),
                    bundle_digest=bytes(range(32)),
                    authentication=Authentication.MTLS,
                    verdict=Verdict.ALLOWED if reason is Reason.NONE else Verdict.REFUSED,
                    reason=reason,
                    subject_id=None if person is None else subject(person),
                    tenant="demo-shop",
                    rpc=rpc,
                    caller=caller,
                    roles=("support",),
                    purpose=purpose,
                    case="",
                    field="",
                    items=items,
                )
            )
            for number, (hours, caller, rpc, person, items, reason, purpose) in enumerate(rows)
        ]
    )
