"""What kind of value an attribute may hold: the test behind every allow-list.

Guarantees: a value passes only if it is a number, a member of a set that is closed
before any request arrives, or a fixed-length lower-case hex id. Foreign text
never passes, whatever the key. Pure: no clock, no I/O.
"""

import re
from dataclasses import dataclass
from typing import Protocol

Value = str | int | float | tuple[str, ...]
"""What an attribute can be before it is judged."""

_MAX_TEXT = 512  # characters of operator's text: a path, an address
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that the policy bundle in force defines; nothing a caller sends is in it.

    Attributes:
        purposes: names of purposes.
        policies: the `@id` of each policy.
        tenants: names of tenants.
    """

    purposes: frozenset[str] = frozenset()
    policies: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()


NO_WORDS = Vocabulary()


class Kind(Protocol):
    """One row of an allow-list."""

    def admits(self, value: object, words: Vocabulary, /) -> bool:
        """Whether this value may leave the process."""
        ...


@dataclass(frozen=True, slots=True)
class Count:
    """An integer from 0 to 2^63 - 1. A bool is not one."""

    def admits(self, value: object, _words: Vocabulary, /) -> bool:
        return type(value) is int and 0 <= value < 1 << 63


@dataclass(frozen=True, slots=True)
class Number:
    """A measured quantity: any integer or float."""

    def admits(self, value: object, _words: Vocabulary, /) -> bool:
        return type(value) in (int, float)


@dataclass(frozen=True, slots=True)
class Code:
    """One of a closed set."""

    values: frozenset[str]

    def admits(self, value: object, _words: Vocabulary, /) -> bool:
        return type(value) is str and value in self.values


@dataclass(frozen=True, slots=True)
class HexId:
    """Lower-case hex digits, exactly so many."""

    digits: int

    def admits(self, value: object, _words: Vocabulary, /) -> bool:
        return (
            type(value) is str and len(value) == self.digits and _HEX.fullmatch(value) is not None
        )


@dataclass(frozen=True, slots=True)
class Known:
    """A word of the policy bundle. `family` is an attribute of `Vocabulary`."""

    family: str

    def admits(self, value: object, words: Vocabulary, /) -> bool:
        return type(value) is str and value in getattr(words, self.family)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A tuple of at most `most` values of one kind."""

    kind: Kind
    most: int

    def admits(self, value: object, words: Vocabulary, /) -> bool:
        return (
            type(value) is tuple
            and len(value) <= self.most
            and all(self.kind.admits(one, words) for one in value)
        )


@dataclass(frozen=True, slots=True)
class OperatorText:
    """Text that the operator wrote (a path, an address, a line of a policy file).

    For logs only; callers of the log vouch that no request had a part in it.
    One line without control characters.
    """

    def admits(self, value: object, _words: Vocabulary, /) -> bool:
        return type(value) is str and len(value) <= _MAX_TEXT and value.isprintable()
