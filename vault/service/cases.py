"""What a call is about: the shop's own reference in, a random handle into the entry.

The log is never erased, so it holds neither the reference nor a digest of it; the handle
leads back to the reference only through `case_refs`, where it can be deleted
(docs/adr/0013-cases-by-random-handle.md).
"""

import secrets
import uuid
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from vault.audit.account import Case
from vault.errors import OutdatedKeysError, Reason, VaultError, invalid
from vault.model import Digests, TenantId
from vault.rows import NewCase
from vault.service.call import Call, CaseRef
from vault.service.index_keys import IndexKeys
from vault.stage import Stage, Trips
from vault.store.claims import Name, Settled

_ATTEMPTS = 3
"""An index key does not change more often than once in a cache's age."""
_NEVER = uuid.UUID(int=0)
"""A handle that no case has: the answer to a reference that is not known."""


class CaseHandles(Protocol):
    """Handles by (digest of the reference, tenant)."""

    async def find_cases(
        self, ref_digests: Sequence[bytes]
    ) -> dict[tuple[bytes, TenantId], uuid.UUID]: ...
    async def claim_cases(self, cases: Sequence[NewCase]) -> Settled: ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One case; `may_claim`: give it a handle if it has none."""

    tenant: TenantId
    ref: Digests = field(repr=False)
    index_versions: tuple[int, ...]
    may_claim: bool


class Cases:
    """Finds handles; many calls share a trip."""

    def __init__(
        self,
        *,
        rows: CaseHandles,
        index_keys: IndexKeys,
        trips: Trips,
        name: str,
        max_trip: int,
        max_queue: int,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._rows = rows
        self._index_keys = index_keys
        self._random = random
        self.stage: Stage[_Wanted, uuid.UUID] = Stage(
            name, self._resolve, trips=trips, max_trip=max_trip, max_queue=max_queue, lanes=2
        )

    async def enter(self, call: Call, case: CaseRef | None) -> None:
        """Notes in the call's account what it is about.

        Raises:
            VaultError: FIELD_INVALID, the bundle has no such kind; or the key store or the
                database failed.
        """
        if case is None:
            return
        if case.kind not in call.bundle.case_kinds:
            raise invalid(Reason.FIELD_INVALID, "case", "is of no kind of the policy bundle")
        handle = await self._handle(call, case, may_claim=True)
        call.account.case = Case(case.kind, handle)

    async def find(self, call: Call, case: CaseRef) -> uuid.UUID:
        """The handle, one that no entry has if the case is not known.

        Raises:
            VaultError: the key store or the database failed.
        """
        return await self._handle(call, case, may_claim=False)

    async def _handle(self, call: Call, case: CaseRef, *, may_claim: bool) -> uuid.UUID:
        for _ in range(_ATTEMPTS):
            index = await self._index_keys.get(call.tenant)
            wanted = _Wanted(call.tenant, index.case_ref(case.kind, case.id), index.live, may_claim)
            try:
                return await self.stage.submit(wanted, call.trace)
            except OutdatedKeysError:
                self._index_keys.forget(call.tenant)
        raise OutdatedKeysError

    async def _resolve(self, asked: Sequence[_Wanted]) -> Sequence[uuid.UUID | VaultError]:
        known = await self._find({wanted.ref for wanted in asked})
        new = {
            (wanted.ref, wanted.tenant): NewCase(
                wanted.ref, wanted.tenant, wanted.index_versions, self._new_handle()
            )
            for wanted in asked
            if wanted.may_claim and (wanted.ref, wanted.tenant) not in known
        }
        outdated: frozenset[TenantId] = frozenset()
        if new:
            settled = await self._rows.claim_cases(list(new.values()))
            outdated = settled.outdated
            known |= {name: new[name].case_id for name in settled.mine}
            lost = {ref for ref, tenant in new if (ref, tenant) not in known}
            if lost:
                known |= await self._find(lost)
        return [
            OutdatedKeysError()
            if wanted.may_claim and wanted.tenant in outdated and name not in known
            else known.get(name, _NEVER)
            for wanted in asked
            for name in ((wanted.ref, wanted.tenant),)
        ]

    async def _find(self, refs: AbstractSet[Digests]) -> dict[Name, uuid.UUID]:
        found = await self._rows.find_cases([digest for ref in refs for digest in ref])
        of = {digest: ref for ref in refs for digest in ref}
        return {(of[digest], tenant): handle for (digest, tenant), handle in found.items()}

    def _new_handle(self) -> uuid.UUID:
        return uuid.UUID(bytes=self._random(16), version=4)
