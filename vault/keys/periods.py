"""How long a version of a key is to serve: crypto-periods (NIST SP 800-57 part 1 r. 5, 5.3.6).

Pure. The periods in force come from the configuration; what is recommended is here.
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

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

_DAYS = {f"{kind.name.lower()}_days": kind for kind in KeyKind}
_LEAST_DAYS, _MOST_DAYS = 0.0001, 36_500.0


@dataclass(frozen=True, slots=True)
class Periods:
    """The crypto-periods in force.

    Attributes:
        common: for every tenant.
        own: a tenant's own, in place of those.
    """

    common: Mapping[KeyKind, dt.timedelta]
    own: Mapping[str, Mapping[KeyKind, dt.timedelta]] = field(default_factory=dict)

    def of(self, tenant: str, kind: KeyKind) -> dt.timedelta:
        return self.own.get(tenant, {}).get(kind, self.common[kind])

    def shortest(self) -> dt.timedelta:
        own = [period for periods in self.own.values() for period in periods.values()]
        return min([*self.common.values(), *own])


def read_own_periods(document: Mapping[str, object]) -> dict[str, dict[KeyKind, dt.timedelta]]:
    """Tenants' own periods: a table for each tenant with `root_days`, `index_days`…

    Raises:
        ValueError: something else is there. The text names it.
    """
    found: dict[str, dict[KeyKind, dt.timedelta]] = {}
    for tenant, table in document.items():
        if not isinstance(table, dict):
            raise ValueError(f"{tenant}: is no table")  # noqa: TRY004 - the file's fault
        periods = found[tenant] = {}
        for key, days in table.items():
            if key not in _DAYS:
                raise ValueError(f"{tenant}.{key}: is none of {', '.join(_DAYS)}")
            if type(days) not in (int, float) or not _LEAST_DAYS <= days <= _MOST_DAYS:
                raise ValueError(f"{tenant}.{key}: is not {_LEAST_DAYS} to {_MOST_DAYS} days")
            periods[_DAYS[key]] = dt.timedelta(days=days)
    return found


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
