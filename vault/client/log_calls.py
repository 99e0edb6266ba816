"""The calls of the verifiable log as procedures without I/O, as those of `vault.client.calls`.

A stream is a procedure too: it yields `Open`, then `Next` for each message, and `Give` with
what the caller is to get. A live stream (tail) is never begun again, as what happened in
between would be missing; an export goes on at the leaf that is due.
"""

import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from vault.client import log_results, requests, results
from vault.client.calls import Calls, Method, Outcome, Pause, Steps, read_answer
from vault.client.errors import VaultCallError, answer_unfit
from vault.client.log_results import ExportPiece, ExportReader
from vault.client.requests import EntryFilters
from vault.client.retry import Retrying
from vault.client.trace import Metadata, trace_metadata
from vault.v1 import audit_pb2

ItemT = TypeVar("ItemT")

_SERVICE = "vault.v1.AuditService"
TAIL_ENTRIES = Method(f"{_SERVICE}/TailEntries", audit_pb2.TailEntriesResponse)
GET_STATS = Method(f"{_SERVICE}/GetStats", audit_pb2.GetStatsResponse)
GET_CHECKPOINT = Method(f"{_SERVICE}/GetCheckpoint", audit_pb2.GetCheckpointResponse)
PROVE_INCLUSION = Method(f"{_SERVICE}/ProveInclusion", audit_pb2.ProveInclusionResponse)
PROVE_CONSISTENCY = Method(f"{_SERVICE}/ProveConsistency", audit_pb2.ProveConsistencyResponse)
EXPORT_ENTRIES = Method(f"{_SERVICE}/ExportEntries", audit_pb2.ExportEntriesResponse)


@dataclass(frozen=True, slots=True)
class Open:
    """Begin this stream, in place of the one before if there is one."""

    rpc: str
    request: bytes = field(repr=False)
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Next:
    """Wait for a message. Its outcome is bytes, None at the end, or a VaultCallError."""


@dataclass(frozen=True, slots=True)
class Give(Generic[ItemT]):
    """Hand this to the caller."""

    item: ItemT


StreamStep: TypeAlias = Open | Next | Pause | Give[ItemT]
StreamSteps: TypeAlias = Generator[StreamStep[ItemT], Outcome, None]


def tail_entries(filters: EntryFilters, *, traceparent: str | None) -> StreamSteps[results.Entry]:
    request = audit_pb2.TailEntriesRequest(filter=requests.entries_request(filters))
    yield Open(TAIL_ENTRIES.rpc, request.SerializeToString(), trace_metadata(traceparent))
    while (outcome := (yield Next())) is not None:
        yield Give(results.read_entry(read_answer(TAIL_ENTRIES, outcome).entry))


def export_entries(
    calls: Calls, begin: int, end: int, checkpoint_size: int, *, traceparent: str | None
) -> StreamSteps[ExportPiece]:
    metadata = trace_metadata(traceparent)
    reader = ExportReader(begin, end, checkpoint_size)
    attempt = 1
    while True:
        due = reader.due
        yield Open(EXPORT_ENTRIES.rpc, reader.request().SerializeToString(), metadata)
        while isinstance(outcome := (yield Next()), bytes):
            piece = reader.read(read_answer(EXPORT_ENTRIES, outcome))
            if piece is not None:
                yield Give(piece)
        if reader.is_complete:
            return
        if not isinstance(outcome, VaultCallError):
            raise answer_unfit("the export ends early")
        attempt = 1 if reader.due > due else attempt
        wait = calls.retry.wait(outcome, attempt=attempt, remaining=math.inf, random=calls.random)
        if wait is None:
            raise outcome
        calls.tell(
            Retrying(
                EXPORT_ENTRIES.rpc, attempt, wait, outcome.reason, outcome.status, outcome.call_id
            )
        )
        yield Pause(wait)
        attempt += 1


def get_stats(
    calls: Calls,
    request: audit_pb2.GetStatsRequest,
    *,
    timeout: float | None,
    traceparent: str | None,
) -> Steps[tuple[log_results.AccessCount, ...]]:
    answer = yield from calls.call(
        GET_STATS, request, calls.deadline(timeout), trace_metadata(traceparent)
    )
    return log_results.read_counts(answer)


def get_checkpoint(
    calls: Calls, min_size: int, *, timeout: float | None, traceparent: str | None
) -> Steps[log_results.Checkpoint]:
    request = audit_pb2.GetCheckpointRequest(min_size=min_size)
    answer = yield from calls.call(
        GET_CHECKPOINT, request, calls.deadline(timeout), trace_metadata(traceparent)
    )
    checkpoint = log_results.read_checkpoint(answer.checkpoint)
    if checkpoint.size < min_size:
        raise answer_unfit("the checkpoint is smaller than what was asked for")
    return checkpoint


def prove_inclusion(
    calls: Calls,
    entry_ids: Iterable[str],
    tree_size: int,
    *,
    timeout: float | None,
    traceparent: str | None,
) -> Steps[log_results.InclusionProofs]:
    deadline, metadata = calls.deadline(timeout), trace_metadata(traceparent)
    proofs: list[log_results.InclusionProof] = []
    checkpoint: log_results.Checkpoint | None = None
    for request in requests.proof_requests(entry_ids, tree_size):
        if checkpoint is not None:
            request.tree_size = checkpoint.size
        try:
            answer = yield from calls.call(PROVE_INCLUSION, request, deadline, metadata)
            got = log_results.read_checkpoint(answer.checkpoint)
            if request.tree_size not in (0, got.size):
                raise answer_unfit("the proofs are against another tree")
            proofs += log_results.read_inclusion(answer, request.entry_ids)
        except VaultCallError as error:
            raise error.moved("entry_ids", len(proofs), None) from error.__cause__
        checkpoint = checkpoint or got
    assert checkpoint is not None  # noqa: S101  there is at least one request
    return log_results.InclusionProofs(tuple(proofs), checkpoint)


def prove_consistency(
    calls: Calls, first: int, second: int, *, timeout: float | None, traceparent: str | None
) -> Steps[log_results.ConsistencyProof]:
    request = audit_pb2.ProveConsistencyRequest(first_size=first, second_size=second)
    answer = yield from calls.call(
        PROVE_CONSISTENCY, request, calls.deadline(timeout), trace_metadata(traceparent)
    )
    return log_results.read_consistency(answer, first, second)
