"""Sections of a configuration as typed, documented data.

A section is a frozen dataclass whose fields are `Annotated` with a `Setting`. This
module reads a TOML table into one, strictly, and renders the reference from the same
declarations. What the settings mean together is for `vault.config`.

No fault text holds a value: somebody may have put a secret where a path belongs.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vault.errors import Violation

MAX_TEXT_CHARS = 4096
_Section = TypeVar("_Section")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a section says about one key.

    Attributes:
        text: what it is for, for the reference.
        unit: of a number.
        low: smallest permitted number. Every number has a range.
        high: largest permitted number.
        pattern: what a text must match, whole.
        form: the pattern in words.
        choices: the permitted texts, when they are few.
    """

    text: str
    unit: str = ""
    low: float = 0
    high: float = 0
    pattern: str = ""
    form: str = ""
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        if self.choices:
            return ", ".join(self.choices)
        if self.high:
            return f"{self.low:,} to {self.high:,}"
        return self.form


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section: its name, type, declaration and default."""

    name: str
    kind: type
    is_optional: bool
    setting: Setting
    default: Any

    @property
    def is_required(self) -> bool:
        return self.default is dataclasses.MISSING


def keys_of(section: type) -> Iterator[Key]:
    """The keys of a section, in the order of its declaration."""
    hints = typing.get_type_hints(section, include_extras=True)
    for declared in dataclasses.fields(section):
        kind, setting = typing.get_args(hints[declared.name])
        is_optional = isinstance(kind, types.UnionType)
        if is_optional:
            kind = next(one for one in typing.get_args(kind) if one is not types.NoneType)
        yield Key(declared.name, kind, is_optional, setting, declared.default)


def read_section(
    section: type[_Section], table: object, *, name: str, folder: Path
) -> tuple[_Section | None, list[Violation]]:
    """Read one table.

    Args:
        section: the dataclass.
        table: what the file holds for it.
        name: of the section, for fault texts.
        folder: where relative paths start.

    Returns:
        The section and no faults, or None and every fault.
    """
    if not isinstance(table, dict):
        return None, [Violation(name, "must be a table")]
    keys = {key.name: key for key in keys_of(section)}
    faults = [
        Violation(f"{name}.{quote(unknown)}", "is not a known key")
        for unknown in table
        if unknown not in keys
    ]
    values: dict[str, object] = {}
    for key in keys.values():
        if key.name not in table:
            if key.is_required:
                faults.append(Violation(f"{name}.{key.name}", "is missing"))
            continue
        value = _convert(key, table[key.name], folder)
        if isinstance(value, _Wrong):
            faults.append(Violation(f"{name}.{key.name}", value.text))
        else:
            values[key.name] = value
    return (None, faults) if faults else (section(**values), [])


def quote(name: str) -> str:
    """A key from the file, fit for one line of a log."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) else ascii(name[:64])


@dataclass(frozen=True, slots=True)
class _Wrong:
    text: str


def _convert(key: Key, value: object, folder: Path) -> object:
    setting = key.setting
    if key.kind is bool:
        return value if isinstance(value, bool) else _Wrong("must be true or false")
    if key.kind in {int, float}:
        permitted = (int, float) if key.kind is float else (int,)
        # A range check also refuses NaN, which TOML can write.
        if (
            isinstance(value, bool)
            or not isinstance(value, permitted)
            or not setting.low <= value <= setting.high
        ):
            whole = "a whole number" if key.kind is int else "a number"
            unit = f" ({setting.unit})" if setting.unit else ""
            return _Wrong(f"must be {whole}{unit} from {setting.range}")
        return key.kind(value)
    if (
        not isinstance(value, str)
        or not value.isprintable()
        or not 0 < len(value) <= MAX_TEXT_CHARS
    ):
        return _Wrong("must be a text of printable characters, not empty")
    if key.kind is Path:
        return folder / value
    if setting.choices and value not in setting.choices:
        return _Wrong(f"must be one of {setting.range}")
    if setting.pattern and not re.fullmatch(setting.pattern, value, re.ASCII):
        return _Wrong(f"must be {setting.form}")
    return value


def reference(sections: Mapping[str, type]) -> str:
    """The tables of the configuration reference, in Markdown."""
    parts = []
    for name, section in sections.items():
        parts.append(f"## [{name}]\n\n{(section.__doc__ or '').strip()}\n")
        parts.append("| Key | Type | Default | Range | Meaning |\n|---|---|---|---|---|")
        parts += [_row(key) for key in keys_of(section)]
        parts.append("")
    return "\n".join(parts)


def _row(key: Key) -> str:
    kind = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
    unit = f", {key.setting.unit}" if key.setting.unit else ""
    if key.is_required:
        default = "**required**"
    elif key.default is None:
        default = "none"
    elif isinstance(key.default, bool):
        default = f"`{str(key.default).lower()}`"
    elif isinstance(key.default, str):
        default = f'`"{key.default}"`'
    else:
        # Digits in groups, as TOML writes them, where they help.
        is_long = key.default >= 10_000  # noqa: PLR2004  digits worth grouping
        default = f"`{key.default:_}`" if is_long else f"`{key.default}`"
    cells = (f"`{key.name}`", kind[key.kind] + unit, default, key.setting.range, key.setting.text)
    return "| " + " | ".join(cells) + " |"
