"""What stands on a command line, read strictly. No message repeats what may be personal data."""

import argparse
import datetime as dt
import re

_AGO = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_MONTH = re.compile(r"[1-9][0-9]{3}-(0[1-9]|1[0-2])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MAX_PORT = 65535
_MAX_COUNT = 1_000_000
_MAX_INDEX = (1 << 63) - 1


def port(text: str) -> int:
    return _number(text, 1, _MAX_PORT)


def count(text: str) -> int:
    return _number(text, 1, _MAX_COUNT)


def index(text: str) -> int:
    return _number(text, 0, _MAX_INDEX)


def seconds(text: str) -> float:
    return float(_number(text, 1, 3600))


def moment(text: str) -> dt.datetime:
    """A time with its zone: ISO 8601 (no zone: that of this machine), or `2h`: two hours ago."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return dt.datetime.now(dt.UTC) - dt.timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return dt.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            "a time is like 2026-11-21T08:30:00Z, 2026-11-21, or 2h for two hours ago (s, m, h, d)"
        ) from None


def month(text: str) -> dt.date:
    """`2026-11`, as its first day."""
    if _MONTH.fullmatch(text) is None:
        raise argparse.ArgumentTypeError("a month is like 2026-11")
    return dt.date(int(text[:4]), int(text[5:]), 1)


def field(text: str) -> tuple[str, str]:
    """`FIELD_TYPE=VALUE`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError("a value is given as FIELD_TYPE=VALUE")
    return name, value


def _number(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"a whole number from {low} to {high} belongs here")
    return int(text)
