"""Opened subject keys: from memory, else loaded and unwrapped, many calls to a trip."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from vault.crypto.aead import DecryptError, SubjectKey
from vault.crypto.binding import key_context
from vault.crypto.keyring import Keyring
from vault.crypto.transit import Unopenable, UnwrapItem, Unwrapped
from vault.errors import VaultError
from vault.model import SubjectId, TenantId
from vault.rows import WrappedKeyRow
from vault.stage import Stage, Trips
from vault.telemetry.trace import CallTrace

KeyName = tuple[SubjectId, int]
"""A subject's handle and the version of its key."""

Opened = dict[KeyName, SubjectKey]


class WrappedKeyLoader(Protocol):
    async def load_subject_keys(
        self, subjects: Sequence[SubjectId]
    ) -> dict[KeyName, WrappedKeyRow]: ...


class Unwrapper(Protocol):
    async def unwrap(
        self, items: Sequence[UnwrapItem]
    ) -> Sequence[Unwrapped | Unopenable | VaultError]: ...


class SubjectKeys:
    """Opens subject keys. One trip loads and unwraps all that its calls miss, each once."""

    def __init__(
        self,
        *,
        rows: WrappedKeyLoader,
        transit: Unwrapper,
        keyring: Keyring,
        trips: Trips,
        name: str,
        max_trip: int,
        max_queue: int,
        lanes: int,
    ) -> None:
        self._rows = rows
        self._transit = transit
        self._keyring = keyring
        self.stage: Stage[tuple[TenantId, AbstractSet[KeyName]], Opened] = Stage(
            name,
            self._trip,
            trips=trips,
            max_trip=max_trip,
            max_queue=max_queue,
            lanes=lanes,
            weigh=lambda item: len(item[1]),
        )

    async def open(
        self, tenant: TenantId, wanted: AbstractSet[KeyName], rider: CallTrace
    ) -> Opened:
        """The opened keys. One that is missing here does not open: its row is gone, or
        row and Transit do not agree.

        Raises:
            VaultError: the key store or the database failed.
        """
        opened: Opened = {}
        missing: set[KeyName] = set()
        for name in wanted:
            key = self._keyring.get(*name)
            if key is None:
                missing.add(name)
            else:
                opened[name] = key
        if missing:
            opened |= await self.stage.submit((tenant, missing), rider)
        return opened

    async def _trip(
        self, calls: Sequence[tuple[TenantId, AbstractSet[KeyName]]]
    ) -> Sequence[Opened | VaultError]:
        tenants = {name: tenant for tenant, names in calls for name in names}
        # A trip before this one may have opened some of them.
        opened: Opened = {}
        for name in tenants:
            key = self._keyring.get(*name)
            if key is not None:
                opened[name] = key
        missing = [name for name in tenants if name not in opened]
        failed: dict[KeyName, VaultError] = {}
        if missing:
            generation = self._keyring.generation
            rows = await self._rows.load_subject_keys([subject for subject, _ in missing])
            # A row of another tenant is no row of the caller's.
            found = [
                (name, rows[name])
                for name in missing
                if name in rows and rows[name].tenant == tenants[name]
            ]
            answers = await self._transit.unwrap([_to_unwrap(row) for _, row in found])
            for (name, row), answer in zip(found, answers, strict=True):
                if isinstance(answer, VaultError):
                    failed[name] = answer
                    continue
                if isinstance(answer, Unopenable):
                    continue
                try:
                    key = SubjectKey.check(
                        answer.secret, key_salt=row.key_salt, commitment=row.commitment
                    )
                except DecryptError:
                    continue
                self._keyring.put(*name, key, generation=generation)
                opened[name] = key
        return [_share(names, opened, failed) for _, names in calls]


def _to_unwrap(row: WrappedKeyRow) -> UnwrapItem:
    context = key_context(tenant=row.tenant, subject_id=row.subject_id, key_version=row.key_version)
    return UnwrapItem(tenant=row.tenant, wrapped=row.wrapped, context=context)


def _share(
    names: AbstractSet[KeyName], opened: Opened, failed: dict[KeyName, VaultError]
) -> Opened | VaultError:
    for name in names:
        if name in failed:
            return failed[name]
    return {name: opened[name] for name in names if name in opened}
