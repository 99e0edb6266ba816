"""The methods of AuditService, each with the procedure behind it."""

from typing import Any

from google.protobuf.message import Message

from vault.rpc.boundary import Method, Send, StreamMethod
from vault.rpc.convert_audit import (
    check_size,
    checkpoint_message,
    consistency_message,
    entries_query,
    entries_response,
    entry_message,
    export_message,
    inclusion_message,
    proof_query,
    stats_query,
    stats_response,
    tail_query,
)
from vault.service.auditing import VerifierKey
from vault.service.call import Call
from vault.service.export import Exporter, Piece
from vault.service.list_entries import EntryLister, ListedEntry
from vault.service.prove import Prover
from vault.service.stats import Statistician
from vault.service.tail import Tailer
from vault.v1 import audit_pb2

AUDIT_SERVICE = "vault.v1.AuditService"


class AuditService:
    """Each method: message to domain value, procedure, domain value to message."""

    def __init__(
        self,
        *,
        lister: EntryLister,
        tailer: Tailer,
        statistician: Statistician,
        prover: Prover,
        exporter: Exporter,
        verifier_key: VerifierKey,
    ) -> None:
        self._lister = lister
        self._tailer = tailer
        self._statistician = statistician
        self._prover = prover
        self._exporter = exporter
        self._verifier_key = verifier_key

    def methods(self) -> list[Method[Any] | StreamMethod[Any]]:
        """All RPCs, each with a request type of its own."""
        name = AUDIT_SERVICE
        return [
            Method(name, "ListEntries", audit_pb2.ListEntriesRequest, self._list_entries),
            StreamMethod(name, "TailEntries", audit_pb2.TailEntriesRequest, self._tail_entries),
            Method(name, "GetStats", audit_pb2.GetStatsRequest, self._get_stats),
            Method(name, "GetCheckpoint", audit_pb2.GetCheckpointRequest, self._get_checkpoint),
            Method(name, "ProveInclusion", audit_pb2.ProveInclusionRequest, self._prove_inclusion),
            Method(
                name,
                "ProveConsistency",
                audit_pb2.ProveConsistencyRequest,
                self._prove_consistency,
            ),
            StreamMethod(
                name, "ExportEntries", audit_pb2.ExportEntriesRequest, self._export_entries
            ),
        ]

    async def _list_entries(self, call: Call, request: audit_pb2.ListEntriesRequest) -> Message:
        page = await self._lister.list_entries(call, entries_query(request))
        return entries_response(page.entries, page.next_page_token, call.account.call_id)

    async def _tail_entries(
        self, call: Call, request: audit_pb2.TailEntriesRequest, send: Send
    ) -> None:
        async def send_entry(listed: ListedEntry) -> None:
            await send(audit_pb2.TailEntriesResponse(entry=entry_message(listed)))

        await self._tailer.tail(call, tail_query(request), send_entry)

    async def _get_stats(self, call: Call, request: audit_pb2.GetStatsRequest) -> Message:
        counts = await self._statistician.get_stats(call, stats_query(request))
        return stats_response(counts, call.account.call_id)

    async def _get_checkpoint(self, call: Call, request: audit_pb2.GetCheckpointRequest) -> Message:
        row = await self._prover.get_checkpoint(call, check_size(request.min_size, "min_size"))
        return audit_pb2.GetCheckpointResponse(
            checkpoint=checkpoint_message(row, self._verifier_key(row)),
            call_id=call.account.call_id.hex,
        )

    async def _prove_inclusion(
        self, call: Call, request: audit_pb2.ProveInclusionRequest
    ) -> Message:
        query = proof_query(request)
        proofs, row = await self._prover.prove_inclusion(call, query.entry_ids, query.tree_size)
        return audit_pb2.ProveInclusionResponse(
            proofs=[inclusion_message(proof) for proof in proofs],
            checkpoint=checkpoint_message(row, self._verifier_key(row)),
            call_id=call.account.call_id.hex,
        )

    async def _prove_consistency(
        self, call: Call, request: audit_pb2.ProveConsistencyRequest
    ) -> Message:
        first = check_size(request.first_size, "first_size")
        second = check_size(request.second_size, "second_size")
        proof = await self._prover.prove_consistency(call, first, second)
        key = self._verifier_key(proof.checkpoint)
        return consistency_message(proof, key, call.account.call_id)

    async def _export_entries(
        self, call: Call, request: audit_pb2.ExportEntriesRequest, send: Send
    ) -> None:
        async def send_piece(piece: Piece) -> None:
            await send(export_message(piece, self._verifier_key))

        await self._exporter.export(
            call,
            check_size(request.from_index, "from_index"),
            check_size(request.until_index, "until_index"),
            check_size(request.checkpoint_size, "checkpoint_size"),
            send_piece,
        )
