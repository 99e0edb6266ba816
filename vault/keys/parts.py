"""The shares of a phase: subject ids split by their leading six bits.

Subject ids are random, so shares are equal. Guarantees: every id lies in exactly one part.
"""

import uuid

from vault.keys.jobs import PARTS

_STEP = (1 << 128) // PARTS


def first_id(part: int) -> uuid.UUID:
    """The lowest id of a part."""
    return uuid.UUID(int=_checked(part) * _STEP)


def last_id(part: int) -> uuid.UUID:
    """The highest id of a part, which belongs to it."""
    return uuid.UUID(int=(_checked(part) + 1) * _STEP - 1)


def _checked(part: int) -> int:
    if not 0 <= part < PARTS:
        raise ValueError(f"a part is 0 to {PARTS - 1}")
    return part
