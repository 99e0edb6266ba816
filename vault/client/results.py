"""What comes back: frozen values, one class per state, made from the messages. Pure.

Guarantees: an answer is used only if it fits its request: as many items as were
asked for, no ALLOWED item without its token or with another view than the one
wanted. No repr shows a value, a token or a subject's reference.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from vault.client.errors import answer_unfit, reason_of
from vault.client.requests import Subject, Wanted
from vault.errors import Reason
from vault.model import Verdict, View
from vault.v1 import audit_pb2, policy_pb2, tokens_pb2

_UNFIT_COUNT = "the answer does not have one item for each that was asked for"
_UNFIT_ITEM = "an item of the answer contradicts itself or the request"


@dataclass(frozen=True, slots=True)
class Refused:
    """One item that was not done.

    Attributes:
        verdict: REFUSED (by rule), INVALID (this item's input) or FAILED (something broke).
        reason: of the closed list; NONE if it is newer than this client.
        detail: with INVALID, what is wrong, such as "check digit".
    """

    verdict: Verdict
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """One value that is stored; `token` stands for it, at most 64 URL-safe characters."""

    field_type: str
    token: str

    def __repr__(self) -> str:
        return f"Issued(field_type={self.field_type!r}, token=<hidden>)"


@dataclass(frozen=True, slots=True, repr=False)
class Revealed:
    """One value, in the form that `view` names; never UNSPECIFIED."""

    view: View
    field_type: str
    value: str

    def __repr__(self) -> str:
        return f"Revealed(view={self.view.name}, field_type={self.field_type!r}, value=<hidden>)"


IssuedItem: TypeAlias = Issued | Refused
RevealedItem: TypeAlias = Revealed | Refused


@dataclass(frozen=True, slots=True)
class SubjectTokens:
    """What became of one subject's fields; field type to item, in the order given."""

    items: Mapping[str, IssuedItem]

    @property
    def tokens(self) -> dict[str, str]:
        """Field type to token, of the fields that are stored."""
        return {name: item.token for name, item in self.items.items() if isinstance(item, Issued)}

    @property
    def refused(self) -> dict[str, Refused]:
        """Field type to cause, of the fields that are not."""
        return {name: item for name, item in self.items.items() if isinstance(item, Refused)}


@dataclass(frozen=True, slots=True)
class TokenizeOutcome:
    """What became of a Tokenize.

    Attributes:
        subjects: in the order of the request.
        idempotency_key: repeats this write without a second effect.
        call_ids: find it in the audit log; several if it was split.
    """

    subjects: tuple[SubjectTokens, ...]
    idempotency_key: str
    call_ids: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every value is stored."""
        return not any(subject.refused for subject in self.subjects)


@dataclass(frozen=True, slots=True)
class DetokenizeOutcome:
    """What became of a Detokenize.

    Attributes:
        items: in the order of the request.
        call_ids: find it in the audit log; several if it was split.
    """

    items: tuple[RevealedItem, ...]
    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EntryItem:
    """One item of an audit entry; `protos/vault/v1/audit.proto` explains each field."""

    token_digest: str
    field_type: str
    wanted_view: View
    view: View
    verdict: Verdict
    reason: Reason
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One call's account of one subject. It holds no personal data.

    Attributes:
        time: UTC, to the microsecond; `entry` has the nanoseconds.
        entry: the bytes that the audit log vouches for (docs/formats.md).
        leaf_hash: SHA-256(0x00 || entry).
        Others: as in `protos/vault/v1/audit.proto`.
    """

    entry_id: str
    time: dt.datetime
    call_id: str
    tenant: str
    rpc: str
    caller: str
    authentication: str
    roles: tuple[str, ...]
    purpose: str
    case: str
    subject_id: str
    verdict: Verdict
    reason: Reason
    field: str
    items: tuple[EntryItem, ...]
    bundle_digest: str
    trace_id: str
    span_id: str
    entry: bytes = dataclasses.field(repr=False)
    leaf_hash: bytes = dataclasses.field(repr=False)
    act: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The policy bundle that decides; `digest` is SHA-256 in 64 hex digits."""

    digest: str
    loaded_at: dt.datetime
    policies: int
    field_types: int
    purposes: int
    callers: int


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The bundle after a reload, and whether it is another one than before."""

    bundle: Bundle
    changed: bool


def read_tokenized(
    answer: tokens_pb2.TokenizeResponse, asked: Sequence[Subject]
) -> list[SubjectTokens]:
    """What became of each subject.

    Raises:
        VaultCallError: the answer does not fit.
    """
    if len(answer.subjects) != len(asked):
        raise answer_unfit(_UNFIT_COUNT)
    return [
        _read_subject_tokens(result, subject)
        for result, subject in zip(answer.subjects, asked, strict=True)
    ]


def read_detokenized(
    answer: tokens_pb2.DetokenizeResponse, asked: Sequence[Wanted]
) -> list[RevealedItem]:
    """What became of each token.

    Raises:
        VaultCallError: the answer does not fit.
    """
    if len(answer.items) != len(asked):
        raise answer_unfit(_UNFIT_COUNT)
    return [_read_revealed(item, wanted) for item, wanted in zip(answer.items, asked, strict=True)]


def _read_subject_tokens(result: tokens_pb2.SubjectTokens, asked: Subject) -> SubjectTokens:
    if len(result.fields) != len(asked.fields):
        raise answer_unfit(_UNFIT_COUNT)
    items = {
        name: _read_issued(item, name)
        for item, name in zip(result.fields, asked.fields, strict=True)
    }
    return SubjectTokens(MappingProxyType(items))


def _read_issued(item: tokens_pb2.TokenResult, field_type: str) -> IssuedItem:
    verdict = read_verdict(item.verdict)
    if verdict is not Verdict.ALLOWED:
        return _read_refused(verdict, item.reason, item.detail)
    if not item.token:
        raise answer_unfit(_UNFIT_ITEM)
    return Issued(field_type, item.token)


def _read_revealed(item: tokens_pb2.DetokenizeResult, wanted: Wanted) -> RevealedItem:
    verdict = read_verdict(item.verdict)
    if verdict is not Verdict.ALLOWED:
        return _read_refused(verdict, item.reason, "")
    view = _view(item.view)
    if view is View.UNSPECIFIED or wanted.view not in (View.UNSPECIFIED, view):
        raise answer_unfit(_UNFIT_ITEM)
    return Revealed(view, item.field_type, item.value)


def _read_refused(verdict: Verdict, reason: int, detail: str) -> Refused:
    if verdict is Verdict.UNSPECIFIED:
        raise answer_unfit(_UNFIT_ITEM)
    return Refused(verdict, reason_of(reason), detail)


def read_entry(entry: audit_pb2.AuditEntry) -> Entry:
    return Entry(
        entry_id=entry.entry_id,
        time=read_time(entry.time),
        call_id=entry.call_id,
        tenant=entry.tenant,
        rpc=entry.rpc,
        caller=entry.caller,
        authentication=entry.authentication,
        roles=tuple(entry.roles),
        purpose=entry.purpose,
        case=entry.case,
        subject_id=entry.subject_id,
        verdict=read_verdict(entry.verdict),
        reason=reason_of(entry.reason),
        field=entry.field,
        items=tuple(
            EntryItem(
                token_digest=item.token_digest,
                field_type=item.field_type,
                wanted_view=_view(item.wanted_view),
                view=_view(item.view),
                verdict=read_verdict(item.verdict),
                reason=reason_of(item.reason),
                policies=tuple(item.policies),
            )
            for item in entry.items
        ),
        bundle_digest=entry.bundle_digest,
        trace_id=entry.trace_id,
        span_id=entry.span_id,
        entry=entry.entry,
        leaf_hash=entry.leaf_hash,
        act=entry.act,
    )


def read_bundle(bundle: policy_pb2.Bundle) -> Bundle:
    return Bundle(
        digest=bundle.digest,
        loaded_at=read_time(bundle.loaded_at),
        policies=bundle.policies,
        field_types=bundle.field_types,
        purposes=bundle.purposes,
        callers=bundle.callers,
    )


def read_time(stamp: Timestamp) -> dt.datetime:
    return stamp.ToDatetime(tzinfo=dt.UTC)


def _view(number: int) -> View:
    try:
        return View(number)
    except ValueError:
        return View.UNSPECIFIED


def read_verdict(number: int) -> Verdict:
    try:
        return Verdict(number)
    except ValueError:
        return Verdict.UNSPECIFIED
