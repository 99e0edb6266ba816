"""Wrapping and unwrapping keys, and signing, in Transit: the service's login.

Guarantees: those of `transit_client`. The keyring is told when keys can't be opened for too
long (`on_lost`); probes open a key of every tenant that is watched, so that one tenant's trouble
is known as such.

Leaves to others: merging callers into batches (the stage), checking that an unwrapped key
is the right one (`SubjectKey.check`), dropping opened keys when told (`on_lost`).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

from vault.clock import Clock
from vault.crypto.transit_batch import (
    MAX_UNWRAPS,
    MAX_WRAPS,
    Unopenable,
    UnwrapItem,
    Unwrapped,
    WrapItem,
    Wrapped,
    read_unwrapped,
    read_wrapped,
)
from vault.crypto.transit_client import TransitClient
from vault.crypto.transit_errors import key_store_error
from vault.crypto.transit_health import DECRYPT, Down
from vault.crypto.transit_settings import AppRole, TokenFile, TransitSettings
from vault.crypto.transit_signing import Signed
from vault.errors import Reason, VaultError

__all__ = [
    "AppRole",
    "Down",
    "Signed",
    "TokenFile",
    "Transit",
    "TransitSettings",
    "Unopenable",
    "UnwrapItem",
    "Unwrapped",
    "WrapItem",
    "Wrapped",
]

_log = logging.getLogger(__name__)

_ENCRYPT = "encrypt"


Renew = Callable[[], Awaitable[None]]


class Transit(TransitClient):
    """Wraps and unwraps keys for many tenants. See the module's docstring."""

    def __init__(
        self,
        settings: TransitSettings,
        *,
        clock: Clock | None = None,
        on_lost: Callable[[], None] = lambda: None,
        traceparent: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Build, without calling anybody.

        Args:
            settings: where and who.
            clock: the time.
            on_lost: called in the event loop when unwrapping has been impossible for longer
                than `settings.grace_seconds`, once per loss; the keyring's `clear`.
            traceparent: the W3C header of the trip that is made; asked in the context of
                whoever wraps or unwraps. None: no header.
        """
        super().__init__(settings, clock=clock, traceparent=traceparent)
        self._on_lost = on_lost
        self._watched: dict[str, UnwrapItem] = {}
        self._renewals: dict[str, Renew] = {}
        self._stale: set[str] = set()

    async def open(self, tenants: Sequence[str]) -> None:
        """Log in, check the tenants' root keys and begin to probe.

        Raises:
            VaultError: Transit is sealed, unreachable or refuses us (KEY_STORE_SEALED,
                KEY_STORE_UNAVAILABLE, KEY_STORE_DENIED); the token is a root token
                (KEY_STORE_DENIED); a root key is missing, not derived, or may be
                exported or backed up in plain text (KEY_STORE_FAULT).
            ValueError: a tenant's id cannot name a key.
        """
        await self._log_in()
        for tenant in tenants:
            await self.check_root_key(tenant)
        self._begin_to_watch()

    @property
    def state(self) -> Down | None:
        """What is wrong for every tenant; None if Transit works."""
        if (down := self._health.state()) or not self._watched:
            return down
        downs = [self._health.state(tenant) for tenant in self._watched]
        return next(iter(downs)) if all(downs) else None

    def watch(self, item: UnwrapItem, renew: Renew | None = None) -> None:
        """Let probes unwrap this item: the tenant's index key, of which nobody has less.

        Args:
            item: what is unwrapped.
            renew: reads the item again and watches it, when it does not open any more: it was
                rewrapped, and the version that it needed retired. Raises VaultError if it
                still does not open.
        """
        self._watched[item.tenant] = item
        if renew is not None:
            self._renewals[item.tenant] = renew

    async def probe(self) -> None:
        """As that of every client; watched items that went stale are renewed.

        Raises:
            VaultError: KEY_STORE_*: what is wrong.
        """
        try:
            await super().probe()
        finally:
            while self._stale:
                tenant = self._stale.pop()
                try:
                    await self._renewals[tenant]()
                except VaultError as error:
                    if error.reason is Reason.KEY_STORE_FAULT:
                        self._health.failed(error.reason, DECRYPT, tenant)
                    raise

    async def wrap(self, items: Sequence[WrapItem]) -> list[Wrapped | VaultError]:
        """Wrap keys under their tenants' root keys; one answer per item, in order."""
        return await self._run(_ENCRYPT, items, read_wrapped, most=MAX_WRAPS)

    async def unwrap(
        self, items: Sequence[UnwrapItem]
    ) -> list[Unwrapped | Unopenable | VaultError]:
        """Open wrapped keys; one answer per item, in order.

        `Unopenable` concerns the item; a VaultError (KEY_STORE_*) mostly its whole batch.
        """
        return await self._run(DECRYPT, items, read_unwrapped, most=MAX_UNWRAPS)

    def _lost(self) -> None:
        _log.error("transit has been lost for longer than the grace: opened keys go")
        self._on_lost()

    def _probe(self) -> None:
        """In the prober: keep the token, then unwrap each watched key."""
        if not self._watched:
            super()._probe()
            return
        try:
            self._session.keep_token()
        except VaultError as error:
            self._health.server_failed(error.reason)
            raise
        first: VaultError | None = None
        for tenant, item in list(self._watched.items()):
            try:
                [result] = self._call(DECRYPT, tenant, [item])
                if not isinstance(read_unwrapped(result), Unwrapped):
                    if tenant in self._renewals:
                        self._stale.add(tenant)
                        continue
                    self._health.failed(Reason.KEY_STORE_FAULT, DECRYPT, tenant)
                    raise key_store_error(Reason.KEY_STORE_FAULT)
            except VaultError as error:
                first = first or error
                if self._health.state() is not None:
                    break  # nobody gets an answer: each further tenant would only wait as long
        if first is not None:
            raise first
