"""Random ids, drawn from the system many at a time.

A draw is a system call, 2 µs on an idle machine and ten times that on a busy one; a call makes an
id for itself and one for each entry. For ids only, which everybody may see: keys and nonces
are drawn one by one (`vault.crypto.aead`).
Guarantees: nobody gets the same bytes twice, from any thread, nor in a forked child.
"""

import os
import uuid
from collections.abc import Callable
from typing import Final

ID_BYTES: Final = 16
_IDS_PER_DRAW: Final = 256
# RFC 9562, section 5.4: version 4 and variant 10.
_KEEP: Final = ~(0xF << 76 | 0x3 << 62)
_VERSION_4: Final = 0x4 << 76 | 0x2 << 62


class RandomIds:
    """A store of random bytes, filled as it runs dry."""

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._drawn: list[bytes] = []
        os.register_at_fork(after_in_child=self._drawn.clear)

    def take(self) -> bytes:
        """16 random bytes."""
        try:
            return self._drawn.pop()  # one step under the interpreter's lock
        except IndexError:
            drawn = self._random(ID_BYTES * _IDS_PER_DRAW)
            self._drawn += [
                drawn[at : at + ID_BYTES] for at in range(ID_BYTES, len(drawn), ID_BYTES)
            ]
            return drawn[:ID_BYTES]

    def uuid4(self) -> uuid.UUID:
        """A random UUID."""
        return uuid.UUID(int=int.from_bytes(self.take()) & _KEEP | _VERSION_4)


RANDOM_IDS: Final = RandomIds()
"""The process's own."""
