"""What was really revealed: the log's entries, counted for a leak that is being looked into.

Guarantees: a value counts as revealed if and only if an entry says that Detokenize allowed it;
consumers appear as their random handles only; memory grows with the number of consumers
concerned, not with that of entries. The order of entries does not matter.
Pure: no clock, no input or output. Leaves to others: that the entries are the log's
(`vault.audit.verify`), and that all of them came.
"""

import datetime as dt
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from vault.audit.entry import Entry, ItemParts
from vault.model import Verdict, View

_Key = TypeVar("_Key", bound=Hashable)
_REVEALING = "vault.v1.TokenService/Detokenize"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Leak:
    """What is feared to have leaked; what is given must all hold.

    Attributes:
        callers: identities, whole; None: any.
        tokens: digests of tokens, 32 bytes each; None: any.
        start, end: start <= time < end; None: no bound.
    """

    callers: frozenset[str] | None = None
    tokens: frozenset[bytes] | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def concerns(self, entry: Entry) -> bool:
        """Whether caller and time of an entry fit; its items are another matter."""
        if self.callers is not None and entry.caller not in self.callers:
            return False
        time = moment(entry.time_us)
        return (self.start is None or self.start <= time) and (self.end is None or time < self.end)


@dataclass(slots=True)
class Tally:
    """A count, and when its first and its last were; microseconds since 1970."""

    items: int = 0
    entries: int = 0
    first_us: int = 0
    last_us: int = 0

    def add(self, time_us: int, items: int) -> None:
        self.first_us = min(self.first_us, time_us) if self.entries else time_us
        self.last_us = max(self.last_us, time_us)
        self.items += items
        self.entries += 1


@dataclass(slots=True)
class _Consumer(Tally):
    """`seen` has a bit for each field type and view, numbered by `Exposure._kinds`."""

    seen: int = 0


Kind = tuple[str, View]
"""A field type, and the view in which it was revealed."""


@dataclass(slots=True)
class Exposure:
    """The counts. Give it every entry; then read it.

    Attributes:
        read: entries that were looked at.
        revealed: all values that were revealed.
        kinds: by field type and view.
        callers: by who called. purposes: by what for. days: by date (UTC).
        refused: items that were not revealed, by caller, verdict, reason and field type ("" if
            it was never known).
        refused_calls: calls that ended before any item was known, by caller, RPC and reason.
    """

    leak: Leak
    read: int = 0
    revealed: Tally = field(default_factory=Tally)
    kinds: dict[Kind, Tally] = field(default_factory=dict)
    callers: dict[str, Tally] = field(default_factory=dict)
    purposes: dict[str, Tally] = field(default_factory=dict)
    days: dict[dt.date, Tally] = field(default_factory=dict)
    refused: dict[tuple[str, str, str, str], Tally] = field(default_factory=dict)
    refused_calls: dict[tuple[str, str, str], Tally] = field(default_factory=dict)
    _numbers: dict[Kind, int] = field(default_factory=dict, repr=False)
    _consumers: dict[bytes, _Consumer] = field(default_factory=dict, repr=False)
    _tokens_seen: set[bytes] = field(default_factory=set, repr=False)

    def add(self, entry: Entry) -> None:
        """Counts one entry."""
        self.read += 1
        if not self.leak.concerns(entry):
            return
        if not entry.items:
            if entry.verdict is not Verdict.ALLOWED and self.leak.tokens is None:
                call = (entry.caller, entry.rpc, entry.reason.name)
                _tally(self.refused_calls, call).add(entry.time_us, 0)
            return
        if entry.rpc != _REVEALING:
            return
        items = [each for each in entry.items if self._is_of_leak(each)]
        shown = [each for each in items if each.verdict is Verdict.ALLOWED]
        if shown:
            self._reveal(entry, shown)
        for item in items:
            if item.verdict is not Verdict.ALLOWED:
                key = (entry.caller, item.verdict.name, item.reason.name, item.field_type)
                _tally(self.refused, key).add(entry.time_us, 1)

    @property
    def consumers(self) -> int:
        """How many consumers had something revealed."""
        return len(self._consumers)

    @property
    def data(self) -> int:
        """Consumers times field types: how many different pieces of data, views apart."""
        groups: dict[str, int] = {}
        for (field_type, _), number in self._numbers.items():
            groups[field_type] = groups.get(field_type, 0) | 1 << number
        return sum(
            bool(each.seen & mask) for each in self._consumers.values() for mask in groups.values()
        )

    @property
    def tokens_revealed(self) -> int:
        """How many of the listed tokens were revealed at least once."""
        return len(self._tokens_seen)

    def consumers_of(self, *kinds: Kind) -> int:
        """How many consumers had at least one of these revealed."""
        mask = sum(1 << self._numbers[kind] for kind in set(kinds) if kind in self._numbers)
        return sum(bool(each.seen & mask) for each in self._consumers.values())

    def by_consumer(self) -> Iterator[tuple[str, Tally, list[Kind]]]:
        """Handle (32 hex digits), counts and what was revealed, by handle."""
        order = sorted(self._numbers, key=lambda kind: (kind[0], kind[1]))
        for handle in sorted(self._consumers):
            each = self._consumers[handle]
            yield handle.hex(), each, [k for k in order if each.seen >> self._numbers[k] & 1]

    def _is_of_leak(self, item: ItemParts) -> bool:
        return self.leak.tokens is None or item.token_digest in self.leak.tokens

    def _reveal(self, entry: Entry, items: list[ItemParts]) -> None:
        time_us = entry.time_us
        seen = 0
        counts: dict[Kind, int] = {}
        for item in items:
            kind = (item.field_type, item.view)
            counts[kind] = counts.get(kind, 0) + 1
            seen |= 1 << self._numbers.setdefault(kind, len(self._numbers))
            if self.leak.tokens is not None:
                self._tokens_seen.add(item.token_digest)
        for kind, count in counts.items():
            _tally(self.kinds, kind).add(time_us, count)
        self.revealed.add(time_us, len(items))
        _tally(self.callers, entry.caller).add(time_us, len(items))
        _tally(self.purposes, entry.purpose).add(time_us, len(items))
        _tally(self.days, moment(time_us).date()).add(time_us, len(items))
        if entry.subject_id is not None:
            consumer = self._consumers.setdefault(entry.subject_id.bytes, _Consumer())
            consumer.add(time_us, len(items))
            consumer.seen |= seen


def moment(time_us: int) -> dt.datetime:
    """Microseconds since 1970 as a time, UTC."""
    return _EPOCH + dt.timedelta(microseconds=time_us)


def _tally(into: dict[_Key, Tally], key: _Key) -> Tally:
    return into.setdefault(key, Tally())
