"""What acts on root keys do, what stands against them, and that they can be done twice.

Guarantees: nothing is retired or trimmed that a row, or a backup inside its window, still
needs; a key is deleted only after an administrator of Transit allowed that by hand. Every
effect is idempotent: done again it changes nothing and succeeds, so that a process that dies
between the effect and its note in the database leaves a request that can be carried out
again. Leaves to `vault.service.acts`: that two custodians want it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.crypto.transit_keys import RootKey
from vault.errors import Reason, VaultError, invalid
from vault.keys.acts import Destroy, Retire, Trim
from vault.model import TenantId

KeyAct = Retire | Trim | Destroy


class RowsByVersion(Protocol):
    """Which root versions a tenant's wrapped keys need, by what is wrapped itself."""

    async def count(self, tenant: TenantId) -> Mapping[int | None, int]:
        """Rows by version; None: their wrapping can't be read."""
        ...


class BackupWindows(Protocol):
    """The backups that may still be restored: inside their declared window."""

    async def backups_needing(self, tenant: TenantId) -> Mapping[int, int]:
        """Root version -> how many of them need it."""
        ...


class KeyAdmin(Protocol):
    """Custody's Transit."""

    def root_key(self, tenant: str) -> str: ...

    async def find_key(self, name: str) -> RootKey | None: ...

    async def raise_min_decryption(self, name: str, version: int) -> RootKey: ...

    async def trim(self, name: str, version: int) -> RootKey: ...

    async def delete(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why an act can't be carried out now."""

    reason: Reason
    text: str


class RootKeyEffects:
    """Acts on a tenant's root key."""

    def __init__(self, *, keys: KeyAdmin, rows: RowsByVersion, backups: BackupWindows) -> None:
        self._keys = keys
        self._rows = rows
        self._backups = backups

    async def check(self, act: KeyAct, tenant: TenantId) -> None:
        """Refuses to ask for what makes no sense.

        Raises:
            VaultError: FIELD_INVALID, naming the field; KEY_STORE_*.
        """
        key = await self._keys.find_key(self._keys.root_key(tenant))
        match act:
            case Destroy(name):
                if name != tenant:
                    raise invalid(Reason.FIELD_INVALID, "act.destroy.tenant", "is not your tenant")
            case Retire(version):
                field = "act.retire.min_decryption_version"
                if key is None or version > key.latest:
                    raise invalid(Reason.FIELD_INVALID, field, "the key has no such version")
                if version <= key.min_decryption_version:
                    raise invalid(
                        Reason.FIELD_INVALID, field, "the versions below are retired already"
                    )
            case Trim(version):
                field = "act.trim.min_available_version"
                if key is None or version > key.latest:
                    raise invalid(Reason.FIELD_INVALID, field, "the key has no such version")
                if version <= max(key.min_available_version, 1):
                    raise invalid(
                        Reason.FIELD_INVALID, field, "the versions below are gone already"
                    )

    async def obstacles(self, act: KeyAct, tenant: TenantId) -> list[Obstacle]:
        """What stands against it; empty also if it was done already.

        Raises:
            VaultError: DATABASE_UNAVAILABLE, KEY_STORE_*.
        """
        key = await self._keys.find_key(self._keys.root_key(tenant))
        if isinstance(act, Destroy):
            if key is None or key.deletion_allowed:
                return []
            text = (
                f"the key store does not let {key.name} be deleted: an administrator of it has to "
                "set deletion_allowed on this key, by hand"
            )
            return [Obstacle(Reason.KEY_STORE_DENIED, text)]
        version = _version(act)
        if key is None or version > key.latest:
            return [Obstacle(Reason.KEY_IN_USE, f"the root key has no version {version}")]
        found: list[Obstacle] = []
        if isinstance(act, Trim) and version > max(key.min_decryption_version, 1):
            text = f"versions below {version} are not retired yet"
            found.append(Obstacle(Reason.KEY_IN_USE, text))
        rows = await self._rows.count(tenant)
        for needed in sorted(each for each in rows if each is not None and each < version):
            text = f"{rows[needed]} rows need version {needed}"
            found.append(Obstacle(Reason.KEY_IN_USE, text))
        if rows.get(None):
            text = f"{rows[None]} rows do not say which version they need"
            found.append(Obstacle(Reason.KEY_IN_USE, text))
        backups = await self._backups.backups_needing(tenant)
        for needed in sorted(each for each in backups if each < version):
            text = f"{backups[needed]} backups inside their window need version {needed}"
            found.append(Obstacle(Reason.KEY_IN_USE, text))
        return found

    async def describe(self, act: KeyAct, tenant: TenantId) -> str:
        """What it does, in words, with the figures of now."""
        name = self._keys.root_key(tenant)
        match act:
            case Retire(version):
                return (
                    f"versions of {name} below {version} open nothing any more, until an "
                    "administrator of the key store takes that back"
                )
            case Trim(version):
                return f"versions of {name} below {version} are gone for good"
            case Destroy():
                rows = sum((await self._rows.count(tenant)).values())
                return f"{name} is gone for good, and with it every value under {rows} wrapped keys"

    async def carry_out(self, act: KeyAct, tenant: TenantId) -> None:
        """Does it; again, it does nothing.

        Raises:
            VaultError: KEY_STORE_*.
        """
        name = self._keys.root_key(tenant)
        match act:
            case Retire(version):
                # Never lowers: a version that was retired further meanwhile stays so.
                await self._keys.raise_min_decryption(name, version)
            case Trim(version):
                await self._keys.trim(name, version)
            case Destroy():
                if await self._keys.find_key(name) is not None:
                    await self._keys.delete(name)


def refuse(obstacles: Sequence[Obstacle]) -> None:
    """Ends a call that something stands against.

    Raises:
        VaultError: for the first obstacle's reason, with all their texts.
    """
    if obstacles:
        raise VaultError(obstacles[0].reason, "; ".join(each.text for each in obstacles[:10]))


def _version(act: Retire | Trim) -> int:
    return act.min_decryption_version if isinstance(act, Retire) else act.min_available_version
