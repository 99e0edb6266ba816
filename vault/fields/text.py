"""Which characters a value may hold, and what counts as one character of it."""

import re
import unicodedata

from vault.fields.faults import Fault, ValueInvalidError

MAX_MARKS = 30
"""Combining marks in a row: the bound of Unicode's Stream-Safe Text Format (UAX #15, 13).

Normalising sorts a run of marks in quadratic time, so the run has to be bounded first.
"""

# Joiners that emoji and some scripts need. Every other format character is invisible,
# or turns the reading direction and so makes a label read other than it is stored.
_JOINERS = "\u200c\u200d"
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NONCHARACTER = 0xFFFE  # and 0xFFFF, the last two of each plane
_ARABIC_NONCHARACTERS = range(0xFDD0, 0xFDF0)
_ASCII_PRINTABLE = range(0x20, 0x7F)
_PLAIN = re.compile(r"[\x20-\x7e\u4e00-\u9fff]*")
"""What most values consist of: nothing in it is ever refused."""


def check_characters(text: str) -> None:
    """Refuse what no value may hold: controls, bidi overrides, lone surrogates, long runs of marks.

    Raises:
        ValueInvalidError: with CHARACTERS.
    """
    if _PLAIN.fullmatch(text):
        return
    marks = 0
    for char in text:
        if ord(char) in _ASCII_PRINTABLE:
            marks = 0
            continue
        category = unicodedata.category(char)
        if category in _REFUSED and char not in _JOINERS:
            raise ValueInvalidError(Fault.CHARACTERS)
        if ord(char) & _NONCHARACTER == _NONCHARACTER or ord(char) in _ARABIC_NONCHARACTERS:
            raise ValueInvalidError(Fault.CHARACTERS)
        marks = marks + 1 if category[0] == "M" else 0
        if marks > MAX_MARKS:
            raise ValueInvalidError(Fault.CHARACTERS)


def is_visible(text: str) -> bool:
    """Whether anything is there to be seen, other than blanks, marks and joiners."""
    categories = map(unicodedata.category, text)
    return any(category[0] not in "MZ" and category != "Cf" for category in categories)


def collapse_blanks(text: str) -> str:
    return " ".join(text.split())


def characters(text: str) -> list[str]:
    """Split into what a reader takes for characters: a mark stays with its letter.

    Marks, joiners and what a joiner joins, and emoji skin tones stay with the
    character before them. An approximation of UAX #29 that never splits too finely
    for the scripts that names are written in.
    """
    found: list[str] = []
    for char in text:
        joined = bool(found) and (
            unicodedata.category(char)[0] == "M"
            or char in _JOINERS
            or "\U0001f3fb" <= char <= "\U0001f3ff"
            or found[-1][-1] == "\u200d"
        )
        if joined:
            found[-1] += char
        else:
            found.append(char)
    return found
