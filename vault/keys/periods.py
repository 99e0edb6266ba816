"""How long a version of a key is to serve: crypto-periods (NIST SP 800-57 part 1 r. 5, 5.3.6).

Pure. The periods in force come from the configuration; what is recommended is here.
"""

import datetime as dt
import enum
from dataclasses import dataclass

_YEAR = dt.timedelta(days=365)


class KeyKind(enum.IntEnum):
    """The kinds of keys; numbers as in `vault.v1.KeyKind`."""

    ROOT = 1
    INDEX = 2
    SIGNING = 3
    SUBJECT = 4


RECOMMENDED = {
    # Root keys derive the key that wraps: table 1, 9, "symmetric master key", about a year.
    KeyKind.ROOT: _YEAR,
    # An index key authenticates: table 1, 3, "symmetric authentication key", at most two years.
    KeyKind.INDEX: 2 * _YEAR,
    # Table 1, 1, "private signature key", one to three years.
    KeyKind.SIGNING: 3 * _YEAR,
    # Table 1, 6, "symmetric data encryption key": two years of use, three more for reading.
    KeyKind.SUBJECT: 5 * _YEAR,
}
"""The longest that the standard suggests."""


@dataclass(frozen=True, slots=True)
class Due:
    """When a key's newest version has served its time."""

    at: dt.datetime
    seconds: float
    """Left until then; negative when it is over."""

    @property
    def is_over(self) -> bool:
        return self.seconds <= 0


def due(made_at: dt.datetime, period: dt.timedelta, now: dt.datetime) -> Due:
    """When a version made then is due."""
    at = made_at + period
    return Due(at, (at - now).total_seconds())


def is_longer_than_recommended(kind: KeyKind, period: dt.timedelta) -> bool:
    return period > RECOMMENDED[kind]
