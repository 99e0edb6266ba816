"""TailEntries: the log as it grows, to whoever may read it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from vault.model import TenantId, Verdict
from vault.rows import StoredEntry
from vault.service.auditing import require_auditor
from vault.service.call import Call
from vault.service.list_entries import EntriesQuery, EntryLister, ListedEntry, check_entry
from vault.service.recorder import Recorder
from vault.telemetry import names

_POLL_S = 0.25
_BATCH = 500


class Follower(Protocol):
    async def size(self) -> int: ...
    async def entries_after(
        self, index: int, tenant: TenantId, limit: int
    ) -> list[tuple[int, StoredEntry]]: ...


class Tailer:
    """The procedure. Follows leaf indexes, so nothing is missed and nothing comes twice."""

    def __init__(self, *, log: Follower, lister: EntryLister, recorder: Recorder) -> None:
        self._log = log
        self._lister = lister
        self._recorder = recorder

    async def tail(
        self, call: Call, query: EntriesQuery, send: Callable[[ListedEntry], Awaitable[None]]
    ) -> None:
        """Sends entries that match, oldest first, until the caller leaves.

        Raises:
            VaultError: no auditor, an entry does not match its hash, or the machinery failed.
        """
        require_auditor(call)
        call.trace.mark(names.STAGE_RESOLVE)
        subject = await self._lister.subject_of(call, query)
        position = await self._log.size()
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        call.trace.mark(names.STAGE_REPLY)
        while True:
            found = await self._log.entries_after(position, call.tenant, _BATCH)
            for index, stored in found:
                position = index + 1
                listed = check_entry(stored)
                is_own = subject is None or listed.entry.subject_id == subject
                if is_own and matches(listed, query):
                    await send(listed)
            if len(found) < _BATCH:
                await asyncio.sleep(_POLL_S)


def matches(listed: ListedEntry, query: EntriesQuery) -> bool:
    """Whether an entry passes the filters other than subject and time."""
    entry = listed.entry
    verdicts: set[Verdict] = {entry.verdict, *(item.verdict for item in entry.items)}
    wanted = (
        (query.caller, {entry.caller}),
        (query.purpose, {entry.purpose}),
        (query.verdict, verdicts),
        (query.trace_id, {entry.trace_id}),
        (query.field_type, {item.field_type for item in entry.items}),
        (query.view, {item.view for item in entry.items}),
        (query.policy, {policy for item in entry.items for policy in item.policies}),
        (query.bundle_digest, {entry.bundle_digest}),
    )
    return all(value is None or value in there for value, there in wanted)
