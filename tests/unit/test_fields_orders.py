"""Whole order exports: each bad cell is found, and nothing else is called bad."""

import datetime as dt
from collections import Counter
from pathlib import Path

import pytest

from tests.support.field_types import shipped
from vault.demo.make_orders import PATH, make_orders
from vault.demo.orders import Order, OrdersFileError, parse_orders, read_orders
from vault.fields import ValueInvalidError, ViewUnavailableError
from vault.model import View

TYPES = shipped()
TODAY = dt.date(2026, 3, 1)
TAOBAO = Path(__file__).parents[3] / "shared" / "data" / "orders_taobao.csv"


def check(orders: list[Order]) -> tuple[Counter[tuple[str, str]], float]:
    """The faults of all cells, and the share of good addresses with a city."""
    faults: Counter[tuple[str, str]] = Counter()
    cities: list[bool] = []
    for order in orders:
        for item in order.fields:
            try:
                value = TYPES[item.field_type].normalise(item.value)
            except ValueInvalidError as error:
                faults[item.field_type, error.detail] += 1
                continue
            if item.field_type == "postal_address":
                try:
                    TYPES["postal_address"].render(value, View.COARSE, today=TODAY)
                except ViewUnavailableError:
                    cities.append(False)
                else:
                    cities.append(True)
    return faults, sum(cities) / len(cities)


@pytest.mark.skipif(not TAOBAO.exists(), reason="the sample export is not on this machine")
def test_export_of_two_thousand_orders() -> None:
    orders = read_orders(TAOBAO)

    faults, with_city = check(orders)

    assert len(orders) == 2000
    assert faults == {
        ("phone", "not a phone number"): 22,
        ("person_name", "empty"): 14,
        ("resident_id", "check digit"): 10,
        ("bank_card", "check digit"): 15,
    }
    assert with_city >= 0.99


def test_demo_has_exactly_six_bad_cells() -> None:
    orders = read_orders(PATH)

    faults, with_city = check(orders)

    assert len(orders) == 300
    assert len({order.subject_ref for order in orders}) == 220
    assert faults == {
        ("phone", "not a phone number"): 2,
        ("resident_id", "check digit"): 2,
        ("bank_card", "check digit"): 1,
        ("person_name", "empty"): 1,
    }
    assert with_city == 1.0


def test_demo_is_what_its_script_makes() -> None:
    assert PATH.read_bytes() == make_orders()


def test_same_orders_in_gb18030() -> None:
    text = PATH.read_text(encoding="utf-8-sig")

    assert parse_orders(PATH.read_bytes()) == parse_orders(text.encode("gb18030"))


def test_repr_holds_no_value() -> None:
    order = read_orders(PATH)[0]

    assert order.subject_ref not in repr(order)
    assert all(item.value not in repr(order) for item in order.fields if item.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:0],
        lambda text: text.replace("联系手机", "电话", 1),
        lambda text: text.replace("联系手机", "买家留言", 1),
        lambda text: text + "1,2,3\n",
        lambda text: text + '"unclosed\n',
        lambda text: text + "," * 13 + "\n",
    ],
)
def test_other_files_are_refused(spoil) -> None:
    with pytest.raises(OrdersFileError):
        parse_orders(spoil(PATH.read_text(encoding="utf-8-sig")).encode())


def test_bytes_of_no_encoding_are_refused() -> None:
    with pytest.raises(OrdersFileError):
        parse_orders(b"\xff\xff\xff")
