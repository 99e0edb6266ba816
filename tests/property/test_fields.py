"""For any text at all: one form, closed faults, and no lower view that says everything."""

import contextlib
import datetime as dt
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.iso7064 import mod_11_2

from tests.support.field_types import shipped
from vault.fields import Fault, ValueInvalidError, ViewUnavailableError
from vault.fields.place_names import CITIES
from vault.fields.places import city_of
from vault.fields.validate import check_pattern
from vault.fields.views import RENDERERS
from vault.model import View

TYPES = shipped()
DATES = st.dates(min_value=dt.date(1900, 1, 1), max_value=dt.date(2100, 1, 1))
HOSTILE = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from(
            "*@.+-0５٣張欧阳省市县北京江苏苏州\x00\u202e\ud800\u0301\u200d\ufdfa👩🏽 \u3000"
        ),
    ),
    max_size=60,
)
DIGITS = st.text("0123456789", min_size=12, max_size=12)
VALID = {
    "person_name": HOSTILE,
    "phone": st.one_of(
        st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True),
        st.from_regex(r"\+(86|852|1|44|81|49|39|354|65)[0-9]{6,11}", fullmatch=True),
        st.from_regex(r"0[1-9][0-9]{8,11}", fullmatch=True),
    ),
    "postal_address": st.builds(
        "{}{}{}".format,
        st.sampled_from(sorted(CITIES)),
        st.sampled_from(["", "苏州市", "昆山"]),
        HOSTILE,
    ),
    "resident_id": st.builds(
        lambda born, rest: (
            (body := f"320508{born:%Y%m%d}{rest:03}") + mod_11_2.calc_check_digit(body)
        ),
        DATES,
        st.integers(0, 999),
    ),
    "bank_card": DIGITS.map(lambda body: body + luhn.calc_check_digit(body)),
    "email": st.from_regex(r"[a-z*.]{1,20}@[a-z*]{1,9}\.(com|net)", fullmatch=True),
    "birth_date": DATES.map(dt.date.isoformat),
    "free_text": HOSTILE,
}


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
def test_any_text_is_normalised_for_good_or_refused(name: str, data: st.DataObject) -> None:
    field_type = TYPES[name]
    raw = data.draw(st.one_of(HOSTILE, VALID[name]))

    try:
        value = field_type.normalise(raw)
    except ValueInvalidError as error:
        Fault(error.detail)
        return

    assert value == field_type.normalise(value)
    assert 0 < len(value) <= field_type.max_chars
    value.encode("utf-8")


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data(), today=DATES)
def test_no_lower_view_holds_the_value(name: str, data: st.DataObject, today: dt.date) -> None:
    field_type = TYPES[name]
    raw = data.draw(VALID[name])
    value = raw
    with contextlib.suppress(ValueInvalidError):
        value = field_type.normalise(raw)

    for view in field_type.views:
        try:
            shown = field_type.render(value, view, today=today)
        except ViewUnavailableError:
            assert view is not View.FULL
            continue
        assert (view is View.FULL) == (value in shown)


@pytest.mark.parametrize("name", sorted(RENDERERS))
@given(value=HOSTILE, today=DATES)
def test_every_rendering_takes_any_text(name: str, value: str, today: dt.date) -> None:
    given_parameters = {"keep_first": 1, "keep_last": 1, "mask": "*"} if name == "masked" else {}
    render = RENDERERS[name].make(**given_parameters)

    with contextlib.suppress(ViewUnavailableError):
        assert isinstance(render(value, today), str)


@given(raw=VALID["phone"])
def test_masked_phone_hides_four_digits_or_more(raw: str) -> None:
    try:
        value = TYPES["phone"].normalise(raw)
    except ValueInvalidError:
        assume(False)
        return

    shown = TYPES["phone"].render(value, View.MASKED, today=dt.date(2026, 3, 1))

    assert shown.count("*") >= 4
    assert len(re.sub(r"[^0-9]", "", value)) - len(re.sub(r"[^0-9]", "", shown)) >= 4


@given(raw=VALID["resident_id"])
def test_coarse_resident_id_tells_neither_day_nor_sex(raw: str) -> None:
    shown = TYPES["resident_id"].render(raw, View.COARSE, today=dt.date(2026, 3, 1))

    assert f"江苏 {raw[6:9]}0-{raw[6:9]}9" == shown


@given(
    head=st.sampled_from(["", "江苏省", "江苏 ", "苏州市", "北京", "内蒙古", "海南", "吉林"]),
    tail=HOSTILE,
)
def test_city_is_from_the_list(head: str, tail: str) -> None:
    shown = city_of(head + tail)

    assert shown is None or any(
        shown == province or shown.startswith(province) for province in CITIES
    )
    assert shown == city_of(head + tail + "某街88号") or shown is None


@given(pattern=st.text("ab[]{}?+*()|\\d-^$.,01239", max_size=20), text=st.text("ab0", max_size=256))
def test_patterns_that_pass_are_quick_to_match(pattern: str, text: str) -> None:
    with contextlib.suppress(ValueError):
        check_pattern(pattern)
        re.compile(pattern, re.ASCII).fullmatch(text)
