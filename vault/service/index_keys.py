"""Each tenant's index key: made once, unwrapped by Transit, kept no longer than any key."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.clock import Clock
from vault.crypto.aead import DecryptError
from vault.crypto.binding import index_key_context
from vault.crypto.index_key import SECRET_BYTES, IndexKey
from vault.crypto.transit import Unopenable, UnwrapItem, Unwrapped, WrapItem, Wrapped
from vault.errors import Reason, VaultError
from vault.model import TenantId
from vault.rows import TenantKeyRow


class TenantKeyStore(Protocol):
    async def find_tenant_keys(self, tenant: TenantId) -> list[TenantKeyRow]: ...
    async def claim_tenant_key(self, key: TenantKeyRow) -> None: ...


class KeyWrapper(Protocol):
    async def wrap(self, items: Sequence[WrapItem]) -> Sequence[Wrapped | VaultError]: ...
    async def unwrap(
        self, items: Sequence[UnwrapItem]
    ) -> Sequence[Unwrapped | Unopenable | VaultError]: ...
    def watch(self, item: UnwrapItem) -> None: ...


@dataclass(frozen=True, slots=True)
class _Held:
    key: IndexKey
    until_ns: int


class IndexKeys:
    """Opened index keys by tenant."""

    def __init__(
        self,
        *,
        rows: TenantKeyStore,
        transit: KeyWrapper,
        clock: Clock,
        max_age_seconds: float,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._rows = rows
        self._transit = transit
        self._clock = clock
        self._max_age_ns = int(max_age_seconds * 1e9)
        self._random = random
        self._held: dict[TenantId, _Held] = {}
        self._locks: dict[TenantId, asyncio.Lock] = {}

    async def get(self, tenant: TenantId) -> IndexKey:
        """The tenant's newest index key; made if there is none yet.

        Raises:
            VaultError: the key store or the database failed, or (KEY_STORE_FAULT) the stored
                key does not open.
        """
        held = self._held.get(tenant)
        if held is not None and self._clock.monotonic_ns() < held.until_ns:
            return held.key
        async with self._locks.setdefault(tenant, asyncio.Lock()):
            held = self._held.get(tenant)
            if held is not None and self._clock.monotonic_ns() < held.until_ns:
                return held.key
            key = await self._open(tenant)
            self._held[tenant] = _Held(key, self._clock.monotonic_ns() + self._max_age_ns)
            return key

    def clear(self) -> None:
        """Forgets every opened key."""
        self._held.clear()

    async def _open(self, tenant: TenantId) -> IndexKey:
        rows = await self._rows.find_tenant_keys(tenant)
        if not rows:
            await self._rows.claim_tenant_key(await self._new(tenant))
            rows = await self._rows.find_tenant_keys(tenant)
        row = rows[0]
        context = index_key_context(tenant=tenant, key_version=row.key_version)
        item = UnwrapItem(tenant=tenant, wrapped=row.wrapped, context=context)
        self._transit.watch(item)
        (answer,) = await self._transit.unwrap([item])
        if isinstance(answer, VaultError):
            raise answer
        try:
            if isinstance(answer, Unopenable):
                raise DecryptError
            return IndexKey.check(answer.secret, version=row.key_version, commitment=row.commitment)
        except DecryptError as error:
            raise VaultError(
                Reason.KEY_STORE_FAULT, "a tenant's index key does not open"
            ) from error

    async def _new(self, tenant: TenantId) -> TenantKeyRow:
        secret = self._random(SECRET_BYTES)
        context = index_key_context(tenant=tenant, key_version=1)
        (answer,) = await self._transit.wrap(
            [WrapItem(tenant=tenant, secret=secret, context=context)]
        )
        if isinstance(answer, VaultError):
            raise answer
        return TenantKeyRow(
            tenant=tenant,
            key_version=1,
            wrapped=answer.wrapped,
            root_version=answer.root_version,
            commitment=IndexKey(secret, version=1).commitment,
        )
