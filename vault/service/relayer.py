"""What the rotation of an index key is: digests of the new version, made from those of the old.

Guarantees: at no moment can two processes bind one reference twice, or do one write twice, however
old the versions are that they know: every one is searched and stored under all live versions,
and nothing is stored under versions that are live no more (`vault.store.claims`). References
are not needed, and don't come up. The phases (docs/adr/0016-index-keys-in-layers.md):

    announce  the new version is live beside the old; until everybody knows it
    backfill  what is there gets its digest of the new version
    narrow    the old version is live no more; until everybody knows that
    remove    digests of the old version go

Leaves to `vault.service.jobs`: who works when.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

from vault.crypto.binding import index_key_context
from vault.crypto.index_key import SECRET_BYTES, DigestKind, IndexKey
from vault.crypto.transit import Unopenable, UnwrapItem, Unwrapped, WrapItem, Wrapped
from vault.errors import Reason, VaultError
from vault.keys.jobs import Advanced, Job, JobKind, Lease, Phase, Plan
from vault.model import TenantId
from vault.rows import TenantKeyRow
from vault.service.index_keys import open_index_key, to_unwrap
from vault.store.relayer import Layering

ANNOUNCE, BACKFILL, NARROW, REMOVE = "announce", "backfill", "narrow", "remove"
_SETTLE_S = 10.0
"""How long one question for writes under way may last; then the job asks anew."""
_AGAIN_S = 1.0


class Layers(Protocol):
    """`vault.store.relayer.LayerStore`. Raises VaultError."""

    async def versions(self, tenant: TenantId) -> list[TenantKeyRow]: ...
    async def announce(self, key: TenantKeyRow) -> None: ...
    async def retire(self, tenant: TenantId, version: int) -> None: ...
    async def settled(self, *, within_seconds: float) -> bool: ...
    async def count(self, tenant: TenantId, version: int) -> int: ...
    async def layer(
        self, lease: Lease, *, versions: tuple[int, int], limit: int, layered: Layering
    ) -> Advanced: ...
    async def remove(self, lease: Lease, *, version: int, limit: int) -> Advanced: ...


class Wrapper(Protocol):
    """The service's own session of Transit; custody's neither wraps nor unwraps."""

    async def wrap(self, items: Sequence[WrapItem]) -> Sequence[Wrapped | VaultError]: ...
    async def unwrap(
        self, items: Sequence[UnwrapItem]
    ) -> Sequence[Unwrapped | Unopenable | VaultError]: ...


class IndexMover:
    """Moves digests to the next version of a tenant's index key.

    Args:
        known_seconds: how long a process may search under live versions of before: the age of
            its cache and the longest call.
    """

    kind = JobKind.INDEX

    def __init__(
        self,
        *,
        rows: Layers,
        transit: Wrapper,
        known_seconds: float,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._rows = rows
        self._transit = transit
        self._known_seconds = known_seconds
        self._random = random

    async def plan(self, tenant: TenantId, subject_ref: str | None) -> Plan:
        """The next version, and all digests of today.

        Raises:
            VaultError: FIELD_INVALID for a subject; DATABASE_UNAVAILABLE.
        """
        if subject_ref is not None:
            raise VaultError(Reason.FIELD_INVALID, "an index key is the whole tenant's")
        before, after = _step(await self._rows.versions(tenant))
        return Plan(
            kind=self.kind,
            tenant=tenant,
            key_name="index",
            from_version=before,
            to_version=after,
            rows=await self._rows.count(tenant, before),
        )

    async def next_phase(self, job: Job) -> Phase | None:
        """See the module's docstring, and `vault.service.jobs.Mover`."""
        tenant, before = job.tenant, job.from_version
        if not job.phase:
            await self._announce(job)
            return Phase(ANNOUNCE, parts=0, wait_seconds=self._known_seconds)
        if job.phase in (ANNOUNCE, NARROW) and not await self._rows.settled(
            within_seconds=_SETTLE_S
        ):
            return Phase(job.phase, parts=0, wait_seconds=_AGAIN_S)
        if job.phase == ANNOUNCE:
            return Phase(BACKFILL, rows=await self._rows.count(tenant, before))
        if job.phase == BACKFILL:
            await self._rows.retire(tenant, job.to_version)
            return Phase(NARROW, parts=0, wait_seconds=self._known_seconds)
        left = await self._rows.count(tenant, before)
        return Phase(REMOVE, rows=left) if left else None

    async def move(self, job: Job, lease: Lease, limit: int) -> Advanced:
        """Layers, or removes, the next digests of a part.

        Raises:
            LeaseLostError, VaultError: as `vault.service.jobs.Mover.move`.
        """
        if job.phase == REMOVE:
            return await self._rows.remove(lease, version=job.from_version, limit=limit)
        key = await self._open(job.tenant, job.to_version)

        def layer(kind: DigestKind) -> Callable[[bytes], bytes]:
            return lambda digest: key.layer(kind, digest)

        return await self._rows.layer(
            lease,
            versions=(job.from_version, job.to_version),
            limit=limit,
            layered=Layering(
                ref=layer(DigestKind.SUBJECT_REF),
                case=layer(DigestKind.CASE_REF),
                key=layer(DigestKind.IDEMPOTENCY),
                request=layer(DigestKind.REQUEST),
            ),
        )

    async def _announce(self, job: Job) -> None:
        known = {row.key_version for row in await self._rows.versions(job.tenant)}
        if job.to_version in known:
            return
        secret = self._random(SECRET_BYTES)
        context = index_key_context(tenant=job.tenant, key_version=job.to_version)
        (answer,) = await self._transit.wrap(
            [WrapItem(tenant=job.tenant, secret=secret, context=context)]
        )
        if isinstance(answer, VaultError):
            raise answer
        await self._rows.announce(
            TenantKeyRow(
                tenant=job.tenant,
                key_version=job.to_version,
                wrapped=answer.wrapped,
                root_version=answer.root_version,
                commitment=IndexKey(secret, version=job.to_version).commitment,
            )
        )

    async def _open(self, tenant: TenantId, version: int) -> IndexKey:
        rows = [row for row in await self._rows.versions(tenant) if row.key_version == version]
        if not rows:
            raise VaultError(Reason.KEY_STORE_FAULT, "a version of the index key is missing")
        (answer,) = await self._transit.unwrap([to_unwrap(rows[0])])
        return open_index_key(rows[0], answer)


def _step(rows: Sequence[TenantKeyRow]) -> tuple[int, int]:
    """From which version to which: on with a rotation that was broken off, else to a new one."""
    live = [row.key_version for row in rows if row.is_live]
    if not live:
        raise VaultError(Reason.KEY_STORE_FAULT, "the tenant has no index key")
    return (live[0], live[1]) if len(live) > 1 else (live[0], rows[-1].key_version + 1)
