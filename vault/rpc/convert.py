"""Messages to domain values and back. Every rule about a request's form is here."""

import datetime as dt
import enum
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import timestamp_pb2

from vault.audit.entry import Entry
from vault.crypto.tokens import TokenForm, token_form
from vault.errors import Reason, invalid
from vault.model import Authentication, Refusal, SubjectId, Verdict, View
from vault.policy.bundle import Bundle
from vault.rpc.text import check_form, check_text, too_many
from vault.service.call import (
    DetokenizeQuery,
    FieldInput,
    Issued,
    Revealed,
    SubjectInput,
    TokenizeCommand,
    WantedToken,
)
from vault.service.list_entries import EntriesQuery, ListedEntry
from vault.v1 import audit_pb2, policy_pb2, tokens_pb2

MAX_SUBJECT_REF = 256
MAX_VALUE_BYTES = 16 * 1024
MAX_CALLER = 2400
DEFAULT_PAGE = 100
MAX_PAGE = 500

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9._:-]{16,128}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HEX32 = re.compile(r"[0-9a-f]{32}")
_CALLER = re.compile(r"(spiffe://|person:)[\x21-\x7e]{1,2300}")
_PAGE_TOKEN = re.compile(r"[A-Za-z0-9_=-]{1,128}")
_KEY_RULE = "is not 16 to 128 characters of [A-Za-z0-9._:-]"
_NAME_RULE = "is not a name of [a-z0-9_]"
_HEX_RULE = "is not 32 lower-case hex digits"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may hold.

    Attributes:
        request_bytes: the whole message.
        items: tokens, or values over all subjects.
    """

    request_bytes: int
    items: int
    subjects: int
    fields_per_subject: int


def tokenize_command(request: tokens_pb2.TokenizeRequest, limits: Limits) -> TokenizeCommand:
    """A Tokenize request in domain words.

    Raises:
        VaultError: a field is missing, too long, out of form or there too often.
    """
    check_form(request.idempotency_key, "idempotency_key", _IDEMPOTENCY_KEY, _KEY_RULE)
    if not request.subjects:
        raise invalid(Reason.FIELD_MISSING, "subjects", "is required")
    if len(request.subjects) > limits.subjects:
        raise too_many("subjects", limits.subjects)
    total = 0
    subjects: list[SubjectInput] = []
    for index, subject in enumerate(request.subjects):
        path = f"subjects[{index}]"
        check_text(subject.subject_ref, f"{path}.subject_ref", max_bytes=MAX_SUBJECT_REF)
        if not subject.fields:
            raise invalid(Reason.FIELD_MISSING, f"{path}.fields", "is required")
        if len(subject.fields) > limits.fields_per_subject:
            raise too_many(f"{path}.fields", limits.fields_per_subject)
        total += len(subject.fields)
        if total > limits.items:
            raise too_many("subjects[].fields", limits.items)
        fields: list[FieldInput] = []
        for at, value in enumerate(subject.fields):
            here = f"{path}.fields[{at}]"
            check_form(value.field_type, f"{here}.field_type", _NAME, _NAME_RULE)
            check_text(value.value, f"{here}.value", max_bytes=MAX_VALUE_BYTES)
            fields.append(FieldInput(here, value.field_type, value.value))
        subjects.append(SubjectInput(subject.subject_ref, fields))
    content = tokens_pb2.TokenizeRequest()
    content.CopyFrom(request)
    content.ClearField("idempotency_key")
    return TokenizeCommand(
        idempotency_key=request.idempotency_key,
        subjects=subjects,
        all_or_nothing=request.all_or_nothing,
        content=content.SerializeToString(deterministic=True),
    )


def tokenize_response(
    results: Sequence[Sequence[Issued | Refusal]], call_id: uuid.UUID
) -> tokens_pb2.TokenizeResponse:
    """The answer to a Tokenize request."""
    response = tokens_pb2.TokenizeResponse(call_id=call_id.hex)
    for group in results:
        subject = response.subjects.add()
        for result in group:
            if isinstance(result, Issued):
                subject.fields.add(verdict=Verdict.ALLOWED, token=result.token)
            else:
                subject.fields.add(
                    verdict=result.verdict, reason=result.reason, detail=result.detail
                )
    return response


def detokenize_query(request: tokens_pb2.DetokenizeRequest, limits: Limits) -> DetokenizeQuery:
    """A Detokenize request in domain words.

    Raises:
        VaultError: a field is missing, too long, out of form or there too often.
    """
    check_form(request.purpose, "purpose", _NAME, _NAME_RULE)
    if not request.items:
        raise invalid(Reason.FIELD_MISSING, "items", "is required")
    if len(request.items) > limits.items:
        raise too_many("items", limits.items)
    items: list[WantedToken] = []
    for index, item in enumerate(request.items):
        token = item.token
        if not token:
            raise invalid(Reason.FIELD_MISSING, f"items[{index}].token", "is required")
        if token_form(token) is TokenForm.BAD_GRAMMAR:
            raise invalid(Reason.FIELD_INVALID, f"items[{index}].token", "is not a token")
        items.append(WantedToken(token, _view(item.view, f"items[{index}].view")))
    return DetokenizeQuery(request.purpose, items, request.all_or_nothing)


def detokenize_response(
    results: Sequence[Revealed | Refusal], call_id: uuid.UUID
) -> tokens_pb2.DetokenizeResponse:
    """The answer to a Detokenize request."""
    response = tokens_pb2.DetokenizeResponse(call_id=call_id.hex)
    for result in results:
        if isinstance(result, Revealed):
            response.items.add(
                verdict=Verdict.ALLOWED,
                value=result.value,
                view=result.view,
                field_type=result.field_type,
            )
        else:
            response.items.add(verdict=result.verdict, reason=result.reason)
    return response


def entries_query(request: audit_pb2.ListEntriesRequest) -> EntriesQuery:
    """A ListEntries request in domain words.

    Raises:
        VaultError: a filter is out of form, or two exclude each other.
    """
    if request.subject_ref:
        check_text(request.subject_ref, "subject_ref", max_bytes=MAX_SUBJECT_REF)
    if request.subject_id:
        check_form(request.subject_id, "subject_id", _HEX32, _HEX_RULE)
        if request.subject_ref:
            raise invalid(Reason.FIELD_INVALID, "subject_id", "excludes subject_ref")
    if request.caller:
        check_text(request.caller, "caller", max_bytes=MAX_CALLER)
        check_form(request.caller, "caller", _CALLER, "is not spiffe://… or person:…")
    if request.purpose:
        check_form(request.purpose, "purpose", _NAME, _NAME_RULE)
    if request.trace_id:
        check_form(request.trace_id, "trace_id", _HEX32, _HEX_RULE)
    if request.page_token:
        check_form(request.page_token, "page_token", _PAGE_TOKEN, "is not a page token")
    if not 0 <= request.page_size <= MAX_PAGE:
        raise invalid(Reason.FIELD_INVALID, "page_size", f"is not 0 to {MAX_PAGE}")
    start = _time(request, "from")
    end = _time(request, "until")
    if start is not None and end is not None and start >= end:
        raise invalid(Reason.FIELD_INVALID, "until", "is not after from")
    return EntriesQuery(
        subject_ref=request.subject_ref or None,
        subject_id=SubjectId(uuid.UUID(hex=request.subject_id)) if request.subject_id else None,
        caller=request.caller or None,
        purpose=request.purpose or None,
        verdict=_verdict(request.verdict),
        trace_id=bytes.fromhex(request.trace_id) if request.trace_id else None,
        start=start,
        end=end,
        page_size=request.page_size or DEFAULT_PAGE,
        page_token=request.page_token,
    )


def entries_response(
    entries: Sequence[ListedEntry], next_page_token: str, call_id: uuid.UUID
) -> audit_pb2.ListEntriesResponse:
    """The answer to a ListEntries request."""
    return audit_pb2.ListEntriesResponse(
        entries=[_entry(listed) for listed in entries],
        next_page_token=next_page_token,
        call_id=call_id.hex,
    )


def bundle_message(bundle: Bundle, loaded_at_ns: int) -> policy_pb2.Bundle:
    """A bundle's description."""
    loaded_at = timestamp_pb2.Timestamp()
    loaded_at.FromNanoseconds(loaded_at_ns)
    counts = bundle.counts
    return policy_pb2.Bundle(
        digest=bundle.digest.hex(),
        loaded_at=loaded_at,
        policies=counts.policies,
        field_types=counts.field_types,
        purposes=counts.purposes,
        callers=counts.callers,
    )


_AUTHENTICATION = {
    Authentication.NONE: "none",
    Authentication.MTLS: "mtls",
    Authentication.JWT: "jwt",
}


def _entry(listed: ListedEntry) -> audit_pb2.AuditEntry:
    entry: Entry = listed.entry
    time = timestamp_pb2.Timestamp()
    time.FromMicroseconds(entry.time_us)
    return audit_pb2.AuditEntry(
        entry_id=entry.entry_id.hex,
        time=time,
        call_id=entry.call_id.hex,
        tenant=entry.tenant,
        rpc=entry.rpc,
        caller=entry.caller,
        authentication=_AUTHENTICATION[entry.authentication],
        roles=entry.roles,
        purpose=entry.purpose,
        subject_id=entry.subject_id.hex if entry.subject_id else "",
        verdict=_number(entry.verdict),
        reason=_number(entry.reason),
        field=entry.field,
        items=[
            audit_pb2.AuditItem(
                token_digest=item.token_digest.hex(),
                field_type=item.field_type,
                wanted_view=_number(item.wanted),
                view=_number(item.view),
                verdict=_number(item.verdict),
                reason=_number(item.reason),
                policies=item.policies,
            )
            for item in entry.items
        ],
        bundle_digest=entry.bundle_digest.hex(),
        trace_id=entry.trace_id.hex(),
        span_id=entry.span_id.hex(),
        entry=listed.data,
        leaf_hash=listed.leaf_hash,
    )


def _number(code: enum.IntEnum) -> Any:  # the stubs know only their own enums; the numbers agree
    return int(code)


def _view(number: int, field: str) -> View:
    try:
        return View(number)
    except ValueError as error:
        raise invalid(Reason.FIELD_INVALID, field, "is no view") from error


def _verdict(number: int) -> Verdict | None:
    try:
        return Verdict(number) or None
    except ValueError as error:
        raise invalid(Reason.FIELD_INVALID, "verdict", "is no verdict") from error


def _time(request: audit_pb2.ListEntriesRequest, field: str) -> dt.datetime | None:
    if not request.HasField(field):
        return None
    stamp: timestamp_pb2.Timestamp = getattr(request, field)
    try:
        return stamp.ToDatetime(tzinfo=dt.UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(Reason.FIELD_INVALID, field, "is no time") from error
