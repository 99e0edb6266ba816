"""GetStats: how often, by hour, caller, purpose and verdict."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.errors import Reason, invalid
from vault.model import TenantId, Verdict
from vault.rows import ArchivedMonth
from vault.service.auditing import require_auditor
from vault.service.call import Call, CaseRef
from vault.service.list_entries import EntryLister
from vault.service.recorder import Recorder
from vault.store.proofs import AccessCount
from vault.telemetry import names

_MAX_ROWS = 100_000
_SEVEREST_FIRST = (Verdict.FAILED, Verdict.INVALID, Verdict.REFUSED, Verdict.ALLOWED)


class AccessCounter(Protocol):
    async def count_accesses(
        self, tenant: TenantId, start: dt.datetime, end: dt.datetime, case_id: uuid.UUID | None
    ) -> list[AccessCount]: ...
    async def archived_months(
        self, start: dt.datetime, end: dt.datetime
    ) -> list[ArchivedMonth]: ...


@dataclass(frozen=True, slots=True)
class StatsQuery:
    """A GetStats request that is well formed: start <= time < end."""

    start: dt.datetime
    end: dt.datetime
    case: CaseRef | None = None
    case_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class HourCount:
    """A number of entries; `verdict` is the most severe in each of them."""

    hour: dt.datetime
    rpc: str
    caller: str
    purpose: str
    verdict: Verdict
    entries: int


class Statistician:
    """The procedure."""

    def __init__(self, *, log: AccessCounter, lister: EntryLister, recorder: Recorder) -> None:
        self._log = log
        self._lister = lister
        self._recorder = recorder

    async def get_stats(self, call: Call, query: StatsQuery) -> Sequence[HourCount]:
        """Counts, by hour and then by name.

        Raises:
            VaultError: no auditor; TOO_MANY_ITEMS, a shorter time must do; FIELD_INVALID, a case
                is asked for and the time reaches into archived months; or the machinery failed.
        """
        require_auditor(call)
        call.trace.mark(names.STAGE_RESOLVE)
        case_id = await self._lister.case_of(call, query.case, query.case_id)
        call.trace.mark(names.STAGE_LOAD)
        rows = await self._log.count_accesses(call.tenant, query.start, query.end, case_id)
        # Asked afterwards, so that a month that goes in between is not missed.
        if case_id is not None and await self._log.archived_months(query.start, query.end):
            raise invalid(
                Reason.FIELD_INVALID, "from", "reaches into archived months, not counted by case"
            )
        if len(rows) > _MAX_ROWS:
            raise invalid(Reason.TOO_MANY_ITEMS, "until", f"gives more than {_MAX_ROWS} counts")
        counts: dict[tuple[dt.datetime, str, str, str, Verdict], int] = {}
        for row in rows:
            verdict = next(v for v in _SEVEREST_FIRST if row.verdicts >> v & 1)
            key = (row.hour, row.rpc, row.caller, row.purpose, verdict)
            counts[key] = counts.get(key, 0) + row.entries
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        return [HourCount(*key, entries) for key, entries in counts.items()]
