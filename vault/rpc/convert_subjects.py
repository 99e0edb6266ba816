"""Messages of SubjectService to domain values and back."""

import datetime as dt
import re
import uuid

from google.protobuf import timestamp_pb2

from vault.crypto.tokens import TokenForm, token_form
from vault.errors import Reason, invalid
from vault.keys.ledger import CAUSES
from vault.rpc.convert import MAX_SUBJECT_REF
from vault.rpc.text import check_form, check_text
from vault.service.erase import Certificate, EraseCommand
from vault.v1 import subjects_pb2

_ID = re.compile(r"[0-9a-f]{32}")


def erase_command(request: subjects_pb2.EraseSubjectRequest) -> EraseCommand:
    """An EraseSubject request in domain words.

    Raises:
        VaultError: a field is missing, too long or out of form.
    """
    kind = request.WhichOneof("subject")
    if kind is None:
        raise invalid(Reason.FIELD_MISSING, "subject", "is required: subject_ref or token")
    if kind == "subject_ref":
        check_text(request.subject_ref, "subject_ref", max_bytes=MAX_SUBJECT_REF)
    elif not request.token:
        raise invalid(Reason.FIELD_MISSING, "token", "is required")
    elif token_form(request.token) is TokenForm.BAD_GRAMMAR:
        raise invalid(Reason.FIELD_INVALID, "token", "is not a token")
    if not request.cause:
        raise invalid(Reason.FIELD_MISSING, "cause", "is required")
    if request.cause not in CAUSES:
        raise invalid(Reason.FIELD_INVALID, "cause", f"is not one of {', '.join(CAUSES)}")
    return EraseCommand(
        subject_ref=request.subject_ref if kind == "subject_ref" else None,
        token=request.token if kind == "token" else None,
        cause=request.cause,
        dry_run=request.dry_run,
    )


def erasure_id(request: subjects_pb2.GetErasureRequest) -> uuid.UUID:
    """The id that is asked for.

    Raises:
        VaultError: FIELD_MISSING or FIELD_INVALID.
    """
    check_form(request.erasure_id, "erasure_id", _ID, "is not an id of 32 hex digits")
    return uuid.UUID(hex=request.erasure_id)


def erasure_message(certificate: Certificate) -> subjects_pb2.Erasure:
    """A certificate."""
    row = certificate.row
    message = subjects_pb2.Erasure(
        erasure_id=row.erasure_id.hex,
        subject_id=row.subject_id.hex,
        cause=row.cause,
        erased_at=_timestamp(row.erased_at),
        ledger_index=row.ledger_index,
        ledger_hash=row.ledger_hash.hex(),
        caches_empty_at=_timestamp(certificate.caches_empty_at),
        root_versions=row.root_versions,
        entry_id=row.entry_id.hex,
        tokens=row.tokens,
    )
    if certificate.complete_at is not None:
        message.complete_at.CopyFrom(_timestamp(certificate.complete_at))
    return message


def _timestamp(time: dt.datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(time)
    return stamp
