"""The methods of TokenService and PolicyService, each with the procedure behind it."""

from typing import Any

from google.protobuf.message import Message

from vault.policy.holder import BundleHolder
from vault.rpc.boundary import Method
from vault.rpc.convert import (
    Limits,
    bundle_message,
    detokenize_query,
    detokenize_response,
    tokenize_command,
    tokenize_response,
)
from vault.service.bundles import BundleKeeper
from vault.service.call import Call
from vault.service.detokenize import Detokenizer
from vault.service.tokenize import Tokenizer
from vault.v1 import policy_pb2, tokens_pb2

TOKEN_SERVICE = "vault.v1.TokenService"  # noqa: S105 - a name
POLICY_SERVICE = "vault.v1.PolicyService"


class Services:
    """Each method: message to domain value, procedure, domain value to message."""

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        detokenizer: Detokenizer,
        keeper: BundleKeeper,
        holder: BundleHolder,
        limits: Limits,
    ) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = detokenizer
        self._keeper = keeper
        self._holder = holder
        self._limits = limits

    def methods(self) -> list[Method[Any]]:
        """All RPCs, each with a request type of its own."""
        return [
            Method(TOKEN_SERVICE, "Tokenize", tokens_pb2.TokenizeRequest, self._tokenize),
            Method(TOKEN_SERVICE, "Detokenize", tokens_pb2.DetokenizeRequest, self._detokenize),
            Method(POLICY_SERVICE, "GetBundle", policy_pb2.GetBundleRequest, self._get_bundle),
            Method(
                POLICY_SERVICE, "ReloadBundle", policy_pb2.ReloadBundleRequest, self._reload_bundle
            ),
        ]

    async def _tokenize(self, call: Call, request: tokens_pb2.TokenizeRequest) -> Message:
        command = tokenize_command(request, self._limits)
        results = await self._tokenizer.tokenize(call, command)
        return tokenize_response(results, call.account.call_id)

    async def _detokenize(self, call: Call, request: tokens_pb2.DetokenizeRequest) -> Message:
        query = detokenize_query(request, self._limits)
        results = await self._detokenizer.detokenize(call, query)
        return detokenize_response(results, call.account.call_id)

    async def _get_bundle(self, call: Call, _: policy_pb2.GetBundleRequest) -> Message:
        bundle = await self._keeper.get_bundle(call)
        return policy_pb2.GetBundleResponse(
            bundle=bundle_message(bundle, self._holder.loaded.at_unix_ns),
            call_id=call.account.call_id.hex,
        )

    async def _reload_bundle(self, call: Call, _: policy_pb2.ReloadBundleRequest) -> Message:
        bundle, changed = await self._keeper.reload_bundle(call)
        return policy_pb2.ReloadBundleResponse(
            bundle=bundle_message(bundle, self._holder.loaded.at_unix_ns),
            changed=changed,
            call_id=call.account.call_id.hex,
        )
