"""TailEntries: the log as it grows, to whoever may read it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from vault.model import TenantId
from vault.rows import StoredEntry
from vault.service.auditing import require_auditor
from vault.service.call import Call
from vault.service.entry_filter import passes
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
        wanted = await self._lister.filter_of(call, query)
        position = await self._log.size()
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        call.trace.mark(names.STAGE_REPLY)
        while True:
            found = await self._log.entries_after(position, call.tenant, _BATCH)
            for index, stored in found:
                position = index + 1
                listed = check_entry(stored)
                if passes(listed.entry, wanted):
                    await send(listed)
            if len(found) < _BATCH:
                await asyncio.sleep(_POLL_S)
