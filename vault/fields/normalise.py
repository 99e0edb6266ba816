"""Normalisers: one written form for what people write in many ways.

Each is idempotent. Characters that no value may hold were refused before
(`vault.fields.text`); what is not of the field type at all, the validators refuse.
"""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping

import phonenumbers

from vault.fields.faults import Fault, ValueInvalidError
from vault.fields.primitive import Parameter, Primitive, is_phone_region
from vault.fields.text import collapse_blanks

Normaliser = Callable[[str], str]

# Dashes that people and keyboards put between digits; NFKC turns the full-width ones into "-".
_BLANKS_AND_HYPHENS = re.compile(r"[\s\-\u2010-\u2015\u2212]+")
_PHONE = re.compile(r"\+?[0-9]{3,20}")
_MOBILE_CN = re.compile(r"(?:\+?86|0086)?(1[3-9][0-9]{9})")
_PHONE_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015\u2212().]+")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})-|/([0-9]{1,2})/|([0-9]{2}))([0-9]{1,2})")
_DOMAIN = re.compile(
    r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)


def _text(raw: str) -> str:
    return collapse_blanks(unicodedata.normalize("NFC", raw))


def _digits(raw: str) -> str:
    return _BLANKS_AND_HYPHENS.sub("", unicodedata.normalize("NFKC", raw))


def _upper(raw: str) -> str:
    return unicodedata.normalize("NFC", raw.upper())


def _phone(*, default_region: str) -> Normaliser:
    """Numbers of `default_region` in national digits, as dialled at home; others in E.164."""
    country = phonenumbers.country_code_for_region(default_region)

    def canonical(dialled: str) -> str:
        try:
            number = phonenumbers.parse(dialled, default_region)
        except phonenumbers.NumberParseException:
            raise ValueInvalidError(Fault.PHONE) from None
        if number.country_code != country:
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        return "".join(char for char in national if char.isdigit())

    def normalise(raw: str) -> str:
        dialled = _PHONE_SEPARATORS.sub("", unicodedata.normalize("NFKC", raw))
        if not _PHONE.fullmatch(dialled):
            raise ValueInvalidError(Fault.PHONE)
        mobile = _MOBILE_CN.fullmatch(dialled) if default_region == "CN" else None
        if mobile:
            return mobile[1]
        value = canonical(dialled)
        # Longer than what was dialled: a land line without its leading 0, or, far more
        # often, a mobile that lost a digit. And what reads differently the second time,
        # as digits that begin like a country code do, is no number to be sure of.
        if len(value) > len(dialled) or canonical(value) != value:
            raise ValueInvalidError(Fault.PHONE)
        return value

    return normalise


def _email(raw: str) -> str:
    """The domain in lower case and as A-labels (IDNA); the local part as it is."""
    local, at, domain = unicodedata.normalize("NFC", raw).strip().rpartition("@")
    if not at:
        raise ValueInvalidError(Fault.EMAIL)
    domain = domain.lower()
    if not domain.isascii():
        domain = _a_labels(domain)
    if not _DOMAIN.fullmatch(domain):
        raise ValueInvalidError(Fault.EMAIL)
    return f"{local}@{domain}"


def _a_labels(domain: str) -> str:
    if len(domain) > 253:  # noqa: PLR2004 - RFC 1035; also bounds the codec's time
        raise ValueInvalidError(Fault.EMAIL)
    try:
        ascii_domain = domain.encode("idna")
        # The codec is IDNA 2003 and maps some letters to others (ß to ss), which would
        # be another domain: only what comes back unchanged is taken.
        if ascii_domain.decode("idna") != domain:
            raise ValueInvalidError(Fault.EMAIL)
    except UnicodeError:
        raise ValueInvalidError(Fault.EMAIL) from None
    return ascii_domain.decode("ascii")


def _date(raw: str) -> str:
    """ISO 8601, `YYYY-MM-DD`, from that, `YYYYMMDD` or `YYYY/M/D`."""
    found = _DATE.fullmatch(unicodedata.normalize("NFKC", raw).strip())
    if not found:
        raise ValueInvalidError(Fault.DATE)
    year, dashed, slashed, plain, day = found.groups()
    if len(day) == 1 and not slashed:
        raise ValueInvalidError(Fault.DATE)
    try:
        date = dt.date(int(year), int(dashed or slashed or plain), int(day))
    except ValueError:
        raise ValueInvalidError(Fault.DATE) from None
    return date.isoformat()


NORMALISERS: Mapping[str, Primitive[Normaliser]] = {
    "text": Primitive(lambda: _text),
    "address": Primitive(lambda: _text),
    "digits": Primitive(lambda: _digits),
    "upper": Primitive(lambda: _upper),
    "email": Primitive(lambda: _email),
    "date": Primitive(lambda: _date),
    "phone": Primitive(_phone, Parameter("default_region", str, check=is_phone_region)),
}
