"""A tree taken up from what is stored, and grown by leaves that are derived anew.

Guarantees: nothing enters it but hashes of entries' own bytes, in index order, without a gap; its
root is computed in two ways (compact range, tiles) that must agree. Pure but for `take_up`,
which reads. Leaves to `vault.audit.sequencer` and `vault.audit.patrol`: when, how fast.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from vault.audit.alarms import Alarm, TreeDamageError
from vault.audit.entry import leaf_hash
from vault.audit.merkle import CompactRange, root_of
from vault.audit.tiles import (
    HEIGHT,
    WIDTH,
    Tile,
    TileBuilder,
    TileError,
    edge_tiles,
    split_hashes,
)
from vault.rows import LeafRow, TileRow


class StoredTree(Protocol):
    """Reads what is stored (`vault.store.tree.TreeReader`). Raises VaultError."""

    async def size(self) -> int: ...
    async def leaves(self, start: int, count: int) -> list[LeafRow]: ...
    async def leaf_hashes(self, start: int, end: int) -> list[tuple[int, bytes]]: ...
    async def tiles(self, level: int, start: int, end: int) -> list[TileRow]: ...


class Growth:
    """A tree's right edge."""

    def __init__(self, size: int = 0, edge: dict[Tile, bytes] | None = None) -> None:
        """Takes up a tree.

        Args:
            size: leaves so far.
            edge: the bytes of its `edge_tiles`.

        Raises:
            TileError: the edge does not fit the size.
        """
        hashes = edge or {}
        self._tiles = TileBuilder(size, hashes.__getitem__)
        self._range = CompactRange()
        for tile in reversed(edge_tiles(size)):
            for one in split_hashes(tile, hashes[tile]):
                self._range.append_subtree(HEIGHT * tile.level, one)

    @property
    def size(self) -> int:
        return self._range.size

    def root(self) -> bytes:
        """The root.

        Raises:
            TreeDamageError: tiles and compact range disagree: memory is damaged.
        """
        root = self._range.root()
        if root != self._tiles.root():
            raise TreeDamageError(Alarm.TILE_DAMAGED, self.size)
        return root

    def extend(self, rows: Iterable[LeafRow]) -> list[TileRow]:
        """Adds leaves, each derived anew from its entry's bytes, unless these went to files.

        Returns:
            The tiles that became full.

        Raises:
            TreeDamageError: ENTRY_DAMAGED or LEAF_DAMAGED, at the first one that is. The
                leaves before it were added.
        """
        full: list[tuple[Tile, bytes]] = []
        for row in rows:
            if row.index != self.size:
                raise TreeDamageError(Alarm.LEAF_DAMAGED, self.size)
            if row.is_archived:
                # Nothing to derive it from; the tiles and the signed root still hold it.
                self._range.append(row.leaf_hash)
                full += self._tiles.append(row.leaf_hash)
                continue
            if row.entry is None:
                raise TreeDamageError(Alarm.ENTRY_DAMAGED, row.index)
            derived = leaf_hash(row.entry)
            if derived != row.leaf_hash:
                is_entry = row.leaf_hash == row.entry_leaf_hash
                raise TreeDamageError(
                    Alarm.ENTRY_DAMAGED if is_entry else Alarm.LEAF_DAMAGED, row.index
                )
            if derived != row.entry_leaf_hash:
                raise TreeDamageError(Alarm.ENTRY_DAMAGED, row.index)
            self._range.append(derived)
            full += self._tiles.append(derived)
        return [TileRow(tile.level, tile.index, data) for tile, data in full]


async def take_up(stored: StoredTree, size: int) -> Growth:
    """The tree of the first `size` leaves, from stored tiles and leaves.

    Raises:
        TreeDamageError: a leaf or a tile that it needs is missing.
        VaultError: the database does not answer.
    """
    edge: dict[Tile, bytes] = {}
    for tile in edge_tiles(size):
        first = tile.index * WIDTH
        end = first + tile.width
        if tile.level == 0:
            leaves = await stored.leaf_hashes(first, end)
            if [index for index, _ in leaves] != list(range(first, end)):
                raise TreeDamageError(Alarm.LEAF_DAMAGED, first)
            hashes = [one for _, one in leaves]
        else:
            below = await stored.tiles(tile.level - 1, first, end)
            if [one.index for one in below] != list(range(first, end)):
                raise TreeDamageError(Alarm.TILE_DAMAGED, tile.begin)
            hashes = await asyncio.to_thread(_roots, below)
        edge[tile] = b"".join(hashes)
    try:
        return Growth(size, edge)
    except TileError as error:
        raise TreeDamageError(Alarm.TILE_DAMAGED, size) from error


def _roots(tiles: Sequence[TileRow]) -> list[bytes]:
    """The roots of full tiles; up to 65,280 hashes, so in a thread."""
    return [root_of(split_hashes(Tile(tile.level, tile.index), tile.hashes)) for tile in tiles]


async def check_tiles(stored: StoredTree, tiles: Sequence[TileRow]) -> None:
    """Compares tiles with the stored ones.

    Raises:
        TreeDamageError: one is missing or another.
        VaultError: the database does not answer.
    """
    for tile in tiles:
        if await stored.tiles(tile.level, tile.index, tile.index + 1) != [tile]:
            raise TreeDamageError(Alarm.TILE_DAMAGED, Tile(tile.level, tile.index).begin)
