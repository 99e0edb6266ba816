"""Each tenant's index key: made once, unwrapped by Transit, kept no longer than any key.

Guarantees: nobody works with live versions older than `max_age_seconds`. Leaves to
`vault.store.claims`: that nothing is stored under versions that are live no more.
"""

import asyncio
import functools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.clock import Clock
from vault.crypto.aead import DecryptError
from vault.crypto.binding import index_key_context
from vault.crypto.index_key import SECRET_BYTES, IndexChain, IndexKey
from vault.crypto.transit import Renew, Unopenable, UnwrapItem, Unwrapped, WrapItem, Wrapped
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
    def watch(self, item: UnwrapItem, renew: Renew) -> None: ...


@dataclass(frozen=True, slots=True)
class _Held:
    chain: IndexChain
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
        self._generation = 0
        self._locks: dict[TenantId, asyncio.Lock] = {}
        self._is_paused = False

    async def get(self, tenant: TenantId) -> IndexChain:
        """The tenant's index key, in all its versions; made if there is none yet.

        Raises:
            VaultError: the key store or the database failed, or (KEY_STORE_FAULT) the stored
                key does not open.
        """
        held = self._held.get(tenant)
        if held is not None and self._clock.monotonic_ns() < held.until_ns:
            return held.chain
        async with self._locks.setdefault(tenant, asyncio.Lock()):
            held = self._held.get(tenant)
            if held is not None and self._clock.monotonic_ns() < held.until_ns:
                return held.chain
            # From before the rows are read: what is live may have changed since.
            began_ns, generation = self._clock.monotonic_ns(), self._generation
            chain = await self._open(tenant)
            if generation == self._generation and not self._is_paused:
                self._held[tenant] = _Held(chain, began_ns + self._max_age_ns)
            return chain

    def forget(self, tenant: TenantId) -> None:
        """Forgets one tenant's opened keys; what is being opened is not kept."""
        self._generation += 1
        self._held.pop(tenant, None)

    def clear(self) -> None:
        """Forgets every opened key; what is being opened is not kept."""
        self._generation += 1
        self._held.clear()

    def pause(self) -> None:
        """Forgets every opened key and keeps none, until `resume`."""
        self._is_paused = True
        self.clear()

    def resume(self) -> None:
        """Keeps keys again."""
        self.clear()
        self._is_paused = False

    async def _open(self, tenant: TenantId) -> IndexChain:
        rows = await self._rows.find_tenant_keys(tenant)
        if not rows:
            await self._rows.claim_tenant_key(await self._new(tenant))
            rows = await self._rows.find_tenant_keys(tenant)
        items = [to_unwrap(row) for row in rows]
        self._transit.watch(items[-1], functools.partial(self._renew, tenant))
        answers = await self._transit.unwrap(items)
        keys = [open_index_key(row, answer) for row, answer in zip(rows, answers, strict=True)]
        try:
            return IndexChain(keys, [row.key_version for row in rows if row.is_live])
        except ValueError as error:
            raise VaultError(
                Reason.KEY_STORE_FAULT, "versions of a tenant's index key are missing"
            ) from error

    async def _renew(self, tenant: TenantId) -> None:
        """What is watched does not open: it may have been rewrapped since it was read."""
        self.forget(tenant)
        await self.get(tenant)

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


def to_unwrap(row: TenantKeyRow) -> UnwrapItem:
    """What Transit is asked for one version's secret."""
    context = index_key_context(tenant=row.tenant, key_version=row.key_version)
    return UnwrapItem(tenant=row.tenant, wrapped=row.wrapped, context=context)


def open_index_key(row: TenantKeyRow, answer: Unwrapped | Unopenable | VaultError) -> IndexKey:
    """One version, from what Transit answered.

    Raises:
        VaultError: the answer is one, or (KEY_STORE_FAULT) is not the key of the row.
    """
    if isinstance(answer, VaultError):
        raise answer
    try:
        if isinstance(answer, Unopenable):
            raise DecryptError
        return IndexKey.check(answer.secret, version=row.key_version, commitment=row.commitment)
    except DecryptError as error:
        raise VaultError(Reason.KEY_STORE_FAULT, "a tenant's index key does not open") from error
