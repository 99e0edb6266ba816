"""Messages of AuditService to domain values and back."""

import datetime as dt
import enum
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import timestamp_pb2

from vault.audit.entry import Entry
from vault.errors import Reason, invalid
from vault.model import SubjectId, Verdict
from vault.rows import CheckpointRow
from vault.rpc.convert import MAX_SUBJECT_REF, NAME, NAME_RULE, case_ref, view_of
from vault.rpc.text import check_form, check_text, too_many
from vault.service.auditing import VerifierKey
from vault.service.export import ExportHead, ExportTile, Piece
from vault.service.list_entries import EntriesQuery, ListedEntry
from vault.service.prove import Consistency, Inclusion
from vault.service.stats import HourCount, StatsQuery
from vault.v1 import audit_pb2

MAX_CALLER = 2400
DEFAULT_PAGE = 100
MAX_PAGE = 500
MAX_PROOFS = 500
MAX_STATS = dt.timedelta(days=400)

_HEX32 = re.compile(r"[0-9a-f]{32}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_CALLER = re.compile(r"(spiffe://|person:|service:)[\x21-\x7e]{1,2300}")
_PAGE_TOKEN = re.compile(r"[A-Za-z0-9_=-]{1,128}")
_POLICY = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEX32_RULE = "is not 32 lower-case hex digits"
_HEX64_RULE = "is not 64 lower-case hex digits"


def entries_query(request: audit_pb2.ListEntriesRequest) -> EntriesQuery:
    """A ListEntries request in domain words.

    Raises:
        VaultError: a filter is out of form, or two exclude each other.
    """
    if request.subject_ref:
        check_text(request.subject_ref, "subject_ref", max_bytes=MAX_SUBJECT_REF)
    if request.subject_id:
        check_form(request.subject_id, "subject_id", _HEX32, _HEX32_RULE)
        if request.subject_ref:
            raise invalid(Reason.FIELD_INVALID, "subject_id", "excludes subject_ref")
    if request.caller:
        check_text(request.caller, "caller", max_bytes=MAX_CALLER)
        check_form(request.caller, "caller", _CALLER, "is not spiffe://…, person:… or service:…")
    if request.purpose:
        check_form(request.purpose, "purpose", NAME, NAME_RULE)
    if request.trace_id:
        check_form(request.trace_id, "trace_id", _HEX32, _HEX32_RULE)
    if request.field_type:
        check_form(request.field_type, "field_type", NAME, NAME_RULE)
    if request.policy:
        check_form(request.policy, "policy", _POLICY, "is no @id of a policy")
    if request.bundle_digest:
        check_form(request.bundle_digest, "bundle_digest", _HEX64, _HEX64_RULE)
    if request.entry_id:
        check_form(request.entry_id, "entry_id", _HEX32, _HEX32_RULE)
    if request.page_token:
        check_form(request.page_token, "page_token", _PAGE_TOKEN, "is not a page token")
    if not 0 <= request.page_size <= MAX_PAGE:
        raise invalid(Reason.FIELD_INVALID, "page_size", f"is not 0 to {MAX_PAGE}")
    start = _time(request, "from")
    end = _time(request, "until")
    if start is not None and end is not None and start >= end:
        raise invalid(Reason.FIELD_INVALID, "until", "is not after from")
    return EntriesQuery(
        subject_ref=request.subject_ref or None,
        subject_id=SubjectId(uuid.UUID(hex=request.subject_id)) if request.subject_id else None,
        caller=request.caller or None,
        purpose=request.purpose or None,
        verdict=_verdict(request.verdict),
        trace_id=bytes.fromhex(request.trace_id) if request.trace_id else None,
        start=start,
        end=end,
        field_type=request.field_type or None,
        view=view_of(request.view, "view") or None,
        policy=request.policy or None,
        bundle_digest=bytes.fromhex(request.bundle_digest) or None,
        case=case_ref(request.case, "case"),
        case_id=_case_id(request),
        entry_id=uuid.UUID(hex=request.entry_id) if request.entry_id else None,
        page_size=request.page_size or DEFAULT_PAGE,
        page_token=request.page_token,
    )


def _case_id(
    request: audit_pb2.ListEntriesRequest | audit_pb2.GetStatsRequest,
) -> uuid.UUID | None:
    if not request.case_id:
        return None
    check_form(request.case_id, "case_id", _HEX32, _HEX32_RULE)
    if request.case:
        raise invalid(Reason.FIELD_INVALID, "case_id", "excludes case")
    return uuid.UUID(hex=request.case_id)


def tail_query(request: audit_pb2.TailEntriesRequest) -> EntriesQuery:
    """A TailEntries request in domain words.

    Raises:
        VaultError: as `entries_query`, or a field that has no meaning here is set.
    """
    given = request.filter
    for field in ("page_size", "page_token", "from", "until"):
        if given.HasField(field) if field in ("from", "until") else getattr(given, field):
            raise invalid(Reason.FIELD_INVALID, f"filter.{field}", "has no meaning here")
    return entries_query(given)


def stats_query(request: audit_pb2.GetStatsRequest) -> StatsQuery:
    """A GetStats request in domain words.

    Raises:
        VaultError: a bound is missing, or they are out of order or too far apart; or a filter
            is out of form.
    """
    start, end = _time(request, "from"), _time(request, "until")
    if start is None or end is None:
        raise invalid(Reason.FIELD_MISSING, "until" if start else "from", "is required")
    if not start < end <= start + MAX_STATS:
        raise invalid(Reason.FIELD_INVALID, "until", "is not within 400 days after from")
    return StatsQuery(start, end, case_ref(request.case, "case"), _case_id(request))


def stats_response(counts: Sequence[HourCount], call_id: uuid.UUID) -> audit_pb2.GetStatsResponse:
    """The answer to a GetStats request."""
    return audit_pb2.GetStatsResponse(
        counts=[
            audit_pb2.AccessCount(
                hour=_stamp(count.hour),
                rpc=count.rpc,
                caller=count.caller,
                purpose=count.purpose,
                verdict=_number(count.verdict),
                entries=count.entries,
            )
            for count in counts
        ],
        call_id=call_id.hex,
    )


@dataclass(frozen=True, slots=True)
class ProofQuery:
    """A ProveInclusion request that is well formed."""

    entry_ids: Sequence[uuid.UUID]
    tree_size: int


def proof_query(request: audit_pb2.ProveInclusionRequest) -> ProofQuery:
    """A ProveInclusion request in domain words.

    Raises:
        VaultError: a field is missing, out of form or there too often.
    """
    if not request.entry_ids:
        raise invalid(Reason.FIELD_MISSING, "entry_ids", "is required")
    if len(request.entry_ids) > MAX_PROOFS:
        raise too_many("entry_ids", MAX_PROOFS)
    for index, entry_id in enumerate(request.entry_ids):
        check_form(entry_id, f"entry_ids[{index}]", _HEX32, _HEX32_RULE)
    check_size(request.tree_size, "tree_size")
    return ProofQuery([uuid.UUID(hex=each) for each in request.entry_ids], request.tree_size)


def check_size(size: int, field: str) -> int:
    """A number of leaves.

    Raises:
        VaultError: FIELD_INVALID, it is negative.
    """
    if size < 0:
        raise invalid(Reason.FIELD_INVALID, field, "is negative")
    return size


def checkpoint_message(row: CheckpointRow, verifier_key: str) -> audit_pb2.Checkpoint:
    """A signed checkpoint."""
    return audit_pb2.Checkpoint(
        note=row.note,
        size=row.size,
        root=row.root,
        signed_at=_stamp(row.signed_at),
        verifier_key=verifier_key,
        successions=row.successions,
    )


def inclusion_message(proof: Inclusion) -> audit_pb2.InclusionProof:
    """One proof of inclusion."""
    if proof.place is None:
        return audit_pb2.InclusionProof(entry_id=proof.entry_id.hex)
    return audit_pb2.InclusionProof(
        entry_id=proof.entry_id.hex,
        is_included=True,
        leaf_index=proof.place.index,
        leaf_hash=proof.place.leaf_hash,
        path=proof.path,
    )


def consistency_message(
    proof: Consistency, verifier_key: str, call_id: uuid.UUID
) -> audit_pb2.ProveConsistencyResponse:
    """The answer to a ProveConsistency request."""
    return audit_pb2.ProveConsistencyResponse(
        first_size=proof.first,
        second_size=proof.second,
        path=proof.path,
        checkpoint=checkpoint_message(proof.checkpoint, verifier_key),
        call_id=call_id.hex,
    )


def export_message(piece: Piece, verifier_key: VerifierKey) -> audit_pb2.ExportEntriesResponse:
    """One message of an export."""
    if isinstance(piece, ExportHead):
        return audit_pb2.ExportEntriesResponse(
            checkpoint=checkpoint_message(piece.checkpoint, verifier_key(piece.checkpoint)),
            edge=piece.edge,
        )
    if isinstance(piece, ExportTile):
        tile = piece.tile
        return audit_pb2.ExportEntriesResponse(
            tile=audit_pb2.ExportedTile(level=tile.level, index=tile.index, hashes=piece.hashes)
        )
    return audit_pb2.ExportEntriesResponse(
        first_index=piece[0].index,
        leaves=[
            audit_pb2.ExportedLeaf(
                entry=leaf.entry or b"",
                leaf_hash=leaf.leaf_hash,
                is_archived=leaf.is_archived and leaf.entry is None,
            )
            for leaf in piece
        ],
    )


def entries_response(
    entries: Sequence[ListedEntry], next_page_token: str, call_id: uuid.UUID
) -> audit_pb2.ListEntriesResponse:
    """The answer to a ListEntries request."""
    return audit_pb2.ListEntriesResponse(
        entries=[entry_message(listed) for listed in entries],
        next_page_token=next_page_token,
        call_id=call_id.hex,
    )


def entry_message(listed: ListedEntry) -> audit_pb2.AuditEntry:
    """An entry."""
    entry: Entry = listed.entry
    time = timestamp_pb2.Timestamp()
    time.FromMicroseconds(entry.time_us)
    return audit_pb2.AuditEntry(
        entry_id=entry.entry_id.hex,
        time=time,
        call_id=entry.call_id.hex,
        tenant=entry.tenant,
        rpc=entry.rpc,
        caller=entry.caller,
        authentication=entry.authentication.name.lower(),
        roles=entry.roles,
        purpose=entry.purpose,
        case=entry.case,
        act="" if entry.act is None else str(entry.act),
        subject_id=entry.subject_id.hex if entry.subject_id else "",
        verdict=_number(entry.verdict),
        reason=_number(entry.reason),
        field=entry.field,
        items=[
            audit_pb2.AuditItem(
                token_digest=item.token_digest.hex(),
                field_type=item.field_type,
                wanted_view=_number(item.wanted),
                view=_number(item.view),
                verdict=_number(item.verdict),
                reason=_number(item.reason),
                policies=item.policies,
            )
            for item in entry.items
        ],
        bundle_digest=entry.bundle_digest.hex(),
        trace_id=entry.trace_id.hex(),
        span_id=entry.span_id.hex(),
        entry=listed.data,
        leaf_hash=listed.leaf_hash,
    )


def _number(code: enum.IntEnum) -> Any:  # the stubs know only their own enums; the numbers agree
    return int(code)


def _verdict(number: int) -> Verdict | None:
    try:
        return Verdict(number) or None
    except ValueError as error:
        raise invalid(Reason.FIELD_INVALID, "verdict", "is no verdict") from error


def _stamp(moment: dt.datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _time(
    request: audit_pb2.ListEntriesRequest | audit_pb2.GetStatsRequest, field: str
) -> dt.datetime | None:
    if not request.HasField(field):
        return None
    stamp: timestamp_pb2.Timestamp = getattr(request, field)
    try:
        return stamp.ToDatetime(tzinfo=dt.UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(Reason.FIELD_INVALID, field, "is no time") from error
