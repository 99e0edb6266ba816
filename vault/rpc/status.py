"""The one table from reason to gRPC status, and the rich error that callers get."""

import uuid
from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from vault.errors import Reason, VaultError

DOMAIN = "pdvault"
"""`google.rpc.ErrorInfo.domain` of every error."""

DETAILS_KEY = "grpc-status-details-bin"
"""The trailing metadata key of google.rpc.Status (gRPC's own convention)."""

_C = grpc.StatusCode

STATUS: Mapping[Reason, grpc.StatusCode] = {
    Reason.REQUEST_MALFORMED: _C.INVALID_ARGUMENT,
    Reason.REQUEST_TOO_LARGE: _C.INVALID_ARGUMENT,
    Reason.REQUEST_TOO_DEEP: _C.INVALID_ARGUMENT,
    Reason.FIELD_UNKNOWN: _C.INVALID_ARGUMENT,
    Reason.FIELD_MISSING: _C.INVALID_ARGUMENT,
    Reason.FIELD_INVALID: _C.INVALID_ARGUMENT,
    Reason.FIELD_TOO_LONG: _C.INVALID_ARGUMENT,
    Reason.TOO_MANY_ITEMS: _C.INVALID_ARGUMENT,
    Reason.FIELD_TYPE_UNKNOWN: _C.INVALID_ARGUMENT,
    Reason.VALUE_INVALID: _C.INVALID_ARGUMENT,
    Reason.IDEMPOTENCY_KEY_REUSED: _C.INVALID_ARGUMENT,
    Reason.PAGE_TOKEN_INVALID: _C.INVALID_ARGUMENT,
    Reason.CERTIFICATE_INVALID: _C.UNAUTHENTICATED,
    Reason.CERTIFICATE_EXPIRED: _C.UNAUTHENTICATED,
    Reason.CALLER_UNKNOWN: _C.PERMISSION_DENIED,
    Reason.BEARER_INVALID: _C.UNAUTHENTICATED,
    Reason.BEARER_EXPIRED: _C.UNAUTHENTICATED,
    Reason.SERVICE_NOT_PERMITTED: _C.PERMISSION_DENIED,
    Reason.POLICY_DENIED: _C.PERMISSION_DENIED,
    Reason.POLICY_FORBIDDEN: _C.PERMISSION_DENIED,
    Reason.PURPOSE_UNKNOWN: _C.PERMISSION_DENIED,
    Reason.PURPOSE_NOT_PERMITTED: _C.PERMISSION_DENIED,
    Reason.FIELD_NOT_IN_PURPOSE: _C.PERMISSION_DENIED,
    Reason.VIEW_NOT_PERMITTED: _C.PERMISSION_DENIED,
    Reason.VIEW_UNAVAILABLE: _C.FAILED_PRECONDITION,
    Reason.CONSENT_MISSING: _C.PERMISSION_DENIED,
    Reason.POLICY_ERROR: _C.PERMISSION_DENIED,
    Reason.TOKEN_UNKNOWN: _C.NOT_FOUND,
    Reason.TOKEN_MALFORMED: _C.INVALID_ARGUMENT,
    Reason.DATA_CORRUPT: _C.DATA_LOSS,
    Reason.ERASED: _C.NOT_FOUND,
    Reason.KEY_EXHAUSTED: _C.FAILED_PRECONDITION,
    Reason.SUBJECT_UNKNOWN: _C.NOT_FOUND,
    Reason.KEY_STORE_SEALED: _C.UNAVAILABLE,
    Reason.KEY_STORE_UNAVAILABLE: _C.UNAVAILABLE,
    Reason.KEY_STORE_DENIED: _C.FAILED_PRECONDITION,  # trying again does not mend a right
    Reason.KEY_STORE_FAULT: _C.INTERNAL,
    Reason.DATABASE_UNAVAILABLE: _C.UNAVAILABLE,
    Reason.AUDIT_UNAVAILABLE: _C.UNAVAILABLE,
    Reason.OVERLOADED: _C.RESOURCE_EXHAUSTED,
    Reason.DEADLINE_EXCEEDED: _C.DEADLINE_EXCEEDED,
    Reason.CANCELLED: _C.CANCELLED,
    Reason.OUTCOME_UNKNOWN: _C.ABORTED,
    Reason.SHUTTING_DOWN: _C.UNAVAILABLE,
    Reason.INTERNAL: _C.INTERNAL,
    Reason.BUNDLE_INVALID: _C.FAILED_PRECONDITION,
    Reason.NOT_PUBLISHED: _C.UNAVAILABLE,
    Reason.LEDGER_NOT_REPLAYED: _C.UNAVAILABLE,
    Reason.CUSTODY_UNAVAILABLE: _C.FAILED_PRECONDITION,
    Reason.ACT_UNKNOWN: _C.NOT_FOUND,
    Reason.ACT_CLOSED: _C.FAILED_PRECONDITION,
    Reason.APPROVAL_MISSING: _C.FAILED_PRECONDITION,
    Reason.APPROVAL_BY_REQUESTER: _C.PERMISSION_DENIED,
    Reason.APPROVAL_MISMATCH: _C.FAILED_PRECONDITION,
    Reason.APPROVAL_EXPIRED: _C.FAILED_PRECONDITION,
    Reason.KEY_IN_USE: _C.FAILED_PRECONDITION,
    Reason.JOB_UNKNOWN: _C.NOT_FOUND,
    Reason.JOB_ENDED: _C.FAILED_PRECONDITION,
    Reason.ERASURE_UNKNOWN: _C.NOT_FOUND,
}


def status_of(error: VaultError, call_id: uuid.UUID) -> status_pb2.Status:
    """The google.rpc.Status of an error.

    Its message names the field and the reason; nothing in it came from the request.
    """
    status = status_pb2.Status(
        code=STATUS[error.reason].value[0], message=f"{error.reason.name}: {error.text}"
    )
    _add(
        status,
        error_details_pb2.ErrorInfo(
            reason=error.reason.name, domain=DOMAIN, metadata={"call_id": call_id.hex}
        ),
    )
    if error.violations:
        _add(
            status,
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.text)
                    for v in error.violations
                ]
            ),
        )
    if error.retry_after_ms is not None:
        delay = duration_pb2.Duration(
            seconds=error.retry_after_ms // 1000, nanos=error.retry_after_ms % 1000 * 1_000_000
        )
        _add(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def grpc_code(status: status_pb2.Status) -> grpc.StatusCode:
    """The gRPC status code of a google.rpc.Status."""
    return _CODES[status.code]


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _add(status: status_pb2.Status, detail: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]  # every caller passes a message
    status.details.append(packed)
