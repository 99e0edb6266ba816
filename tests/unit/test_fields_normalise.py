"""What people type, and the one form that it becomes."""

import contextlib
import time

import pytest

from tests.support.field_types import shipped
from vault.fields import ValueInvalidError

TYPES = shipped()

GOOD = [
    ("person_name", "  张  三　", "张 三"),
    ("person_name", "e\u0301va", "éva"),
    ("person_name", "\U00031350三", "\U00031350三"),
    ("phone", "13812345678", "13812345678"),
    ("phone", "+86 138 1234 5678", "13812345678"),
    ("phone", "86-13812345678", "13812345678"),
    ("phone", "0086 13812345678", "13812345678"),
    ("phone", "138-1234-5678", "13812345678"),
    ("phone", "１３８１２３４５６７８", "13812345678"),
    ("phone", "010-6552 9988", "01065529988"),
    ("phone", "+86 10 6552 9988", "01065529988"),
    ("phone", "400-812-3123", "4008123123"),
    ("phone", "（0512）6252 1234", "051262521234"),
    ("phone", "+852 9123 4567", "+85291234567"),
    ("phone", "+1 202-555-0123", "+12025550123"),
    ("email", "Zhang.San@EXAMPLE.net", "Zhang.San@example.net"),
    ("email", "张三@例子.中国", "张三@xn--fsqu00a.xn--fiqs8s"),
    ("resident_id", "11010519491231002x", "11010519491231002X"),
    ("resident_id", "１１０１０５ 19491231 002Ｘ", "11010519491231002X"),
    ("bank_card", "6222 0299 2874 1302 379", "6222029928741302379"),
    ("birth_date", "2000-02-29", "2000-02-29"),
    ("birth_date", "20000229", "2000-02-29"),
    ("birth_date", "2000/2/9", "2000-02-09"),
    ("free_text", "放门口 👨‍👩‍👧 谢谢", "放门口 👨‍👩‍👧 谢谢"),
]

BAD = [
    ("person_name", "", "empty"),
    ("person_name", " \u3000 ", "empty"),
    ("person_name", "\u200d\u0301", "empty"),
    ("person_name", "a" * 101, "length"),
    ("person_name", "张\x00三", "characters"),
    ("person_name", "张\n三", "characters"),
    ("person_name", "张\u202e三", "characters"),
    ("person_name", "张\u2066三", "characters"),
    ("person_name", "张\ud800三", "characters"),
    ("person_name", "张\ufeff三", "characters"),
    ("person_name", "张\uffff三", "characters"),
    ("person_name", "e" + "\u0301" * 31, "characters"),
    ("phone", "1381234567", "not a phone number"),
    ("phone", "4778353374", "not a phone number"),
    ("phone", "0861000000000", "not a phone number"),
    ("phone", "٠١٢٣٤٥٦٧٨٩", "not a phone number"),
    ("phone", "13812345678 ext 9", "not a phone number"),
    ("phone", "+++", "not a phone number"),
    ("phone", "-", "not a phone number"),
    ("email", "zhang", "not an e-mail address"),
    ("email", "a b@example.net", "not an e-mail address"),
    ("email", "@example.net", "not an e-mail address"),
    ("email", "a@faß.de", "not an e-mail address"),
    ("email", "a@" + "é" * 200 + ".net", "not an e-mail address"),
    ("email", "a@-x.net", "not an e-mail address"),
    ("email", "a..b@example.net", "not an e-mail address"),
    ("resident_id", "110105194912310021", "check digit"),
    ("resident_id", "11010519491331002X", "not a date"),
    ("resident_id", "99010519491231002X", "region code"),
    ("resident_id", "11010519491231002", "length"),
    ("resident_id", "1101051949123100XX", "characters"),
    ("bank_card", "6222029928741302378", "check digit"),
    ("bank_card", "622202992874130237a", "characters"),
    ("bank_card", "٦٢٢٢٠٢٩٩٢٨٧٤١٣٠٢٣٧٩", "characters"),
    ("bank_card", "0", "length"),
    ("bank_card", "---", "empty"),
    ("birth_date", "2001-02-29", "not a date"),
    ("birth_date", "2001-2-9", "not a date"),
    ("birth_date", "0000-01-01", "not a date"),
    ("birth_date", "2001013", "not a date"),
]


@pytest.mark.parametrize(("name", "raw", "expected"), GOOD)
def test_forms_that_people_type_become_one(name: str, raw: str, expected: str) -> None:
    value = TYPES[name].normalise(raw)

    assert expected == value
    assert value == TYPES[name].normalise(value)


@pytest.mark.parametrize(("name", "raw", "expected"), BAD)
def test_what_is_no_value_is_refused_by_a_fixed_phrase(name: str, raw: str, expected: str) -> None:
    with pytest.raises(ValueInvalidError) as caught:
        TYPES[name].normalise(raw)

    assert expected == caught.value.detail
    assert expected == str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize(
    "filler", ["1", "9-", "a@", "張", "\u0301", "\ufdfa", "١", "😀", "a.", "\x00"]
)
def test_huge_values_are_refused_at_once(name: str, filler: str) -> None:
    for length in (TYPES[name].max_chars, 1_000_000):
        before = time.perf_counter()
        with contextlib.suppress(ValueInvalidError):
            TYPES[name].normalise((filler * length)[:length])
        assert time.perf_counter() - before < 0.5
