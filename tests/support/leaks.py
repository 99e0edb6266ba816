"""Looks for canaries in bytes and files, in every spelling in which a value may leak."""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

_TEXT_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "gb18030")
_LARGE = 64 * 1024 * 1024
_EMPTY_PAGE = bytes(4096)
"""Left out of the search: half of what a database has on the disk."""


def digit_spellings(digits: str, *groups: int) -> list[str]:
    """A number as it is, and with separators between groups of these lengths."""
    parts, at = [], 0
    for length in groups:
        parts.append(digits[at : at + length])
        at += length
    return [digits, *(separator.join(parts) for separator in " -./")] if parts else [digits]


def needles(spellings: Mapping[str, list[str]]) -> dict[bytes, str]:
    """The byte strings to look for; each with what it is, for people.

    Args:
        spellings: name of a canary -> the texts in which it may stand.
    """
    found: dict[bytes, str] = {}
    for name, texts in spellings.items():
        for text in texts:
            for way, data in _ways(text):
                found.setdefault(data, f"{name} ({way})")
    return found


def search(data: bytes, wanted: Mapping[bytes, str]) -> list[str]:
    """What of it stands in `data`."""
    return [name for needle, name in wanted.items() if needle in data]


def search_files(folder: Path, wanted: Mapping[bytes, str]) -> tuple[list[str], int]:
    """What stands in the files below a folder, names of files included; and how many bytes."""
    hits: list[str] = []
    total = 0
    for path in sorted(folder.rglob("*")):
        hits += [f"{path}: {name}" for name in search(str(path).encode(), wanted)]
        if path.is_symlink() or not path.is_file():
            continue
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # a server has just recycled it
            continue
        assert len(data) <= 4 * _LARGE, path
        total += len(data)
        data = data.replace(_EMPTY_PAGE, b"")
        hits += [f"{path}: {name}" for name in search(data, wanted)]
    return hits, total


def _ways(text: str) -> Iterator[tuple[str, bytes]]:
    for encoding in _TEXT_ENCODINGS:
        yield encoding, text.encode(encoding)
    plain = text.encode()
    yield "upper case", text.upper().encode()
    yield "hex", plain.hex().encode()
    yield "HEX", plain.hex().upper().encode()
    yield "hex of utf-16", text.encode("utf-16-le").hex().encode()
    for shift in range(3):
        # What base64 makes of it at each of the three offsets, without the ends that depend on
        # the neighbours.
        coded = base64.b64encode(b"\0" * shift + plain).rstrip(b"=")
        core = coded[(0, 2, 3)[shift] : -2]
        yield f"base64 +{shift}", core
        yield f"base64url +{shift}", core.replace(b"+", b"-").replace(b"/", b"_")
    if not text.isascii():
        yield "JSON", "".join(f"\\u{ord(char):04x}" for char in text).encode()
        yield "octal", b"".join(b"\\%03o" % byte for byte in plain)
        yield "\\x", b"".join(b"\\x%02x" % byte for byte in plain)
        yield "percent", b"".join(b"%%%02X" % byte for byte in plain)
    if text.isdigit():
        yield "int64 le", int(text).to_bytes(8, "little")
        yield "int64 be", int(text).to_bytes(8, "big")
