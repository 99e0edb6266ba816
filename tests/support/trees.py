"""Whole trees, where a test needs all of one."""

from collections.abc import Iterator

from vault.audit.merkle import EMPTY_ROOT, HashSource, build_proof
from vault.audit.tiles import HEIGHT, WIDTH, Tile


def root_at(size: int, source: HashSource) -> bytes:
    """The root of the first `size` leaves, from a hash source."""
    return build_proof([(0, size)], source)[0] if size else EMPTY_ROOT


def all_tiles(size: int) -> Iterator[Tile]:
    """Every tile of a tree, full and partial, level by level from the left."""
    level = 0
    while count := size >> HEIGHT * level:
        for index in range(count // WIDTH):
            yield Tile(level, index)
        if count % WIDTH:
            yield Tile(level, count // WIDTH, count % WIDTH)
        level += 1
