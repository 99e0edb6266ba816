"""Masks a person's name: the surname of a Chinese name stays, initials of others."""

import re
import unicodedata

from vault.fields.text import characters

COMPOUND_SURNAMES = frozenset(
    re.findall(
        "..",
        "欧阳司马上官诸葛东方皇甫尉迟公孙慕容令狐夏侯长孙宇文司徒端木南宫独孤轩辕"
        "闻人申屠太史百里呼延公冶钟离单于澹台淳于濮阳赫连东郭西门拓跋司空鲜于"
        "歐陽司馬諸葛東方尉遲公孫長孫軒轅鍾離單于",
    )
)
_MASK = "*"
# Between the parts of a name: 阿迪力·买买提. The dots that keyboards give for it are kept.
_DOTS = "·•・‧."


def mask_name(name: str) -> str:
    """张三 as 张*, 欧阳娜娜 as 欧阳**, John Smith as J*** S****. One letter alone is hidden."""
    if not _is_han(name[:1]):
        return " ".join(map(_mask_word, name.split(" ")))
    # Whatever follows a Chinese name after a blank is part of it: 张 三.
    split = characters(name)
    is_compound = "".join(split[:2]) in COMPOUND_SURNAMES and len(split) > 2  # noqa: PLR2004  a given name too
    shown = 2 if is_compound else 1
    if len(split) <= shown:
        return _MASK * len(split)
    return "".join(split[:shown]) + _hide("".join(split[shown:]))


def _mask_word(word: str) -> str:
    split = characters(word)
    if len(split) < 2 or not split[0][0].isalpha():  # noqa: PLR2004  just a letter
        return _hide(word)
    return split[0] + _hide("".join(split[1:]))


def _hide(text: str) -> str:
    return "".join(part if part == " " or part in _DOTS else _MASK for part in characters(text))


def _is_han(char: str) -> bool:
    # Newer extensions have no name in this Python's tables; they are all in planes 2 and 3.
    return bool(char) and (
        unicodedata.name(char, "").startswith("CJK") or 0x20000 <= ord(char) < 0x40000  # noqa: PLR2004  CJK
    )
