"""Views: what a value looks like to those who may not see all of it.

Each takes any text, raises nothing but `ViewUnavailableError`, and reads no clock. That no view but
`full` holds the whole value is asserted once for all, in `vault.fields.field_type`.
"""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping

import phonenumbers

from vault.fields.faults import ViewUnavailableError
from vault.fields.name_mask import mask_name
from vault.fields.place_names import ID_REGIONS
from vault.fields.places import city_of
from vault.fields.primitive import Parameter, Primitive
from vault.fields.text import characters

Renderer = Callable[[str, dt.date], str]

_MASK = "*"
_MOBILE_CN = re.compile(r"1[3-9][0-9]{9}")
_PHONE = re.compile(r"\+?[0-9]{5,20}")
_HIDDEN_DIGITS = 4
_LAST = 4
_SHORT, _MEDIUM = 20, 100
_OLDEST_BAND = 90
_RESIDENT_ID = re.compile(r"[0-9]{17}[0-9X]")


def _full(value: str, _today: dt.date) -> str:
    return value


def _masked(*, keep_first: int, keep_last: int, mask: str) -> Renderer:
    """Keeps both ends; hides all where these would be more than half of the characters."""

    def render(value: str, _today: dt.date) -> str:
        split = characters(value)
        hidden = len(split) - keep_first - keep_last
        if hidden * 2 < len(split) or hidden < 1:
            return mask * len(split)
        return (
            "".join(split[:keep_first]) + mask * hidden + "".join(split[len(split) - keep_last :])
        )

    return render


def _name_mask(value: str, _today: dt.date) -> str:
    return mask_name(value)


def _phone(value: str, _today: dt.date) -> str:
    """138****5678; elsewhere the country code and at most the last four, at least half hidden."""
    if _MOBILE_CN.fullmatch(value):
        return f"{value[:3]}****{value[7:]}"
    if not _PHONE.fullmatch(value):
        raise ViewUnavailableError
    country = ""
    if value.startswith("+"):
        try:
            country = f"+{phonenumbers.parse(value, None).country_code}"
        except phonenumbers.NumberParseException:
            raise ViewUnavailableError from None
    national = value.removeprefix(country)
    hidden = max(_HIDDEN_DIGITS, (len(national) + 1) // 2, len(national) - _LAST)
    return country + _MASK * hidden + national[hidden:]


def _last4(value: str, _today: dt.date) -> str:
    split = characters(value)
    if len(split) < 2 * _LAST:
        raise ViewUnavailableError
    return "".join(split[-_LAST:])


def _city(value: str, _today: dt.date) -> str:
    city = city_of(value)
    if city is None:
        raise ViewUnavailableError
    return city


def _email(value: str, _today: dt.date) -> str:
    """a***@example.net: the length of the local part does not show."""
    local, at, domain = value.rpartition("@")
    if not (local and at and domain):
        raise ViewUnavailableError
    split = characters(local)
    first = split[0] if len(split) > 1 else ""
    return f"{first}***@{domain}"


def _email_domain(value: str, _today: dt.date) -> str:
    local, at, domain = value.rpartition("@")
    if not (local and at and domain):
        raise ViewUnavailableError
    return domain


def _born(value: str) -> dt.date:
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise ViewUnavailableError from None


def _year(value: str, _today: dt.date) -> str:
    return f"{_born(value).year:04}"


def _age_band(value: str, today: dt.date) -> str:
    """Ten years wide, such as 30-39; 90+ for all above, as they are few."""
    born = _born(value)
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    if age < 0:
        raise ViewUnavailableError
    if age >= _OLDEST_BAND:
        return f"{_OLDEST_BAND}+"
    return f"{age // 10 * 10}-{age // 10 * 10 + 9}"


def _region(value: str, _today: dt.date) -> str:
    """Province of a resident ID, such as 江苏."""
    if not _RESIDENT_ID.fullmatch(value) or value[:2] not in ID_REGIONS:
        raise ViewUnavailableError
    return ID_REGIONS[value[:2]]


def _region_birth_decade(value: str, _today: dt.date) -> str:
    """Province and decade of birth of a resident ID, such as 江苏 1980-1989."""
    region = _region(value, _today)
    decade = value[6:9]
    return f"{region} {decade}0-{decade}9"


def _length_class(value: str, _today: dt.date) -> str:
    """One, two or three groups of stars: up to 20 characters, up to 100, more."""
    groups = 1 + (len(value) > _SHORT) + (len(value) > _MEDIUM)
    return " ".join(["****"] * groups)


def _is_mask(text: str) -> bool:
    return len(text) == 1 and unicodedata.category(text)[0] in "PS"


_KEEP = "0 to 32"
RENDERERS: Mapping[str, Primitive[Renderer]] = {
    "full": Primitive(lambda: _full),
    "masked": Primitive(
        _masked,
        Parameter("keep_first", int, lambda n: 0 <= n <= 32, _KEEP),  # noqa: PLR2004  as _KEEP says
        Parameter("keep_last", int, lambda n: 0 <= n <= 32, _KEEP),  # noqa: PLR2004  as _KEEP says
        Parameter("mask", str, _is_mask, "one sign, such as *"),
    ),
    "name_mask": Primitive(lambda: _name_mask),
    "phone": Primitive(lambda: _phone),
    "last4": Primitive(lambda: _last4),
    "city": Primitive(lambda: _city),
    "email": Primitive(lambda: _email),
    "email_domain": Primitive(lambda: _email_domain),
    "year": Primitive(lambda: _year),
    "age_band": Primitive(lambda: _age_band),
    "region": Primitive(lambda: _region),
    "region_birth_decade": Primitive(lambda: _region_birth_decade),
    "length_class": Primitive(lambda: _length_class),
}
