"""How often keys may still seal: blocks that were charged to a key ahead, and are used up here.

Guarantees: no key seals more often than it was charged. Blocks are as large as most
subjects ever need, so that a key is charged about once by each process; what a process that
ends has not used is lost to the key.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

BLOCK_USES = 1024
"""Seals in a block. 2^22 blocks make the limit of a key (`vault.keys.limits`)."""

Key = TypeVar("Key", bound=Hashable)


class Reserves(Generic[Key]):
    """What is left of the blocks, for at most `max_entries` keys, those used last."""

    def __init__(self, max_entries: int) -> None:
        if max_entries < 1:
            raise ValueError("max_entries is at least 1")
        self._max_entries = max_entries
        self._left: OrderedDict[Key, int] = OrderedDict()

    def add(self, key: Key, uses: int) -> None:
        """Uses that the key has been charged with."""
        self._left[key] = self._left.pop(key, 0) + uses
        if len(self._left) > self._max_entries:
            self._left.popitem(last=False)

    def take(self, key: Key, uses: int) -> bool:
        """Whether the reserve had them; then they are gone from it."""
        left = self._left.get(key, 0)
        if left < uses:
            return False
        self._left[key] = left - uses
        self._left.move_to_end(key)
        return True


def blocks(uses: int) -> int:
    """The uses of as many whole blocks as hold `uses`."""
    return -(-uses // BLOCK_USES) * BLOCK_USES
