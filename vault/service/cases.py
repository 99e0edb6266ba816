"""What a call is about: the shop's own reference in, a random handle into the entry.

The log is never erased, so it holds neither the reference nor a digest of it; the handle
leads back to the reference only through `case_refs`, where it can be deleted
(docs/adr/0013-cases-by-random-handle.md).
"""

import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vault.audit.account import Case
from vault.errors import Reason, VaultError, invalid
from vault.model import TenantId
from vault.rows import NewCase
from vault.service.call import Call, CaseRef
from vault.service.index_keys import IndexKeys
from vault.stage import Stage, Trips

_NEVER = uuid.UUID(int=0)
"""A handle that no case has: the answer to a reference that is not known."""


class CaseHandles(Protocol):
    """Handles by (digest of the reference, tenant)."""

    async def find_cases(
        self, ref_digests: Sequence[bytes]
    ) -> dict[tuple[bytes, TenantId], uuid.UUID]: ...
    async def claim_cases(
        self, cases: Sequence[NewCase]
    ) -> dict[tuple[bytes, TenantId], uuid.UUID]: ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One case; `may_claim`: give it a handle if it has none."""

    tenant: TenantId
    ref_digest: bytes = field(repr=False)
    index_key_version: int
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
        index_key = await self._index_keys.get(call.tenant)
        digest = index_key.case_ref_digest(case.kind, case.id)
        wanted = _Wanted(call.tenant, digest, index_key.version, may_claim)
        return await self.stage.submit(wanted, call.trace)

    async def _resolve(self, asked: Sequence[_Wanted]) -> Sequence[uuid.UUID | VaultError]:
        digests = list({wanted.ref_digest for wanted in asked})
        found = await self._rows.find_cases(digests)
        new = {
            (wanted.ref_digest, wanted.tenant): wanted.index_key_version
            for wanted in asked
            if wanted.may_claim and (wanted.ref_digest, wanted.tenant) not in found
        }
        if new:
            found |= await self._rows.claim_cases(
                [
                    NewCase(digest, tenant, version, self._new_handle())
                    for (digest, tenant), version in new.items()
                ]
            )
            lost = [digest for digest, tenant in new if (digest, tenant) not in found]
            if lost:
                found |= await self._rows.find_cases(lost)
        return [found.get((wanted.ref_digest, wanted.tenant), _NEVER) for wanted in asked]

    def _new_handle(self) -> uuid.UUID:
        return uuid.UUID(bytes=self._random(16), version=4)
