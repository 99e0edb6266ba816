"""Charges subjects' keys with the seals that calls are about to make, in blocks.

Guarantees: before a value is sealed, the database has charged its key with that seal, and no
key goes beyond the 2^32 of NIST SP 800-38D, 8.3. Leaves to `vault.keys.uses`: the arithmetic.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from vault.errors import Reason, VaultError
from vault.keys.limits import is_near_limit
from vault.keys.uses import Reserves, blocks
from vault.model import SubjectId
from vault.service.subject_keys import KeyName
from vault.stage import Stage, Trips
from vault.telemetry.logs import Log
from vault.telemetry.trace import CallTrace

_log = Log("vault.service")


class UsesStore(Protocol):
    async def reserve_uses(
        self, wanted: Sequence[tuple[SubjectId, int, int]]
    ) -> tuple[dict[KeyName, int], set[KeyName]]: ...


class SealUses:
    """What this process may still seal; each reservation is one trip for many calls.

    Attributes:
        alarms: how often a key was found to be near its limit.
    """

    def __init__(
        self,
        *,
        rows: UsesStore,
        trips: Trips,
        name: str,
        max_entries: int,
        max_trip: int,
        max_queue: int,
    ) -> None:
        self._rows = rows
        self._reserves = Reserves[KeyName](max_entries)
        self.alarms = 0
        self.stage: Stage[Mapping[KeyName, int], None] = Stage(
            name,
            self._reserve,
            trips=trips,
            max_trip=max_trip,
            max_queue=max_queue,
            lanes=2,
            weigh=len,
        )

    def grant(self, key: KeyName, uses: int) -> None:
        """Notes what a new key was charged with when it was stored."""
        self._reserves.add(key, uses)

    async def charge(self, seals: Mapping[KeyName, int], rider: CallTrace) -> None:
        """Makes sure that each key may seal so often, now.

        A key that is gone meanwhile is passed over: nothing that it seals can be stored.

        Raises:
            VaultError: KEY_EXHAUSTED, or the database failed.
        """
        missing = {key: uses for key, uses in seals.items() if not self._reserves.take(key, uses)}
        if missing:
            await self.stage.submit(missing, rider)

    async def _reserve(self, calls: Sequence[Mapping[KeyName, int]]) -> Sequence[VaultError | None]:
        wanted: Counter[KeyName] = Counter()
        for seals in calls:
            wanted.update(seals)
        charged, exhausted = await self._rows.reserve_uses(
            [(*key, blocks(uses)) for key, uses in wanted.items()]
        )
        for key, uses in charged.items():
            self._reserves.add(key, blocks(wanted[key]) - wanted[key])
            if is_near_limit(uses):
                self.alarms += 1
                _log.warning("key.near_limit", count=uses)
        return [_exhausted() if exhausted & seals.keys() else None for seals in calls]


def _exhausted() -> VaultError:
    return VaultError(
        Reason.KEY_EXHAUSTED,
        "a consumer's key has sealed as often as it may; ask a custodian to replace it",
    )
