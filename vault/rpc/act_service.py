"""The methods of KeyService about acts that take two custodians, each with its procedure."""

from typing import Any

from google.protobuf.message import Message

from vault.rpc.boundary import Method
from vault.rpc.convert_acts import (
    act_command,
    act_request_message,
    carried_out_message,
    digest_of,
    page_size_of,
    request_id_of,
)
from vault.service.acts import ActKeeper
from vault.service.call import Call
from vault.v1 import keys_pb2

_SERVICE = "vault.v1.KeyService"


class ActService:
    """Each method: message to domain value, procedure, domain value to message."""

    def __init__(self, keeper: ActKeeper) -> None:
        self._keeper = keeper

    def methods(self) -> list[Method[Any]]:
        """The RPCs, each with a request type of its own."""
        return [
            Method(_SERVICE, "RequestAct", keys_pb2.RequestActRequest, self._request_act),
            Method(_SERVICE, "ListActRequests", keys_pb2.ListActRequestsRequest, self._list),
            Method(_SERVICE, "ApproveAct", keys_pb2.ApproveActRequest, self._approve),
            Method(_SERVICE, "WithdrawAct", keys_pb2.WithdrawActRequest, self._withdraw),
            Method(_SERVICE, "CarryOutAct", keys_pb2.CarryOutActRequest, self._carry_out),
        ]

    async def _request_act(self, call: Call, request: keys_pb2.RequestActRequest) -> Message:
        stored = await self._keeper.request_act(call, act_command(request))
        return keys_pb2.RequestActResponse(
            request=act_request_message(stored), call_id=call.account.call_id.hex
        )

    async def _list(self, call: Call, request: keys_pb2.ListActRequestsRequest) -> Message:
        found = await self._keeper.list_requests(
            call, only_open=request.only_open, limit=page_size_of(request.page_size)
        )
        return keys_pb2.ListActRequestsResponse(
            requests=[act_request_message(each) for each in found],
            call_id=call.account.call_id.hex,
        )

    async def _approve(self, call: Call, request: keys_pb2.ApproveActRequest) -> Message:
        request_id = request_id_of(request.request_id)
        stored = await self._keeper.approve(call, request_id, digest_of(request.request_digest))
        return keys_pb2.ApproveActResponse(
            request=act_request_message(stored), call_id=call.account.call_id.hex
        )

    async def _withdraw(self, call: Call, request: keys_pb2.WithdrawActRequest) -> Message:
        stored = await self._keeper.withdraw(call, request_id_of(request.request_id))
        return keys_pb2.WithdrawActResponse(
            request=act_request_message(stored), call_id=call.account.call_id.hex
        )

    async def _carry_out(self, call: Call, request: keys_pb2.CarryOutActRequest) -> Message:
        carried = await self._keeper.carry_out(
            call, request_id_of(request.request_id), dry_run=request.dry_run
        )
        return carried_out_message(carried, call.account.call_id)
