"""Calls as a client that this project did not write would make them: raw bytes, any certificate.

gRPC's Python stubs would refuse what a hostile client sends, so requests are bytes here, and
an answer is what came over the wire: code, google.rpc.Status, response bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from vault.errors import Reason
from vault.v1 import audit_pb2, keys_pb2, policy_pb2, subjects_pb2, tokens_pb2

Metadata = Sequence[tuple[str, str | bytes]]

OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 8 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC of the public interface."""

    path: str
    request: type[Message]
    response: type[Message]

    @property
    def name(self) -> str:
        """As audit entries name it."""
        return self.path.lstrip("/")


RPCS: Mapping[str, Rpc] = {
    "Tokenize": Rpc(
        "/vault.v1.TokenService/Tokenize",
        tokens_pb2.TokenizeRequest,
        tokens_pb2.TokenizeResponse,
    ),
    "Detokenize": Rpc(
        "/vault.v1.TokenService/Detokenize",
        tokens_pb2.DetokenizeRequest,
        tokens_pb2.DetokenizeResponse,
    ),
    "ListEntries": Rpc(
        "/vault.v1.AuditService/ListEntries",
        audit_pb2.ListEntriesRequest,
        audit_pb2.ListEntriesResponse,
    ),
    "GetStats": Rpc(
        "/vault.v1.AuditService/GetStats",
        audit_pb2.GetStatsRequest,
        audit_pb2.GetStatsResponse,
    ),
    "EraseSubject": Rpc(
        "/vault.v1.SubjectService/EraseSubject",
        subjects_pb2.EraseSubjectRequest,
        subjects_pb2.EraseSubjectResponse,
    ),
    "GetErasure": Rpc(
        "/vault.v1.SubjectService/GetErasure",
        subjects_pb2.GetErasureRequest,
        subjects_pb2.GetErasureResponse,
    ),
    "GetBundle": Rpc(
        "/vault.v1.PolicyService/GetBundle",
        policy_pb2.GetBundleRequest,
        policy_pb2.GetBundleResponse,
    ),
    "ReloadBundle": Rpc(
        "/vault.v1.PolicyService/ReloadBundle",
        policy_pb2.ReloadBundleRequest,
        policy_pb2.ReloadBundleResponse,
    ),
    **{
        name: Rpc(
            f"/vault.v1.KeyService/{name}",
            getattr(keys_pb2, f"{name}Request"),
            getattr(keys_pb2, f"{name}Response"),
        )
        for name in (
            "GetKeyStatus",
            "RotateKey",
            "ListJobs",
            "RequestAct",
            "ListActRequests",
            "ApproveAct",
            "WithdrawAct",
            "CarryOutAct",
        )
    },
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        code: the gRPC status code's name.
        data: the response's bytes; empty with an error.
        status: the rich status; None if the transport answered by itself.
    """

    code: str
    text: str
    data: bytes
    status: status_pb2.Status | None
    trailers: Sequence[tuple[str, str | bytes]] = field(repr=False)

    def _detail(self, kind: type[Any]) -> Any:
        for packed in self.status.details if self.status else ():
            found = kind()
            if packed.Unpack(found):
                return found
        return None

    @property
    def reason(self) -> str:
        info = self._detail(error_details_pb2.ErrorInfo)
        return "" if info is None else info.reason

    @property
    def call_id(self) -> str:
        """Of an error; that of a response stands in the response."""
        info = self._detail(error_details_pb2.ErrorInfo)
        return "" if info is None else info.metadata["call_id"]

    @property
    def violations(self) -> list[tuple[str, str]]:
        bad = self._detail(error_details_pb2.BadRequest)
        return [] if bad is None else [(v.field, v.description) for v in bad.field_violations]

    @property
    def field(self) -> str:
        """The first field at fault."""
        return self.violations[0][0] if self.violations else ""

    @property
    def retry_ms(self) -> int | None:
        info = self._detail(error_details_pb2.RetryInfo)
        return None if info is None else info.retry_delay.ToMilliseconds()

    def read(self, rpc: str) -> Any:
        """The response as a message; only of a call that went well."""
        assert self.code == "OK", (self.code, self.text)
        return RPCS[rpc].response.FromString(self.data)


def message(rpc: str, document: Mapping[str, object]) -> bytes:
    """A request's bytes from its proto JSON form (names as in the proto)."""
    return json_format.ParseDict(dict(document), RPCS[rpc].request()).SerializeToString()


def begin(
    channel: grpc.Channel,
    path: str,
    data: bytes,
    *,
    metadata: Metadata = (),
    timeout: float | None = 20.0,
    compression: grpc.Compression | None = None,
) -> Any:
    """Sends a call and does not wait for it: a grpc.Future."""
    method = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
    return method.future(data, metadata=metadata, timeout=timeout, compression=compression)


def end(future: Any) -> Answer:
    """Waits for a call, however it ends."""
    try:
        data = future.result()
    except grpc.RpcError:
        data = b""
    except grpc.FutureCancelledError:
        return Answer("CANCELLED", "", b"", None, ())
    trailers = tuple((pair[0], pair[1]) for pair in future.trailing_metadata() or ())
    packed = [value for key, value in trailers if key == "grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed[0]) if packed else None
    code, text = future.code().name, future.details() or ""
    if status is not None:
        # The two tell the same story, and the reason is of the closed list.
        assert (status.code, status.message) == (future.code().value[0], text)
        answer = Answer(code, text, data, status, trailers)
        assert answer.reason in Reason.__members__
        assert text.startswith(f"{answer.reason}: ")
        assert len(answer.call_id) == 32
        return answer
    return Answer(code, text, data, None, trailers)


def call(channel: grpc.Channel, path: str, data: bytes, **options: Any) -> Answer:
    """One unary call with these very bytes."""
    return end(begin(channel, path, data, **options))
