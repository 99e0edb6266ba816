"""Custody's methods where no custodians are served: refusals, as the protos list them."""

from typing import Any

from google.protobuf.message_factory import GetMessageClass

from vault.errors import Reason, VaultError
from vault.rpc.boundary import Method, Send, StreamMethod
from vault.service.call import Call
from vault.v1 import keys_pb2, subjects_pb2


def unavailable_methods() -> list[Method[Any] | StreamMethod[Any]]:
    """A refusal with CUSTODY_UNAVAILABLE for each method of KeyService and SubjectService."""
    return [
        StreamMethod(service.full_name, method.name, request, _refuse_stream)
        if method.server_streaming
        else Method(service.full_name, method.name, request, _refuse)
        for file in (keys_pb2, subjects_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        for request in (GetMessageClass(method.input_type),)
    ]


async def _refuse(_call: Call, _request: Any) -> Any:
    raise VaultError(Reason.CUSTODY_UNAVAILABLE, "this process does not serve custodians")


async def _refuse_stream(_call: Call, _request: Any, _send: Send) -> None:
    raise VaultError(Reason.CUSTODY_UNAVAILABLE, "this process does not serve custodians")
