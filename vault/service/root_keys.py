"""What the rotation of a root key is: a new version in Transit, then every wrapped key rewrapped.

Guarantees: no data key leaves Transit; a wrapping that cannot be replaced stays as it was and is
counted; a version is made once per job, however often its worker is killed. The phases:

    rewrap    after the new version was made: every key below it, part by part
    settle    until writes that had wrapped a key under the old version are committed
    sweep     what they left, until nothing is left; once more over what failed

Leaves to `vault.service.jobs`: who works when. Leaves to custodians: retiring the old version.
"""

import uuid
from collections.abc import Sequence
from typing import Protocol

from vault.crypto.binding import index_key_context, key_context
from vault.crypto.transit_admin import RewrapItem, RootKey, Unopenable, Wrapped
from vault.errors import Reason, VaultError
from vault.keys.jobs import Advanced, Job, JobKind, Lease, Phase, Plan
from vault.model import TenantId
from vault.store.keys import Rewrapped, WrappedKey

REWRAP, SETTLE, SWEEP = "rewrap", "settle", "sweep"
_FIRST = (uuid.UUID(int=0), 0)


class RootTransit(Protocol):
    """Custody's session of Transit. Raises VaultError (KEY_STORE_*)."""

    def root_key(self, tenant: str) -> str: ...
    async def read_key(self, name: str) -> RootKey: ...
    async def rotate(self, name: str) -> RootKey: ...
    async def rewrap(
        self, tenant: str, items: Sequence[RewrapItem]
    ) -> list[Wrapped | Unopenable | VaultError]: ...


class RootRows(Protocol):
    """`vault.store.keys.KeyStore`. Raises VaultError."""

    async def rows_by_root_version(self, tenant: TenantId) -> dict[int, int]: ...
    async def tenant_keys_to_rewrap(self, tenant: TenantId, version: int) -> list[WrappedKey]: ...
    async def subject_keys_to_rewrap(
        self, tenant: TenantId, version: int, part: int, after: tuple[uuid.UUID, int], limit: int
    ) -> list[WrappedKey]: ...
    async def put_rewrapped(
        self, lease: Lease, keys: Sequence[Rewrapped], *, cursor: bytes, failed: int, is_last: bool
    ) -> Advanced: ...


class RootMover:
    """Moves wrapped keys to the newest version of their root key."""

    kind = JobKind.ROOT

    def __init__(self, *, transit: RootTransit, rows: RootRows, settle_seconds: float) -> None:
        """Build.

        Args:
            transit: custody's.
            rows: where wrapped keys lie.
            settle_seconds: how long a write may take from wrapping a key to its commit.
        """
        self._transit = transit
        self._rows = rows
        self._settle_seconds = settle_seconds

    async def plan(self, tenant: TenantId, subject_ref: str | None) -> Plan:
        """The next version, and all rows of today.

        Raises:
            VaultError: FIELD_INVALID for a subject; KEY_STORE_*; DATABASE_UNAVAILABLE.
        """
        if subject_ref is not None:
            raise VaultError(Reason.FIELD_INVALID, "a root key is the whole tenant's")
        key = await self._transit.read_key(self._transit.root_key(tenant))
        rows = await self._rows.rows_by_root_version(tenant)
        return Plan(
            kind=self.kind,
            tenant=tenant,
            key_name=key.name,
            from_version=key.latest,
            to_version=key.latest + 1,
            rows=sum(rows.values()),
        )

    async def next_phase(self, job: Job) -> Phase | None:
        """See the module's docstring, and `vault.service.jobs.Mover`."""
        if not job.phase:
            key = await self._transit.read_key(job.key_name)
            # Not so if this job's worker was killed after it, or somebody else made a version.
            if key.latest <= job.from_version:
                key = await self._transit.rotate(job.key_name)
            rows = await self._older(job.tenant, key.latest)
            return Phase(REWRAP, rows=rows, to_version=key.latest)
        if job.phase == REWRAP:
            return Phase(SETTLE, parts=0, wait_seconds=self._settle_seconds)
        left = await self._older(job.tenant, job.to_version)
        if left == 0 or (job.phase == SWEEP and left == job.rows_failed):
            return None
        return Phase(SWEEP, rows=max(0, left - job.rows_failed), is_retry=True)

    async def move(self, job: Job, lease: Lease, limit: int) -> Advanced:
        """Rewraps the next keys of a part; the tenant's own keys go before those of part 0.

        Raises:
            LeaseLostError, VaultError: as `vault.service.jobs.Mover.move`.
        """
        if lease.part == 0 and not lease.cursor:
            own = await self._rows.tenant_keys_to_rewrap(job.tenant, job.to_version)
            return await self._rewrap(job, lease, own, cursor=_pack(_FIRST), is_last=False)
        after = _unpack(lease.cursor)
        keys = await self._rows.subject_keys_to_rewrap(
            job.tenant, job.to_version, lease.part, after, limit
        )
        if keys and keys[-1].subject_id is not None:
            after = (keys[-1].subject_id, keys[-1].key_version)
        return await self._rewrap(job, lease, keys, cursor=_pack(after), is_last=len(keys) < limit)

    async def _rewrap(
        self, job: Job, lease: Lease, keys: Sequence[WrappedKey], *, cursor: bytes, is_last: bool
    ) -> Advanced:
        items = [
            RewrapItem(tenant=job.tenant, wrapped=key.wrapped, context=_context(job.tenant, key))
            for key in keys
        ]
        answers = await self._transit.rewrap(job.tenant, items) if items else []
        fresh: list[Rewrapped] = []
        faults: list[VaultError] = []
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, VaultError):
                faults.append(answer)
                if answer.reason is not Reason.KEY_STORE_FAULT:
                    raise answer
            elif isinstance(answer, Wrapped):
                if answer.root_version < job.to_version:
                    raise VaultError(
                        Reason.KEY_STORE_FAULT, "the key store wraps with an old version"
                    )
                fresh.append(Rewrapped(key, answer.wrapped, answer.root_version))
        if faults and len(faults) == len(keys):
            raise faults[0]  # not these rows' fault
        return await self._rows.put_rewrapped(
            lease, fresh, cursor=cursor, failed=len(keys) - len(fresh), is_last=is_last
        )

    async def _older(self, tenant: TenantId, version: int) -> int:
        rows = await self._rows.rows_by_root_version(tenant)
        return sum(count for of, count in rows.items() if of < version)


def _context(tenant: TenantId, key: WrappedKey) -> bytes:
    if key.subject_id is None:
        return index_key_context(tenant=tenant, key_version=key.key_version)
    return key_context(tenant=tenant, subject_id=key.subject_id, key_version=key.key_version)


def _pack(after: tuple[uuid.UUID, int]) -> bytes:
    return after[0].bytes + after[1].to_bytes(4, "big")


def _unpack(cursor: bytes) -> tuple[uuid.UUID, int]:
    if not cursor:
        return _FIRST
    return uuid.UUID(bytes=cursor[:16]), int.from_bytes(cursor[16:], "big")
