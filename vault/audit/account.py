"""A call's account of itself: filled step by step, turned into entries exactly once.

Each step of a call notes what it learned (who calls, which items, which verdict and
why). However the call ends, the account then gives one entry for each subject
concerned, complete as far as the call came.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vault.audit.entry import Entry, EntryAct, encode, leaf_hash
from vault.clock import Clock
from vault.errors import Reason
from vault.model import Authentication, Decision, Principal, SubjectId, Verdict, View
from vault.random_ids import RANDOM_IDS
from vault.rows import EntryRow

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNKNOWN = Principal(id="", authentication=Authentication.NONE, tenant="", roles=())  # type: ignore[arg-type]  # no tenant


_ITEM_BYTES = 56_000
"""Of an entry's 65,535 bytes; the rest is for the caller's id, its roles and the fixed parts."""
_ALLOWED = 1 << Verdict.ALLOWED
_SURELY_SHORT = 64
"""Items that fit whatever they are: each has at most four short texts."""


class EntryIds:
    """Time-ordered ids: UUID version 7 (RFC 9562, section 5.7), growing within a process.

    The 12 bits after the version hold the fraction of the millisecond (section 6.2,
    method 3); two entries of the same instant count up.
    """

    def __init__(self, clock: Clock, random: Callable[[], bytes] = RANDOM_IDS.take) -> None:
        self._clock = clock
        self._random = random
        self._last = 0

    def next(self) -> tuple[uuid.UUID, int]:
        """An id, and its time in microseconds since 1970."""
        now_us = self._clock.unix_ns() // 1000
        milliseconds, microseconds = divmod(now_us, 1000)
        stamp = max(milliseconds << 12 | microseconds << 2, self._last + 1)
        self._last = stamp
        tail = int.from_bytes(self._random()[:8]) >> 2
        value = (stamp >> 12) << 80 | 7 << 76 | (stamp & 0xFFF) << 64 | 2 << 62 | tail
        return uuid.UUID(int=value), now_us


@dataclass(slots=True, eq=False)
class ItemNote:
    """What a call knows so far of one of its items."""

    token_digest: bytes = b""
    field_type: str = ""
    subject_id: SubjectId | None = None
    wanted: View = View.UNSPECIFIED
    view: View = View.UNSPECIFIED
    verdict: Verdict = Verdict.UNSPECIFIED
    reason: Reason = Reason.NONE
    policies: tuple[str, ...] = ()

    def allow(self, decision: Decision) -> None:
        """Notes that policy allows it."""
        self.verdict = Verdict.ALLOWED
        self.view = decision.view
        self.policies = decision.policies

    def refuse(
        self, reason: Reason, policies: tuple[str, ...] = (), verdict: Verdict = Verdict.REFUSED
    ) -> None:
        """Notes that it does not get what it asked for."""
        self.verdict = verdict
        self.reason = reason
        self.view = View.UNSPECIFIED
        self.policies = policies or self.policies


@dataclass(frozen=True, slots=True)
class Case:
    """What a call is about; the handle is random."""

    kind: str
    handle: uuid.UUID

    def __str__(self) -> str:
        return f"{self.kind}:{self.handle.hex}"


class Account:
    """One call's account.

    Attributes:
        act: the request of custody that the call is about.
        case: what the call is about, as far as it said so.
        items: a note for each item, in the order of the request.
        subject_id: the subject that a call without items concerns.
        entry_ids: of the entries that were made.
        is_closed: whether the entries were made (and given to the log).
    """

    __slots__ = (
        "act",
        "bundle_digest",
        "call_id",
        "case",
        "entry_ids",
        "field",
        "is_closed",
        "items",
        "principal",
        "purpose",
        "rpc",
        "span_id",
        "subject_id",
        "trace_id",
    )

    def __init__(self, *, rpc: str, call_id: uuid.UUID, trace_id: bytes, span_id: bytes) -> None:
        self.rpc = rpc
        self.call_id = call_id
        self.trace_id = trace_id
        self.span_id = span_id
        self.principal = _UNKNOWN
        self.bundle_digest = bytes(32)
        self.purpose = ""
        self.act: EntryAct | None = None
        self.case: Case | None = None
        self.field = ""
        self.subject_id: SubjectId | None = None
        self.items: list[ItemNote] = []
        self.entry_ids: list[uuid.UUID] = []
        self.is_closed = False

    def close(self, ids: EntryIds) -> tuple[EntryRow, ...]:
        """The entries of a call whose every item has its verdict."""
        self.is_closed = True
        self.entry_ids = []
        return tuple(self._entry(ids, subject, notes) for subject, notes in self._by_subject())

    def close_failed(self, ids: EntryIds, reason: Reason, verdict: Verdict) -> tuple[EntryRow, ...]:
        """The entries of a call that ended with an error: none of its items was granted."""
        self.is_closed = True
        self.entry_ids = []
        for note in self.items:
            if note.verdict in (Verdict.UNSPECIFIED, Verdict.ALLOWED):
                note.refuse(reason, verdict=verdict)
        return tuple(
            self._entry(ids, subject, notes, reason, verdict)
            for subject, notes in self._by_subject()
        )

    def _by_subject(self) -> Sequence[tuple[SubjectId | None, list[ItemNote]]]:
        if not self.items:
            return [(self.subject_id, [])]
        groups: dict[SubjectId | None, list[ItemNote]] = {}
        for note in self.items:
            groups.setdefault(note.subject_id, []).append(note)
        if all(len(notes) <= _SURELY_SHORT for notes in groups.values()):
            return list(groups.items())
        return [(subject, part) for subject, notes in groups.items() for part in _parts(notes)]

    def _entry(
        self,
        ids: EntryIds,
        subject: SubjectId | None,
        notes: list[ItemNote],
        reason: Reason = Reason.NONE,
        verdict: Verdict = Verdict.ALLOWED,
    ) -> EntryRow:
        verdicts = views = 0
        for note in notes:
            verdicts |= 1 << note.verdict
            views |= 1 << note.view
        if reason is Reason.NONE and notes and not verdicts & _ALLOWED:
            verdict, reason = notes[0].verdict, notes[0].reason
        verdicts |= 1 << verdict
        entry_id, time_us = ids.next()
        self.entry_ids.append(entry_id)
        entry = encode(
            Entry(
                entry_id=entry_id,
                time_us=time_us,
                call_id=self.call_id,
                trace_id=self.trace_id,
                span_id=self.span_id,
                bundle_digest=self.bundle_digest,
                authentication=self.principal.authentication,
                verdict=verdict,
                reason=reason,
                subject_id=subject,
                tenant=self.principal.tenant,
                rpc=self.rpc,
                caller=self.principal.id,
                roles=self.principal.roles,
                purpose=self.purpose,
                case="" if self.case is None else str(self.case),
                field=self.field,
                items=notes,
                act=self.act,
            )
        )
        return EntryRow(
            entry_id=entry_id,
            tenant=self.principal.tenant,
            recorded_at=_EPOCH + dt.timedelta(microseconds=time_us),
            rpc=self.rpc,
            caller=self.principal.id,
            purpose=self.purpose,
            subject_id=subject,
            verdicts=verdicts,
            views=views,
            field_types=tuple({note.field_type: None for note in notes if note.field_type}),
            policies=tuple({policy: None for note in notes for policy in note.policies}),
            bundle_digest=self.bundle_digest,
            trace_id=self.trace_id,
            case_id=None if self.case is None else self.case.handle,
            entry=entry,
            leaf_hash=leaf_hash(entry),
        )


def _parts(notes: list[ItemNote]) -> list[list[ItemNote]]:
    """The items of one subject, in as few entries as hold them."""
    parts: list[list[ItemNote]] = [[]]
    left = _ITEM_BYTES
    for note in notes:
        # As `vault.audit.entry.encode` writes them; the texts are ASCII.
        size = 41 + len(note.field_type) + sum(2 + len(policy) for policy in note.policies)
        if size > left and parts[-1]:
            parts.append([])
            left = _ITEM_BYTES
        parts[-1].append(note)
        left -= size
    return parts
