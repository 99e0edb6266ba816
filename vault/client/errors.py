"""What a call that failed raises, read from the vault's own status details.

Guarantees: no message and no repr here holds a value, a token or a key. The
text of a failure that the vault did not explain itself (no `google.rpc.ErrorInfo`
of domain "pdvault") is replaced by a sentence of this module, because anybody
may have written it; gRPC's own account stays reachable as `__cause__`.

There are three subclasses, one for each thing that a caller can do about it:
mend the request, get a permission, try again later. Everything else is a fault.
"""

import re
from collections.abc import Sequence
from typing import Protocol, Self, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from vault.errors import Reason, Violation

_DOMAIN = "pdvault"


class CredentialFilesError(Exception):
    """The certificate, key or CA file cannot be used. Names the file, never its content."""


class VaultCallError(Exception):
    """A call ended without an answer.

    Attributes:
        reason: of the closed list; NONE when the vault itself did not answer (the
            connection was refused or cut) or when its reason is newer than this client.
        status: the gRPC status.
        text: a short sentence without anything of the request in it.
        violations: the fields at fault, where the input is to blame.
        call_id: finds the call in the vault's audit log; empty when the vault did
            not answer.
        retry_after: seconds that the vault asks to wait, or None.
        idempotency_key: of the write that failed, or None. Its outcome may be
            unknown: the same subjects with this key have exactly one effect.
    """

    def __init__(
        self,
        reason: Reason,
        text: str,
        *,
        status: grpc.StatusCode,
        violations: Sequence[Violation] = (),
        call_id: str = "",
        retry_after: float | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        label = status.name if reason is Reason.NONE else reason.name
        super().__init__(f"{label}: {text}" + (f" (call {call_id})" if call_id else ""))
        self.reason = reason
        self.text = text
        self.status = status
        self.violations = tuple(violations)
        self.call_id = call_id
        self.retry_after = retry_after
        self.idempotency_key = idempotency_key

    def moved(self, field: str, offset: int, idempotency_key: str | None) -> Self:
        """The same error, without its cause, seen from the whole of which the call was a part.

        Args:
            field: the repeated field of the request, such as "subjects".
            offset: how many of its members went before, in other calls.
            idempotency_key: the key of the whole.
        """

        def shift(text: str) -> str:
            return re.sub(
                rf"\b{field}\[(\d+)\]", lambda found: f"{field}[{int(found[1]) + offset}]", text
            )

        return type(self)(
            self.reason,
            shift(self.text),
            status=self.status,
            violations=[Violation(shift(each.field), shift(each.text)) for each in self.violations],
            call_id=self.call_id,
            retry_after=self.retry_after,
            idempotency_key=idempotency_key,
        )


class InvalidRequestError(VaultCallError):
    """The request is wrong, nothing was stored; the same request fails again."""


class NotPermittedError(VaultCallError):
    """The caller is not known or not allowed; its certificate or the policy has to change."""


class UnavailableError(VaultCallError):
    """The vault, or something that it needs, does not answer now; a later try may succeed.

    A write that ends so may have happened: repeat it with `idempotency_key`.
    """


_CLASSES: dict[grpc.StatusCode, type[VaultCallError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.UNAUTHENTICATED: NotPermittedError,
    grpc.StatusCode.PERMISSION_DENIED: NotPermittedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: UnavailableError,
    grpc.StatusCode.ABORTED: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
}

_TEXTS: dict[grpc.StatusCode, tuple[Reason, str]] = {
    grpc.StatusCode.UNAVAILABLE: (Reason.NONE, "TLS handshake refused or server unreachable"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        Reason.DEADLINE_EXCEEDED,
        "no answer within the time that the caller gave",
    ),
    grpc.StatusCode.CANCELLED: (Reason.CANCELLED, "the call was cancelled"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (Reason.NONE, "a limit of the connection was reached"),
}


class _Ended(Protocol):
    """What both of gRPC's error classes have."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> object: ...


def call_error(cause: grpc.RpcError) -> VaultCallError:
    """The error of a call that gRPC says has failed. Its cause is `cause`."""
    ended = cast("_Ended", cause)
    status = ended.code()
    try:
        rich = cast("status_pb2.Status | None", rpc_status.from_call(ended))
    except (ValueError, DecodeError):  # details that contradict the status are no details
        rich = None
    error = _explained(status, rich) or _unexplained(status)
    error.__cause__ = cause
    return error


def invalid_request(reason: Reason, field: str, text: str) -> InvalidRequestError:
    """A request that is not sent, because the vault would refuse it."""
    return InvalidRequestError(
        reason,
        f"{field}: {text}",
        status=grpc.StatusCode.INVALID_ARGUMENT,
        violations=(Violation(field, text),),
    )


def deadline_passed() -> VaultCallError:
    return _unexplained(grpc.StatusCode.DEADLINE_EXCEEDED)


def answer_unfit(text: str) -> VaultCallError:
    """An answer that does not fit its request. Nothing of it may be used."""
    return VaultCallError(Reason.INTERNAL, text, status=grpc.StatusCode.INTERNAL)


def reason_of(number: int) -> Reason:
    """The reason of that number; NONE where the vault knows more of them than this client."""
    try:
        return Reason(number)
    except ValueError:
        return Reason.NONE


def _explained(status: grpc.StatusCode, rich: status_pb2.Status | None) -> VaultCallError | None:
    """The error in the vault's own words, or None where it did not speak."""
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in rich.details if rich else ():
        for message in (info, bad, retry):
            if detail.Is(message.DESCRIPTOR):
                try:
                    detail.Unpack(message)
                except DecodeError:
                    return None
    if rich is None or info.domain != _DOMAIN:
        return None
    return _CLASSES.get(status, VaultCallError)(
        Reason.__members__.get(info.reason, Reason.NONE),
        rich.message.removeprefix(f"{info.reason}: "),  # the error says it itself
        status=status,
        violations=[Violation(each.field, each.description) for each in bad.field_violations],
        call_id=info.metadata.get("call_id", ""),
        retry_after=_seconds(retry),
    )


def _seconds(retry: error_details_pb2.RetryInfo) -> float | None:
    if not retry.HasField("retry_delay"):
        return None
    delay: float = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return max(0.0, delay)


def _unexplained(status: grpc.StatusCode) -> VaultCallError:
    reason, text = _TEXTS.get(status, (Reason.NONE, "the server gave no reason"))
    return _CLASSES.get(status, VaultCallError)(reason, text, status=status)
