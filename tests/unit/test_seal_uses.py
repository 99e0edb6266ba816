"""Seals are charged before they are made: reserves, blocks, what happens at the limit."""

import uuid
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Reason, VaultError
from vault.keys.limits import ALARM_USES
from vault.keys.uses import BLOCK_USES, Reserves, blocks
from vault.model import SubjectId
from vault.service.seal_uses import SealUses
from vault.service.subject_keys import KeyName
from vault.stage import Trip

ONE, OTHER = ((SubjectId(uuid.UUID(int=n)), 1) for n in (1, 2))


class Trips:
    def start(self, *_: object) -> Trip:
        return self  # type: ignore[return-value]

    def finish(self, *, error: Reason | None) -> None:
        pass


class Keys:
    """The database: what keys were charged with, and what they may be."""

    def __init__(self, limit: int = 10 * BLOCK_USES) -> None:
        self.limit = limit
        self.uses: dict[KeyName, int] = {ONE: 0, OTHER: 0}
        self.trips = 0

    async def reserve_uses(
        self, wanted: Sequence[tuple[SubjectId, int, int]]
    ) -> tuple[dict[KeyName, int], set[KeyName]]:
        self.trips += 1
        charged, exhausted = {}, set()
        for subject, version, uses in wanted:
            key = (subject, version)
            if key not in self.uses:
                continue
            if self.uses[key] + uses > self.limit:
                exhausted.add(key)
            else:
                self.uses[key] += uses
                charged[key] = self.uses[key]
        return charged, exhausted


def seal_uses(keys: Keys, *, max_entries: int = 100) -> SealUses:
    return SealUses(
        rows=keys, trips=Trips(), name="uses", max_entries=max_entries, max_trip=100, max_queue=100
    )


@given(st.lists(st.integers(1, 3000), max_size=60))
async def test_no_more_is_sealed_than_was_charged(seals: list[int]) -> None:
    keys = Keys(limit=1 << 32)
    uses = seal_uses(keys)
    for number in seals:
        await uses.charge({ONE: number}, rider=None)  # type: ignore[arg-type]
    assert keys.uses[ONE] >= sum(seals)
    assert keys.trips <= len(seals)


@given(st.integers(1, 1 << 20))
def test_blocks_hold_what_is_wanted_and_less_than_one_more(uses: int) -> None:
    assert blocks(uses) % BLOCK_USES == 0
    assert uses <= blocks(uses) < uses + BLOCK_USES


async def test_a_new_key_asks_nobody_for_its_first_block() -> None:
    keys = Keys()
    uses = seal_uses(keys)
    uses.grant(ONE, BLOCK_USES)
    for _ in range(BLOCK_USES):
        await uses.charge({ONE: 1}, rider=None)  # type: ignore[arg-type]
    assert 0 == keys.trips
    await uses.charge({ONE: 1}, rider=None)  # type: ignore[arg-type]
    assert (1, BLOCK_USES) == (keys.trips, keys.uses[ONE])


async def test_an_exhausted_key_stops_its_call_and_no_other() -> None:
    keys = Keys()
    keys.uses[ONE] = keys.limit
    uses = seal_uses(keys)
    with pytest.raises(VaultError) as caught:
        await uses.charge({ONE: 1, OTHER: 1}, rider=None)  # type: ignore[arg-type]
    assert Reason.KEY_EXHAUSTED is caught.value.reason
    await uses.charge({OTHER: 1}, rider=None)  # type: ignore[arg-type]


async def test_a_key_that_is_gone_is_passed_over() -> None:
    keys = Keys()
    gone = (SubjectId(uuid.UUID(int=3)), 1)
    await seal_uses(keys).charge({gone: 1}, rider=None)  # type: ignore[arg-type]
    assert 1 == keys.trips


async def test_a_key_near_its_limit_is_told() -> None:
    keys = Keys(limit=1 << 32)
    keys.uses[ONE] = ALARM_USES - 1
    uses = seal_uses(keys)
    await uses.charge({ONE: 1, OTHER: 1}, rider=None)  # type: ignore[arg-type]
    assert 1 == uses.alarms


def test_the_reserve_that_was_used_longest_ago_goes_first() -> None:
    reserves = Reserves[str](2)
    for name in ("a", "b"):
        reserves.add(name, 2)
    assert reserves.take("a", 1)
    reserves.add("c", 2)
    assert not reserves.take("b", 1)
    assert reserves.take("a", 1)
    assert not reserves.take("a", 1)
    with pytest.raises(ValueError, match="at least 1"):
        Reserves[str](0)
