"""Validators: whether a normalised value is one of its field type. Each raises or returns."""

import datetime as dt
import re
from collections.abc import Callable, Mapping

import phonenumbers
from stdnum import luhn
from stdnum.exceptions import ValidationError
from stdnum.iso7064 import mod_11_2

from vault.fields.faults import Fault, ValueInvalidError
from vault.fields.place_names import ID_REGIONS
from vault.fields.primitive import Parameter, Primitive, is_phone_region

Validator = Callable[[str], None]

MAX_PATTERN_CHARS = 256
"""A field type with a pattern takes no longer value. With two repeats of open
length this bounds a match at 256 squared steps, whatever the pattern."""

_MAX_OPEN_REPEATS = 2
_MAX_CHARS = 10_000
_PATTERN_PART = re.compile(
    r"(?:\[\^?(?:[^\]\[\\^]|\\[\]\[\\^d-])+\]|\\[dDwW.\\+*?()\[\]{}|^$/-]|[^\\.+*?()\[\]{}|^$])"
    r"(?P<repeat>\{[0-9]{1,3}\}|(?P<open>\{[0-9]{1,3},[0-9]{1,3}\}|\?))?"
)
_RESIDENT_ID = re.compile(r"[0-9]{17}[0-9X]")
_ASCII_DIGITS = re.compile(r"[0-9]+")
_MOBILE_CN = re.compile(r"1[3-9][0-9]{9}")
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_MAX_LOCAL_PART = 64  # RFC 5321, 4.5.3.1.1
_OLDEST_YEAR = 1900


def _length(*, min: int, max: int) -> Validator:  # noqa: A002 - the words of the file
    if min > max:
        raise ValueError("min is above max")

    def check(value: str) -> None:
        if not min <= len(value) <= max:
            raise ValueInvalidError(Fault.LENGTH)

    return check


def _pattern(*, match: str) -> Validator:
    check_pattern(match)
    compiled = re.compile(match, re.ASCII)

    def check(value: str) -> None:
        if len(value) > MAX_PATTERN_CHARS or not compiled.fullmatch(value):
            raise ValueInvalidError(Fault.PATTERN)

    return check


def check_pattern(pattern: str) -> None:
    """Refuse what could match slowly: groups, choices, `*`, `+`, and a third open repeat.

    Raises:
        ValueError: with what is wrong.
    """
    position = open_repeats = 0
    while position < len(pattern):
        part = _PATTERN_PART.match(pattern, position)
        if not part:
            raise ValueError(f"not a plain pattern from character {position + 1} on")
        open_repeats += part["open"] is not None
        position = part.end()
    if open_repeats > _MAX_OPEN_REPEATS:
        raise ValueError(f"more than {_MAX_OPEN_REPEATS} repeats of open length")
    try:
        re.compile(pattern, re.ASCII)
    except re.error as error:
        raise ValueError(f"not a pattern: {error.msg}") from None


def _luhn(value: str) -> None:
    """ISO/IEC 7812-1, annex B."""
    if not _ASCII_DIGITS.fullmatch(value):
        raise ValueInvalidError(Fault.CHARACTERS)
    try:
        luhn.validate(value)
    except ValidationError:
        raise ValueInvalidError(Fault.CHECK_DIGIT) from None


def _resident_id(value: str) -> None:
    """GB 11643-1999: region, date of birth, sequence, ISO 7064 MOD 11-2 check digit.

    Of the region code only the province is checked: cards keep the codes of counties
    that no longer exist. Whether the date lies in the future, a caller with a clock asks.
    """
    if len(value) != 18:  # noqa: PLR2004 - the standard
        raise ValueInvalidError(Fault.LENGTH)
    if not _RESIDENT_ID.fullmatch(value):
        raise ValueInvalidError(Fault.CHARACTERS)
    if value[:2] not in ID_REGIONS:
        raise ValueInvalidError(Fault.REGION)
    try:
        born = dt.date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        raise ValueInvalidError(Fault.DATE) from None
    if born.year < _OLDEST_YEAR:
        raise ValueInvalidError(Fault.DATE)
    try:
        mod_11_2.validate(value)
    except ValidationError:
        raise ValueInvalidError(Fault.CHECK_DIGIT) from None


def _mobile_or_phone(*, default_region: str) -> Validator:
    """A number that can be dialled; any mainland mobile, as ranges open faster than lists grow."""
    is_china = default_region == "CN"

    def check(value: str) -> None:
        if is_china and _MOBILE_CN.fullmatch(value):
            return
        try:
            number = phonenumbers.parse(value, default_region)
        except phonenumbers.NumberParseException:
            raise ValueInvalidError(Fault.PHONE) from None
        if not phonenumbers.is_valid_number(number):
            raise ValueInvalidError(Fault.PHONE)

    return check


def _email(value: str) -> None:
    """RFC 5321 dot-atoms, with letters of any script (RFC 6531); no quoted local parts."""
    local, at, domain = value.rpartition("@")
    fits = at and domain and len(local) <= _MAX_LOCAL_PART and _LOCAL_PART.fullmatch(local)
    if not fits:
        raise ValueInvalidError(Fault.EMAIL)


def _date(value: str) -> None:
    try:
        date = dt.date.fromisoformat(value)
    except ValueError:
        raise ValueInvalidError(Fault.DATE) from None
    if date.isoformat() != value:
        raise ValueInvalidError(Fault.DATE)


VALIDATORS: Mapping[str, Primitive[Validator]] = {
    "length": Primitive(
        _length,
        Parameter("min", int, lambda n: 1 <= n <= _MAX_CHARS, f"1 to {_MAX_CHARS}"),
        Parameter("max", int, lambda n: 1 <= n <= _MAX_CHARS, f"1 to {_MAX_CHARS}"),
    ),
    "pattern": Primitive(
        _pattern,
        Parameter("match", str, lambda text: 1 <= len(text) <= 200, "1 to 200 characters"),  # noqa: PLR2004  as it says
    ),
    "luhn": Primitive(lambda: _luhn),
    "resident_id": Primitive(lambda: _resident_id),
    "mobile_or_phone": Primitive(
        _mobile_or_phone, Parameter("default_region", str, is_phone_region)
    ),
    "email": Primitive(lambda: _email),
    "date": Primitive(lambda: _date),
}
