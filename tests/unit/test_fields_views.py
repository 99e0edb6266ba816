"""What those see who may not see all."""

import datetime as dt

import pytest

from tests.support.field_types import load_one, shipped
from vault.fields import ViewUnavailableError
from vault.model import View

TYPES = shipped()
TODAY = dt.date(2026, 3, 1)

SHOWN = [
    ("person_name", View.MASKED, "张三", "张*"),
    ("person_name", View.MASKED, "张", "*"),
    ("person_name", View.MASKED, "欧阳娜娜", "欧阳**"),
    ("person_name", View.MASKED, "欧阳", "欧*"),
    ("person_name", View.MASKED, "张 三", "张 *"),
    ("person_name", View.MASKED, "葛\U000e0100", "*"),
    ("person_name", View.MASKED, "葛\U000e0100城", "葛\U000e0100*"),
    ("person_name", View.MASKED, "阿迪力·买买提", "阿**·***"),
    ("person_name", View.MASKED, "John Smith", "J*** S****"),
    ("person_name", View.MASKED, "J Smith", "* S****"),
    ("person_name", View.MASKED, "e\u0302va", "e\u0302**"),
    ("person_name", View.MASKED, "13812345678", "***********"),
    ("person_name", View.MASKED, "张三13812345678", "张************"),
    ("person_name", View.MASKED, "\U00031350三", "\U00031350*"),
    ("phone", View.MASKED, "13812345678", "138****5678"),
    ("phone", View.MASKED, "01065529988", "*******9988"),
    ("phone", View.MASKED, "+85291234567", "+852****4567"),
    ("phone", View.LAST4, "13812345678", "5678"),
    ("resident_id", View.MASKED, "320508198005061234", "3****************4"),
    ("resident_id", View.COARSE, "320508198005061234", "江苏 1980-1989"),
    ("bank_card", View.MASKED, "6222029928741302379", "6222***********2379"),
    ("bank_card", View.MASKED, "378282246310005", "***************"),
    ("bank_card", View.LAST4, "6222029928741302379", "2379"),
    ("email", View.MASKED, "zhang.san@example.net", "z***@example.net"),
    ("email", View.MASKED, "z@example.net", "***@example.net"),
    ("email", View.COARSE, "zhang.san@example.net", "example.net"),
    ("birth_date", View.MASKED, "1985-03-02", "1985"),
    ("birth_date", View.COARSE, "1986-03-01", "40-49"),
    ("birth_date", View.COARSE, "1986-03-02", "30-39"),
    ("birth_date", View.COARSE, "2024-02-29", "0-9"),
    ("birth_date", View.COARSE, "1901-01-01", "90+"),
    ("free_text", View.MASKED, "放门口", "****"),
    ("free_text", View.MASKED, "放" * 21, "**** ****"),
    ("free_text", View.MASKED, "放" * 101, "**** **** ****"),
    ("postal_address", View.COARSE, "江苏省苏州市姑苏区观前街1号", "江苏省苏州市"),
    ("postal_address", View.COARSE, "江苏省 苏州市 姑苏区 观前街1号", "江苏省苏州市"),
    ("postal_address", View.COARSE, "江苏苏州工业园区1号", "江苏省苏州市"),
    ("postal_address", View.COARSE, "苏州市姑苏区观前街1号", "江苏省苏州市"),
    ("postal_address", View.COARSE, "江苏省昆山市玉山镇1号", "江苏省苏州市"),
    ("postal_address", View.COARSE, "中国，江苏省，南京市，玄武区", "江苏省南京市"),
    ("postal_address", View.COARSE, "北京市朝阳区建国路1号", "北京市"),
    ("postal_address", View.COARSE, "北京朝阳区建国路1号", "北京市"),
    (
        "postal_address",
        View.COARSE,
        "内蒙古自治区 锡林郭勒盟 锡林浩特市 x",
        "内蒙古自治区锡林郭勒盟",
    ),
    ("postal_address", View.COARSE, "广西南宁青秀区", "广西壮族自治区南宁市"),
    ("postal_address", View.COARSE, "吉林市船营区1号", "吉林省吉林市"),
    ("postal_address", View.COARSE, "海南藏族自治州共和县1号", "青海省海南藏族自治州"),
    ("postal_address", View.COARSE, "湖北恩施州利川市1号", "湖北省恩施土家族苗族自治州"),
    ("postal_address", View.COARSE, "新疆阿克苏市1号", "新疆维吾尔自治区阿克苏地区"),
    ("postal_address", View.COARSE, "湖北省省直辖县级行政区划潜江市1号", "湖北省潜江市"),
    ("postal_address", View.COARSE, "香港九龙弥敦道1号", "香港特别行政区"),
]

WITHHELD = [
    ("person_name", View.COARSE, "张三"),
    ("person_name", View.UNSPECIFIED, "张三"),
    ("person_name", View.MASKED, "*"),
    ("person_name", View.MASKED, "张*"),
    ("birth_date", View.COARSE, "2027-01-01"),
    ("birth_date", View.COARSE, "no date"),
    ("phone", View.LAST4, "1234567"),
    ("phone", View.MASKED, "not a phone"),
    ("resident_id", View.COARSE, "not an id"),
    ("email", View.MASKED, "no address"),
    ("postal_address", View.COARSE, "江苏省苏州市"),
    ("postal_address", View.COARSE, "江苏省 苏州市"),
    ("postal_address", View.COARSE, "观前街1号江苏省苏州市"),
    ("postal_address", View.COARSE, "南京东路100号"),
    ("postal_address", View.COARSE, "朝阳区建国路1号"),
    ("postal_address", View.COARSE, "江苏省观前街1号"),
    ("postal_address", View.COARSE, "1 Main Street, Springfield"),
]


@pytest.mark.parametrize(("name", "view", "value", "expected"), SHOWN)
def test_view_shows_its_part(name: str, view: View, value: str, expected: str) -> None:
    assert expected == TYPES[name].render(value, view, today=TODAY)


@pytest.mark.parametrize(("name", "view", "value"), WITHHELD)
def test_view_is_withheld(name: str, view: View, value: str) -> None:
    with pytest.raises(ViewUnavailableError) as caught:
        TYPES[name].render(value, view, today=TODAY)

    assert value not in str(caught.value)


def test_ends_are_hidden_too_where_they_would_be_more_than_half() -> None:
    masked = {"masked": {"keep_first": 2, "keep_last": 2, "mask": "#"}}
    member = load_one(views={"full": "full", "masked": masked})

    assert member.render("abcdefgh", View.MASKED, today=TODAY) == "ab####gh"
    assert member.render("abcdefg", View.MASKED, today=TODAY) == "#######"


def test_full_is_the_value() -> None:
    assert TYPES["person_name"].render("张三", View.FULL, today=TODAY) == "张三"


def test_repr_holds_no_steps() -> None:
    assert "<function" not in repr(TYPES["phone"])
