"""From an address to its province and city, by names on a closed list and nothing else.

Takes addresses of mainland China and the special administrative regions as people write
them: with and without blanks, `省` and `市`, with the province left out, with a
county-level city in place of the city. What it returns is always put together from the list, so no
part of a street can slip through.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vault.fields.place_names import CITIES

_SEPARATORS = re.compile(r"[\s,，、;；:：\-]+")  # noqa: RUF001 - the full-width ones are meant
_COUNTRY = re.compile(r"(?:中国|中华人民共和国)")
_DIRECT = re.compile(r"(?:省|自治区)直辖县级行政(?:区划|单位)|直辖县级")
_PROVINCE_ENDING = re.compile(r"(?:壮族|回族|维吾尔)?自治区|特别行政区|省|市")
_PEOPLES = "朝鲜|土家|苗|藏|羌|彝|布依|侗|哈尼|壮|傣|白|景颇|傈僳|回|蒙古"  # with 族
_CITY_ENDING = re.compile(
    rf"(?:(?:(?:{_PEOPLES})族)+|蒙古|柯尔克孜|哈萨克)自治州\Z|地区\Z|盟\Z|林区\Z|(?:黎族|苗族)*自治县\Z|县\Z"
)
# A place's bare name followed by one of these is a street or a district that is
# named after it, such as 南京东路 or 朝阳区.
_NAMESAKE = re.compile(r"[东南西北中大新一二三四五]?(?:路|街|道|巷|里|村|镇|乡|区|县|大厦|广场)")


@dataclass(frozen=True, slots=True)
class _Names:
    """Names to the city each stands for; `short` ones lack their ending."""

    whole: Mapping[str, str]
    short: Mapping[str, str]


def _read(cities: str) -> _Names:
    whole: dict[str, str] = {}
    short: dict[str, str] = {}
    for entry in cities.split():
        name, _, counties = entry.partition(":")
        stem = _CITY_ENDING.sub("", name)
        city = name if stem != name else f"{name}市"
        whole[city] = city
        short[stem] = city
        if city.endswith("自治州"):
            whole[f"{stem}州"] = city
        for county in counties.split(",") if counties else ():
            whole.setdefault(f"{county}市", city)
    return _Names(whole, short)


_PROVINCES: Mapping[str, _Names] = {name: _read(cities) for name, cities in CITIES.items()}
_SHORT_PROVINCES: Mapping[str, str] = {_PROVINCE_ENDING.sub("", name): name for name in CITIES}


def _everywhere() -> Mapping[str, tuple[str, str]]:
    """Every whole name that only one province has, to its province and city."""
    found: dict[str, list[tuple[str, str]]] = {}
    for province, names in _PROVINCES.items():
        for name, city in names.whole.items():
            found.setdefault(name, []).append((province, city))
    return {name: places[0] for name, places in found.items() if len(places) == 1}


_EVERYWHERE = _everywhere()
_LONGEST = max(map(len, _EVERYWHERE))


def city_of(address: str) -> str | None:
    """Province and city of an address, such as `江苏省苏州市`; `北京市` for a municipality.

    Returns:
        None where the list does not tell, and where the address says no more than this.
    """
    text = _SEPARATORS.sub("", address)
    country = _COUNTRY.match(text)
    if country:
        text = text[country.end() :]
    for province, rest in _provinces(text):
        if not CITIES[province]:
            # 北京市北京市朝阳区: the second one is where the city would stand.
            return province if rest.removeprefix(province) else None
        direct = _DIRECT.match(rest)
        found = _city(_PROVINCES[province], rest[direct.end() :] if direct else rest)
        if found:
            city, street = found
            return f"{province}{city}" if street else None
    name = _longest(text, _EVERYWHERE)
    if name and text != name:
        return "".join(_EVERYWHERE[name])
    return None


def _provinces(text: str) -> list[tuple[str, str]]:
    """Each way to read a province off the start, with what is left; the fuller name first."""
    whole = _longest(text, CITIES)
    found = [(whole, text.removeprefix(whole))] if whole else []
    short = _longest(text, _SHORT_PROVINCES)
    if short and not _NAMESAKE.match(text, len(short)):
        rest = text.removeprefix(short)
        # 广西自治区, 新疆自治区, 广西省: not the name, but what people write.
        found.append((_SHORT_PROVINCES[short], re.sub(r"\A(?:自治区|省)", "", rest)))
    return found


def _city(names: _Names, text: str) -> tuple[str, str] | None:
    """The city at the start, with what is left."""
    name = _longest(text, names.whole)
    if name:
        return names.whole[name], text.removeprefix(name)
    name = _longest(text, names.short)
    if name and not _NAMESAKE.match(text, len(name)):
        return names.short[name], text.removeprefix(name)
    return None


def _longest(text: str, names: Mapping[str, object]) -> str | None:
    """The longest of the names that the text starts with."""
    for length in range(min(_LONGEST, len(text)), 1, -1):
        if text[:length] in names:
            return text[:length]
    return None
