"""ListEntries: what the log holds, for auditors. Reading is recorded before the answer.

The steps carry the numbers of docs/request-path.md.
"""

import base64
import binascii
import dataclasses
import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vault.audit.entry import Entry, EntryFormatError, decode, leaf_hash
from vault.errors import Reason, VaultError, invalid
from vault.model import SubjectId, Verdict, View
from vault.rows import EntryFilter, StoredEntry
from vault.service.archived import ArchivedEntries
from vault.service.auditing import require_auditor
from vault.service.call import Call, CaseRef
from vault.service.cases import Cases
from vault.service.index_keys import IndexKeys
from vault.service.recorder import Recorder
from vault.service.subjects import Lookup, Subjects
from vault.telemetry import names

_NOBODY = SubjectId(uuid.UUID(int=0))
"""A handle that no subject has: the answer to a reference that is not known."""


@dataclass(frozen=True, slots=True)
class EntriesQuery:
    """A ListEntries request that is well formed. None does not narrow."""

    subject_ref: str | None = field(repr=False)
    subject_id: SubjectId | None
    caller: str | None
    purpose: str | None
    verdict: Verdict | None
    trace_id: bytes | None
    start: dt.datetime | None
    end: dt.datetime | None
    field_type: str | None
    view: View | None
    policy: str | None
    bundle_digest: bytes | None
    case: CaseRef | None
    case_id: uuid.UUID | None
    entry_id: uuid.UUID | None
    page_size: int
    page_token: str


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """An entry, read and compared with its hash."""

    entry: Entry
    data: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class EntriesPage:
    """One page, newest first; `next_page_token` is empty when there is no more. A page may be
    short, or empty, and still have a next one.
    """

    entries: Sequence[ListedEntry]
    next_page_token: str


class EntryReader(Protocol):
    async def list_entries(self, wanted: EntryFilter) -> list[StoredEntry]: ...


class EntryLister:
    """The procedure.

    Args:
        archive: where the months are that went to files; without it they are not listed.
    """

    def __init__(
        self,
        *,
        log: EntryReader,
        index_keys: IndexKeys,
        subjects: Subjects,
        cases: Cases,
        recorder: Recorder,
        archive: ArchivedEntries | None = None,
    ) -> None:
        self._log = log
        self._archive = archive
        self._index_keys = index_keys
        self._subjects = subjects
        self._cases = cases
        self._recorder = recorder

    async def list_entries(self, call: Call, query: EntriesQuery) -> EntriesPage:
        """One page of the caller's own tenant.

        Raises:
            VaultError: the caller is no auditor, the page token is not of this query, an entry
                does not match its hash (DATA_CORRUPT), or the machinery failed.
        """
        # 3. Decide.
        require_auditor(call)

        # 4. Find whom and what it is about.
        call.trace.mark(names.STAGE_RESOLVE)
        wanted = await self.filter_of(call, query)

        # 5. Read one page, and one entry more to know whether there is another.
        call.trace.mark(names.STAGE_LOAD)
        cursor = read_page_token(query.page_token, wanted) if query.page_token else None
        found, reached = await self._find(
            dataclasses.replace(wanted, before=cursor, limit=query.page_size + 1)
        )
        page = _cut(found[: query.page_size])
        entries = [check_entry(stored) for stored in page]
        last = page[-1].entry_id if len(found) > len(page) else reached

        # 6. Record the reading.
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        return EntriesPage(entries, "" if last is None else write_page_token(last, wanted))

    async def filter_of(self, call: Call, query: EntriesQuery) -> EntryFilter:
        """The query with handles in place of references; the subject is noted in the account.

        Raises:
            VaultError: the key store or the database failed.
        """
        return EntryFilter(
            tenant=call.tenant,
            subject_id=await self._subject_of(call, query),
            caller=query.caller,
            purpose=query.purpose,
            verdict_bit=None if query.verdict is None else 1 << query.verdict,
            trace_id=query.trace_id,
            start=query.start,
            end=query.end,
            field_type=query.field_type,
            view_bit=None if query.view is None else 1 << query.view,
            policy=query.policy,
            bundle_digest=query.bundle_digest,
            case_id=await self.case_of(call, query.case, query.case_id),
            entry_id=query.entry_id,
        )

    async def _find(self, wanted: EntryFilter) -> tuple[list[StoredEntry], uuid.UUID | None]:
        """Entries, newest first, at most `wanted.limit`; and where the looking ended, if older
        ones were not looked at.
        """
        found = await self._log.list_entries(wanted)
        if self._archive is None:
            return found, None
        # After the database: a month that goes in between is then in both, not in neither.
        floor = found[-1].entry_id if len(found) == wanted.limit else None
        archived = await self._archive.find(wanted, floor)
        if not archived.entries and archived.reached is None:
            return found, None
        merged = {stored.entry_id: stored for stored in (*found, *archived.entries)}
        ordered = sorted(merged.values(), key=lambda stored: stored.entry_id, reverse=True)
        if archived.reached is not None:
            ordered = [stored for stored in ordered if stored.entry_id >= archived.reached]
        return ordered[: wanted.limit], archived.reached

    async def _subject_of(self, call: Call, query: EntriesQuery) -> SubjectId | None:
        subject = query.subject_id
        if query.subject_ref is not None:
            subject = await self._find_subject(call, query.subject_ref)
        call.account.subject_id = subject if subject != _NOBODY else None
        return subject

    async def case_of(
        self, call: Call, case: CaseRef | None, case_id: uuid.UUID | None
    ) -> uuid.UUID | None:
        """The handle of the case that is asked for; None for all.

        Raises:
            VaultError: the key store or the database failed.
        """
        return case_id if case is None else await self._cases.find(call, case)

    async def _find_subject(self, call: Call, subject_ref: str) -> SubjectId:
        index = await self._index_keys.get(call.tenant)
        ref = index.subject_ref(subject_ref)
        known = await self._subjects.find(Lookup(call.tenant, [ref]), call.trace)
        return known.subjects[ref][0] if ref in known.subjects else _NOBODY


_PAGE_BYTES = 4 << 20
"""Entry bytes in one page: an answer holds them about twice and stays below 16 MiB."""


def _cut(found: list[StoredEntry]) -> list[StoredEntry]:
    """As many entries as fit into a page; at least one."""
    total = 0
    for count, stored in enumerate(found):
        total += len(stored.entry)
        if total > _PAGE_BYTES and count:
            return found[:count]
    return found


_FILTERS = (
    "tenant",
    "subject_id",
    "caller",
    "purpose",
    "verdict_bit",
    "trace_id",
    "start",
    "end",
    "field_type",
    "view_bit",
    "policy",
    "bundle_digest",
    "case_id",
    "entry_id",
)


def check_entry(stored: StoredEntry) -> ListedEntry:
    """An entry as it lies in the log, read.

    Raises:
        VaultError: DATA_CORRUPT, its bytes are no entry or don't give its leaf hash.
    """
    try:
        entry = decode(stored.entry)
    except EntryFormatError as error:
        raise _corrupt(stored) from error
    if leaf_hash(stored.entry) != stored.leaf_hash or entry.entry_id != stored.entry_id:
        raise _corrupt(stored)
    return ListedEntry(entry, stored.entry, stored.leaf_hash)


def _corrupt(stored: StoredEntry) -> VaultError:
    return VaultError(
        Reason.DATA_CORRUPT, f"entry {stored.entry_id.hex} does not match its leaf hash"
    )


def write_page_token(last: uuid.UUID, wanted: EntryFilter) -> str:
    """A page token: where the page ended, and for which query."""
    return base64.urlsafe_b64encode(last.bytes + _query_digest(wanted)).decode()


def read_page_token(token: str, wanted: EntryFilter) -> uuid.UUID:
    """Where the page before ended.

    Raises:
        VaultError: PAGE_TOKEN_INVALID, it is not a page token of this query and tenant.
    """
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != 32 or data[16:] != _query_digest(wanted):  # noqa: PLR2004 - two 16-byte halves
        raise invalid(Reason.PAGE_TOKEN_INVALID, "page_token", "is not a page token of this query")
    return uuid.UUID(bytes=data[:16])


def _query_digest(wanted: EntryFilter) -> bytes:
    text = repr([getattr(wanted, name) for name in _FILTERS])
    return hashlib.sha256(b"pdvault/page/v1\x00" + text.encode()).digest()[:16]
