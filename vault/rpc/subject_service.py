"""The methods of SubjectService, each with the procedure behind it."""

from typing import Any

from google.protobuf.message import Message

from vault.rpc.boundary import Method
from vault.rpc.convert_subjects import erase_command, erasure_id, erasure_message
from vault.service.call import Call
from vault.service.erase import Eraser
from vault.v1 import subjects_pb2

SUBJECT_SERVICE = "vault.v1.SubjectService"


class SubjectService:
    """Each method: message to domain value, procedure, domain value to message."""

    def __init__(self, eraser: Eraser) -> None:
        self._eraser = eraser

    def methods(self) -> list[Method[Any]]:
        """All RPCs, each with a request type of its own."""
        return [
            Method(SUBJECT_SERVICE, "EraseSubject", subjects_pb2.EraseSubjectRequest, self._erase),
            Method(SUBJECT_SERVICE, "GetErasure", subjects_pb2.GetErasureRequest, self._get),
        ]

    async def _erase(self, call: Call, request: subjects_pb2.EraseSubjectRequest) -> Message:
        certificate, tokens = await self._eraser.erase_subject(call, erase_command(request))
        return subjects_pb2.EraseSubjectResponse(
            erasure=None if certificate is None else erasure_message(certificate),
            tokens=tokens,
            call_id=call.account.call_id.hex,
        )

    async def _get(self, call: Call, request: subjects_pb2.GetErasureRequest) -> Message:
        certificate = await self._eraser.get_erasure(call, erasure_id(request))
        return subjects_pb2.GetErasureResponse(
            erasure=erasure_message(certificate), call_id=call.account.call_id.hex
        )
