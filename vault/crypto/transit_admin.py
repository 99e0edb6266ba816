"""Turning keys in Transit: the custodians' login.

Guarantees: those of `transit_client`. Neither wraps nor unwraps a data key. A version is never
retired, trimmed or deleted without being asked for by number or name, never made to open again
unless that is asked for by name, and a rotation whose answer was lost is not repeated.

Leaves to others: whether rows and backups still need a version, approvals, and that one
process at a time turns a key.
"""

import base64
import binascii
import uuid
from collections.abc import Sequence

from vault.crypto.binding import backup_context
from vault.crypto.transit_batch import (
    MAX_REWRAPS,
    SECRET_BYTES,
    RewrapItem,
    Unopenable,
    Wrapped,
    read_rewrapped,
    read_wrapped,
)
from vault.crypto.transit_client import TransitClient
from vault.crypto.transit_errors import key_store_error
from vault.crypto.transit_health import DECRYPT
from vault.crypto.transit_keys import RootKey, read_root_key
from vault.errors import Reason, VaultError

__all__ = ["RewrapItem", "RootKey", "TransitAdmin", "Unopenable", "Wrapped"]

_KEYS = "keys"
_REWRAP = "rewrap"
_ENCRYPT = "encrypt"


class TransitAdmin(TransitClient):
    """Custody's session. Keys go by their names in Transit, see `root_key`.

    Every method may raise VaultError (KEY_STORE_*); KEY_STORE_FAULT also for a key that is
    missing or a demand that Transit finds wrong, KEY_STORE_DENIED for a right that is missing.
    """

    async def open(self, tenants: Sequence[str]) -> None:
        """Log in, read and check the tenants' root keys, and begin to probe.

        Raises:
            VaultError: as `Transit.open`; also for a root key that may not be read.
            ValueError: a tenant's id cannot name a key.
        """
        await self._log_in()
        for tenant in tenants:
            await self.read_key(self.root_key(tenant))
            await self.check_root_key(tenant)
        self._begin_to_watch()

    def root_key(self, tenant: str) -> str:
        """The name of a tenant's root key.

        Raises:
            ValueError: the tenant's id cannot name a key.
        """
        return self._settings.root_key(tenant)

    async def read_key(self, name: str) -> RootKey:
        """A key's versions and settings."""
        key = await self.find_key(name)
        if key is None:
            raise VaultError(Reason.KEY_STORE_FAULT, f"the key {name} is missing")
        return key

    async def find_key(self, name: str) -> RootKey | None:
        """The same; None where there is no such key."""
        data = await self._ask("get", _KEYS, name)
        return None if data is None else read_root_key(name, data)

    async def rotate(self, name: str) -> RootKey:
        """Make a new version, which wraps (or signs) from now on.

        Raises:
            VaultError: KEY_STORE_UNAVAILABLE: nobody knows whether there is a new version;
                read the key before anything else.
        """
        await self._change(name, "rotate", {}, attempts=1)
        return await self.read_key(name)

    async def rewrap(
        self, tenant: str, items: Sequence[RewrapItem]
    ) -> list[Wrapped | Unopenable | VaultError]:
        """Wrap keys anew under the newest version of their tenant's root key.

        One answer per item, in order. `Unopenable` concerns the item (damaged, another context,
        of a retired version); a VaultError (KEY_STORE_*) its whole batch.

        Raises:
            ValueError: an item of another tenant.
        """
        if any(item.tenant != tenant for item in items):
            raise ValueError("an item of another tenant")
        return await self._run(_REWRAP, items, read_rewrapped, most=MAX_REWRAPS)

    async def raise_min_decryption(
        self, name: str, version: int, *, may_lower: bool = False
    ) -> RootKey:
        """Retire the versions below `version`: what they wrapped does not open any more.

        Nothing happens if it is retired already. Where Transit demands it, the least version that
        may wrap rises too.

        Args:
            name: the key.
            version: the oldest that opens.
            may_lower: make retired versions open again. Those that were trimmed never do.
        """
        key = await self.read_key(name)
        is_lower = version < key.min_decryption_version
        if version == key.min_decryption_version or (is_lower and not may_lower):
            return key
        body: dict[str, object] = {"min_decryption_version": version}
        if 0 < key.min_encryption_version < version:
            body["min_encryption_version"] = version
        await self._change(name, "config", body)
        return await self.read_key(name)

    async def trim(self, name: str, version: int) -> RootKey:
        """Destroy the versions below `version`. Nothing brings them back.

        Nothing happens if they are gone already. Transit demands that the least version that may
        wrap be set: it becomes `version` if it was lower.

        Raises:
            VaultError: KEY_IN_USE: one of these versions is not retired.
        """
        key = await self.read_key(name)
        if version <= max(key.min_available_version, 1):
            return key
        if version > key.min_decryption_version:
            raise VaultError(
                Reason.KEY_IN_USE, f"the key {name} has older versions that are not retired"
            )
        if key.min_encryption_version < version:
            await self._change(name, "config", {"min_encryption_version": version})
        await self._change(name, "trim", {"min_available_version": version})
        return await self.read_key(name)

    async def delete(self, name: str) -> None:
        """Delete a key, and with it whatever it wrapped.

        Raises:
            VaultError: KEY_STORE_DENIED: an administrator has to allow this key's deletion first,
                or there is no such key.
        """
        answer = await self._ask("delete", _KEYS, name, attempts=1)
        if answer is None:
            raise VaultError(
                Reason.KEY_STORE_DENIED, f"the key store does not let the key {name} be deleted"
            )

    async def wrap_backup_key(self, key: str, backup_id: uuid.UUID, secret: bytes) -> Wrapped:
        """Wrap a backup's key (32 bytes), bound to that backup.

        Args:
            key: the Transit key of backups: not derived, so the binding is associated data.
            backup_id: the backup.
            secret: its key.
        """
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a backup's key has {SECRET_BYTES} bytes")
        body: dict[str, object] = {
            "plaintext": base64.b64encode(secret).decode(),
            "associated_data": base64.b64encode(backup_context(backup_id)).decode(),
        }
        answer = await self._ask("post", _ENCRYPT, key, body)
        wrapped = read_wrapped(answer) if answer is not None else None
        if isinstance(wrapped, Wrapped):
            return wrapped
        raise wrapped or VaultError(Reason.KEY_STORE_FAULT, f"the key {key} is missing or unfit")

    async def unwrap_backup_key(
        self, key: str, backup_id: uuid.UUID, wrapped: str
    ) -> bytes | Unopenable:
        """Open a backup's key; `Unopenable`: damaged, another backup's, or the key is missing."""
        body: dict[str, object] = {
            "ciphertext": wrapped,
            "associated_data": base64.b64encode(backup_context(backup_id)).decode(),
        }
        answer = await self._ask("post", DECRYPT, key, body)
        if answer is None:
            return Unopenable()
        try:
            secret = base64.b64decode(str(answer.get("plaintext")), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) != SECRET_BYTES:
            raise key_store_error(Reason.KEY_STORE_FAULT)
        return secret

    async def _change(
        self, name: str, what: str, body: dict[str, object], *, attempts: int = 2
    ) -> None:
        if await self._ask("post", _KEYS, f"{name}/{what}", body, attempts=attempts) is None:
            raise VaultError(
                Reason.KEY_STORE_FAULT, f"the key store refuses to {what} the key {name} so"
            )

    async def _ask(
        self,
        method: str,
        verb: str,
        key: str,
        body: dict[str, object] | None = None,
        *,
        attempts: int = 2,
    ) -> dict[str, object] | None:
        """As `TransitSession.on_key`; a demand that Transit finds wrong leaves health alone."""
        return await self._on_key(
            method if method == "delete" else verb,  # who may not delete may still read
            key,
            lambda: self._session.on_key(method, verb, key, body, attempts=attempts),
        )
