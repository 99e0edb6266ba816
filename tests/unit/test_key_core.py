"""Shares of work, pace, periods and limits of keys."""

import datetime as dt
import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.keys.jobs import PARTS
from vault.keys.limits import ALARM_USES, MOST_USES, is_exhausted, is_near_limit
from vault.keys.pace import Pace, batch_rows, seconds_left
from vault.keys.parts import first_id, last_id
from vault.keys.periods import (
    RECOMMENDED,
    KeyKind,
    Periods,
    due,
    is_longer_than_recommended,
    read_own_periods,
)

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


@given(st.uuids())
def test_every_subject_lies_in_one_part(subject_id: uuid.UUID) -> None:
    inside = [part for part in range(PARTS) if first_id(part) <= subject_id <= last_id(part)]

    assert [subject_id.int // 2**122] == inside  # 64 parts: the leading six bits


def test_parts_follow_each_other_without_gaps() -> None:
    assert uuid.UUID(int=0) == first_id(0)
    assert uuid.UUID(int=(1 << 128) - 1) == last_id(PARTS - 1)
    for part in range(PARTS - 1):
        assert last_id(part).int + 1 == first_id(part + 1).int


@pytest.mark.parametrize("part", [-1, PARTS])
def test_there_are_no_other_parts(part: int) -> None:
    with pytest.raises(ValueError, match="0 to 63"):
        first_id(part)


@given(rate=st.integers(0, 1_000_000), workers=st.integers(0, 200), most=st.integers(1, 160))
def test_a_batch_is_never_empty_nor_too_large(rate: int, workers: int, most: int) -> None:
    assert 1 <= batch_rows(rate, workers, most) <= most


def test_a_batch_is_a_fifth_of_a_second() -> None:
    assert 50 == batch_rows(250, 1, 160)
    assert 25 == batch_rows(250, 2, 160)
    assert 160 == batch_rows(0, 2, 160)


@given(
    share=st.floats(1, 10_000),
    batches=st.lists(st.tuples(st.integers(1, 160), st.floats(0, 0.5)), min_size=5, max_size=60),
)
def test_a_process_keeps_to_its_share(share: float, batches: list[tuple[int, float]]) -> None:
    """Whatever a batch takes, over their time no more rows are moved than the share allows."""
    now, pace, moved = 100.0, Pace(100.0), 0
    for rows, seconds in batches:
        now += pace.wait(now)
        began = now
        now += seconds
        pace = pace.after(rows, began=began, now=now, share=share)
        moved += rows
    now += pace.wait(now)
    most = max(rows for rows, _ in batches)
    assert moved <= (now - 100.0) * share + most + 1e-6 * moved


def test_pace_measures_with_its_pauses() -> None:
    """A fast batch at 100 rows a second is 100 rows a second."""
    pace = Pace(0.0)
    for number in range(50):
        began = max(pace.next_at, float(number) / 10)
        pace = pace.after(10, began=began, now=began + 0.001, share=100.0)
    assert math.isclose(100, pace.rate, rel_tol=0.05)


def test_time_left() -> None:
    assert 11 == seconds_left(101, 10.0)
    assert 0 == seconds_left(0, 10.0)
    assert 0 == seconds_left(10, 0.0)


def test_a_key_is_due_when_its_period_is_over() -> None:
    made_at = NOW - dt.timedelta(days=365)

    assert due(made_at, dt.timedelta(days=365), NOW).is_over
    assert not due(made_at, dt.timedelta(days=366), NOW).is_over
    assert 86_400 == due(made_at, dt.timedelta(days=366), NOW).seconds


@pytest.mark.parametrize("kind", KeyKind)
def test_what_the_standard_suggests(kind: KeyKind) -> None:
    assert not is_longer_than_recommended(kind, RECOMMENDED[kind])
    assert is_longer_than_recommended(kind, RECOMMENDED[kind] + dt.timedelta(days=1))


def test_a_tenant_may_have_its_own_periods() -> None:
    common = dict.fromkeys(KeyKind, dt.timedelta(days=365))
    periods = Periods(common, read_own_periods({"demo-shop": {"root_days": 90, "index_days": 0.5}}))

    assert dt.timedelta(days=90) == periods.of("demo-shop", KeyKind.ROOT)
    assert dt.timedelta(days=365) == periods.of("demo-shop", KeyKind.SIGNING)
    assert dt.timedelta(days=365) == periods.of("other-shop", KeyKind.ROOT)
    assert dt.timedelta(hours=12) == periods.shortest()


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"demo-shop": 90}, "demo-shop: is no table"),
        ({"demo-shop": {"roots_days": 90}}, "demo-shop.roots_days: is none of root_days"),
        ({"demo-shop": {"root_days": 0}}, "demo-shop.root_days: is not"),
        ({"demo-shop": {"root_days": True}}, "demo-shop.root_days: is not"),
        ({"demo-shop": {"root_days": "90"}}, "demo-shop.root_days: is not"),
    ],
)
def test_broken_periods_are_refused(document: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_own_periods(document)


def test_limits_of_uses() -> None:
    assert (2**31, 2**32) == (ALARM_USES, MOST_USES)
    assert not is_near_limit(2**31 - 1)
    assert is_near_limit(2**31)
    assert not is_exhausted(2**32 - 1)
    assert is_exhausted(2**32)
