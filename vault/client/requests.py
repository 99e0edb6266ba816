"""What callers hand over, and the messages made of it. Pure.

Only what the wire cannot carry is refused here, by the field's path and without
its value: things that are not text, and text that is not valid Unicode. The
vault itself checks everything else, and records that it did.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from google.protobuf.timestamp_pb2 import Timestamp

from vault.client.errors import invalid_request
from vault.errors import Reason
from vault.model import Verdict, View
from vault.v1 import audit_pb2, tokens_pb2

MAX_SUBJECTS = 500
"""Entries in one Tokenize (protos/vault/v1/tokens.proto)."""
MAX_ITEMS = 1000
"""Values in one Tokenize, tokens in one Detokenize (same source)."""
MAX_PROOFS = 500
"""Entries in one ProveInclusion (protos/vault/v1/audit.proto)."""
_MAX_KEY_CHARS = 128


@dataclass(frozen=True, slots=True, repr=False)
class Subject:
    """One consumer's values to be stored.

    Attributes:
        ref: the caller's own reference for the consumer, at most 256 bytes.
        fields: field type to value. A consumer with two values of one type
            stands in two Subjects with the same ref.
    """

    ref: str
    fields: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Subject(ref=<hidden>, fields={list(self.fields)!r})"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One token and the view in which its value is wanted.

    UNSPECIFIED asks for the most that policy allows.
    """

    token: str = field(repr=False)
    view: View = View.UNSPECIFIED


class EntryFilters(TypedDict, total=False):
    """Filters of the audit log; those that are given must all hold.

    subject_ref or subject_id (32 hex digits), not both; caller: the whole
    identity; since <= time < until, with time zone; page_size: 1 to 500 entries
    a round trip. field_type, view and policy (its @id) are those of an item;
    bundle_digest: 64 hex digits. case ("order:A-2026-000123") or case_id (32 hex
    digits), not both. entry_id: 32 hex digits.
    """

    subject_ref: str
    subject_id: str
    caller: str
    purpose: str
    verdict: Verdict
    trace_id: str
    since: dt.datetime
    until: dt.datetime
    page_size: int
    field_type: str
    view: View
    policy: str
    bundle_digest: str
    case: str
    case_id: str
    entry_id: str


def read_subjects(
    subjects: Iterable[Subject | tuple[str, Mapping[str, str]]],
) -> tuple[Subject, ...]:
    """The subjects as one type.

    Raises:
        InvalidRequestError: a member is neither a Subject nor a (reference, fields) pair.
    """
    return tuple(_read_subject(i, each) for i, each in enumerate(subjects))


def _read_subject(i: int, given: object) -> Subject:
    match given:
        case Subject():
            return given
        case (str() as ref, Mapping() as fields):
            return Subject(ref, fields)
        case _:
            raise invalid_request(
                Reason.FIELD_INVALID,
                f"subjects[{i}]",
                "not a Subject or a (reference, fields) pair",
            )


def read_wanted(tokens: Iterable[str | Wanted], view: View | None) -> tuple[Wanted, ...]:
    """The tokens as one type; `view` is that of the bare ones.

    Raises:
        InvalidRequestError: one string where a collection belongs, or a member of
            another type.
    """
    if isinstance(tokens, str):
        raise invalid_request(Reason.FIELD_INVALID, "items", "one token; a collection belongs here")
    bare = View.UNSPECIFIED if view is None else view
    return tuple(
        each if isinstance(each, Wanted) else Wanted(_text(f"items[{i}].token", each), bare)
        for i, each in enumerate(tokens)
    )


def tokenize_requests(
    subjects: Sequence[Subject], *, idempotency_key: str, all_or_nothing: bool, case: str = ""
) -> list[tokens_pb2.TokenizeRequest]:
    """The subjects as requests within the vault's limits, in order; at least one.

    One request carries the key as it is. Several carry KEY.1, KEY.2 and so on:
    the same subjects always split in the same way, so a repetition with KEY
    repeats each part with its own key.

    Raises:
        InvalidRequestError: all_or_nothing, and more than one request would hold;
            or a text that the wire cannot carry.
    """
    messages = [_subject_fields(i, subject) for i, subject in enumerate(subjects)]
    parts = list(_packed(messages))
    if all_or_nothing and len(parts) > 1:
        raise _too_many("subjects", f"{MAX_SUBJECTS} subjects with {MAX_ITEMS} fields")
    _text("idempotency_key", idempotency_key)
    _text("case", case)
    if len(parts) > 1 and len(f"{idempotency_key}.{len(parts)}") > _MAX_KEY_CHARS:
        raise invalid_request(Reason.FIELD_TOO_LONG, "idempotency_key", "no room for part numbers")
    return [
        tokens_pb2.TokenizeRequest(
            idempotency_key=idempotency_key if len(parts) == 1 else f"{idempotency_key}.{number}",
            subjects=part,
            all_or_nothing=all_or_nothing,
            case=case,
        )
        for number, part in enumerate(parts, start=1)
    ]


def _packed(
    subjects: Sequence[tokens_pb2.SubjectFields],
) -> Iterator[list[tokens_pb2.SubjectFields]]:
    part: list[tokens_pb2.SubjectFields] = []
    items = 0
    for subject in subjects:
        if part and (len(part) == MAX_SUBJECTS or items + len(subject.fields) > MAX_ITEMS):
            yield part
            part, items = [], 0
        part.append(subject)
        items += len(subject.fields)
    yield part


def detokenize_requests(
    purpose: str, wanted: Sequence[Wanted], *, all_or_nothing: bool, case: str = ""
) -> list[tokens_pb2.DetokenizeRequest]:
    """The tokens as requests within the vault's limits, in order; at least one.

    Raises:
        InvalidRequestError: as `tokenize_requests`.
    """
    if all_or_nothing and len(wanted) > MAX_ITEMS:
        raise _too_many("items", f"{MAX_ITEMS} tokens")
    _text("purpose", purpose)
    _text("case", case)
    items = [
        tokens_pb2.DetokenizeItem(
            token=_text(f"items[{i}].token", each.token), view=f"VIEW_{each.view.name}"
        )
        for i, each in enumerate(wanted)
    ]
    return [
        tokens_pb2.DetokenizeRequest(
            purpose=purpose,
            items=items[start : start + MAX_ITEMS],
            all_or_nothing=all_or_nothing,
            case=case,
        )
        for start in range(0, max(1, len(items)), MAX_ITEMS)
    ]


def entries_request(filters: EntryFilters) -> audit_pb2.ListEntriesRequest:
    """The first page's request.

    Raises:
        InvalidRequestError: a time without a zone, or a text that the wire cannot carry.
    """
    request = audit_pb2.ListEntriesRequest(
        subject_ref=_text("subject_ref", filters.get("subject_ref", "")),
        subject_id=_text("subject_id", filters.get("subject_id", "")),
        caller=_text("caller", filters.get("caller", "")),
        purpose=_text("purpose", filters.get("purpose", "")),
        verdict=f"VERDICT_{filters.get('verdict', Verdict.UNSPECIFIED).name}",
        trace_id=_text("trace_id", filters.get("trace_id", "")),
        until=_timestamp("until", filters.get("until")),
        page_size=filters.get("page_size", 0),
        field_type=_text("field_type", filters.get("field_type", "")),
        view=f"VIEW_{filters.get('view', View.UNSPECIFIED).name}",
        policy=_text("policy", filters.get("policy", "")),
        bundle_digest=_text("bundle_digest", filters.get("bundle_digest", "")),
        case=_text("case", filters.get("case", "")),
        case_id=_text("case_id", filters.get("case_id", "")),
        entry_id=_text("entry_id", filters.get("entry_id", "")),
    )
    since = _timestamp("from", filters.get("since"))
    if since is not None:
        getattr(request, "from").CopyFrom(since)  # a keyword of Python
    return request


def stats_request(
    since: dt.datetime, until: dt.datetime, case: str = "", case_id: str = ""
) -> audit_pb2.GetStatsRequest:
    """Raises: InvalidRequestError: a time without a zone, or a text that the wire can't carry."""
    request = audit_pb2.GetStatsRequest(
        until=_timestamp("until", until),
        case=_text("case", case),
        case_id=_text("case_id", case_id),
    )
    getattr(request, "from").CopyFrom(_timestamp("from", since))
    return request


def proof_requests(
    entry_ids: Iterable[str], tree_size: int
) -> list[audit_pb2.ProveInclusionRequest]:
    """The entries as requests within the vault's limit, in order; at least one.

    Raises:
        InvalidRequestError: one string where a collection belongs, or an id that is no text.
    """
    if isinstance(entry_ids, str):
        raise invalid_request(
            Reason.FIELD_INVALID, "entry_ids", "one id; a collection belongs here"
        )
    ids = [_text(f"entry_ids[{i}]", each) for i, each in enumerate(entry_ids)]
    return [
        audit_pb2.ProveInclusionRequest(
            entry_ids=ids[start : start + MAX_PROOFS], tree_size=tree_size
        )
        for start in range(0, max(1, len(ids)), MAX_PROOFS)
    ]


def new_idempotency_key() -> str:
    return str(uuid.uuid4())


def _subject_fields(i: int, subject: Subject) -> tokens_pb2.SubjectFields:
    path = f"subjects[{i}]"
    return tokens_pb2.SubjectFields(
        subject_ref=_text(f"{path}.subject_ref", subject.ref),
        fields=[
            tokens_pb2.FieldValue(
                field_type=_text(f"{path}.fields[{j}].field_type", name),
                value=_text(f"{path}.fields[{j}].value", value),
            )
            for j, (name, value) in enumerate(subject.fields.items())
        ],
    )


def _text(path: str, given: object) -> str:
    """`given`, if the wire can carry it: protobuf's own errors would hold the value."""
    if not isinstance(given, str):
        raise invalid_request(Reason.FIELD_INVALID, path, "not a str")
    if not given.isascii() and any("\ud800" <= char <= "\udfff" for char in given):
        raise invalid_request(Reason.FIELD_INVALID, path, "not valid Unicode")
    return given


def _timestamp(path: str, time: dt.datetime | None) -> Timestamp | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise invalid_request(Reason.FIELD_INVALID, path, "a time without a zone")
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _too_many(field_name: str, limit: str) -> Exception:
    return invalid_request(
        Reason.TOO_MANY_ITEMS,
        field_name,
        f"more than {limit}; all_or_nothing holds within one request, so it is not split",
    )
