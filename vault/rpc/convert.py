"""Messages of TokenService and PolicyService to domain values and back."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf import timestamp_pb2

from vault.crypto.tokens import TokenForm, token_form
from vault.errors import Reason, invalid
from vault.model import Refusal, Verdict, View
from vault.policy.bundle import Bundle
from vault.rpc.text import check_form, check_text, too_many
from vault.service.call import (
    CaseRef,
    DetokenizeQuery,
    FieldInput,
    Issued,
    Revealed,
    SubjectInput,
    TokenizeCommand,
    WantedToken,
)
from vault.v1 import policy_pb2, tokens_pb2

MAX_SUBJECT_REF = 256
MAX_VALUE_BYTES = 16 * 1024

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9._:-]{16,128}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KEY_RULE = "is not 16 to 128 characters of [A-Za-z0-9._:-]"
_CASE = re.compile(r"[a-z]{2,16}:[A-Za-z0-9._-]{1,64}")
_CASE_RULE = "is not KIND:ID, of [a-z]{2,16} and [A-Za-z0-9._-]{1,64}"
# Phone numbers have 7 digits and more, as cards and identity numbers; the latter may end in X.
_PERSONAL_NUMBER = re.compile(r"[0-9]{7,}[Xx]?")
_NO_SEPARATORS = {ord(separator): None for separator in "._-"}
NAME_RULE = "is not a name of [a-z0-9_]"
_VIEWS = {view.value: view for view in View}


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


def case_ref(text: str, field: str) -> CaseRef | None:
    """A case in the caller's words, such as `order:A-2026-000123`; None for no text.

    Raises:
        VaultError: FIELD_INVALID, it is out of form, or a number that could be a person's.
    """
    if not text:
        return None
    check_form(text, field, _CASE, _CASE_RULE)
    kind, _, case_id = text.partition(":")
    if _PERSONAL_NUMBER.fullmatch(case_id.translate(_NO_SEPARATORS)):
        raise invalid(
            Reason.FIELD_INVALID,
            field,
            "could be a phone, card or identity number; begin its id with a letter",
        )
    return CaseRef(kind, case_id)


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
            check_form(value.field_type, f"{here}.field_type", NAME, NAME_RULE)
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
        case=case_ref(request.case, "case"),
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
    check_form(request.purpose, "purpose", NAME, NAME_RULE)
    if not request.items:
        raise invalid(Reason.FIELD_MISSING, "items", "is required")
    if len(request.items) > limits.items:
        raise too_many("items", limits.items)
    items: list[WantedToken] = []
    for index, item in enumerate(request.items):
        token = item.token
        form = token_form(token)
        if form is TokenForm.BAD_GRAMMAR:
            path = f"items[{index}].token"
            if not token:
                raise invalid(Reason.FIELD_MISSING, path, "is required")
            raise invalid(Reason.FIELD_INVALID, path, "is not a token")
        view = _VIEWS.get(item.view)
        if view is None:
            raise invalid(Reason.FIELD_INVALID, f"items[{index}].view", "is no view")
        items.append(WantedToken(token, view, form is TokenForm.GOOD))
    return DetokenizeQuery(
        request.purpose, items, request.all_or_nothing, case_ref(request.case, "case")
    )


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


def view_of(number: int, field: str) -> View:
    """A view by its number.

    Raises:
        VaultError: FIELD_INVALID, there is no such view.
    """
    try:
        return View(number)
    except ValueError as error:
        raise invalid(Reason.FIELD_INVALID, field, "is no view") from error
