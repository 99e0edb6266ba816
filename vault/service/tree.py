"""The tree's hashes for proofs and exports: fetched in few trips, then used without waiting."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from vault.audit.merkle import HASH_SIZE, HashSource, Node, root_of
from vault.audit.tiles import WIDTH, Tile, edge_tiles, node_tile, split_hashes, tile_source
from vault.errors import Reason, VaultError
from vault.rows import TileRow


class TileStore(Protocol):
    """Full tiles and leaf hashes as they lie in the store."""

    async def tiles(self, level: int, start: int, end: int) -> list[TileRow]: ...
    async def leaf_hashes(self, start: int, end: int) -> list[tuple[int, bytes]]: ...


class TreeHashes:
    """Fetches tiles of a tree of some size."""

    def __init__(self, store: TileStore) -> None:
        self._store = store

    async def source(self, nodes: Iterable[Node], size: int) -> HashSource:
        """A hash source for these nodes of the tree of `size`.

        Raises:
            VaultError: the store failed, or (DATA_CORRUPT) a part of the tree is missing.
        """
        wanted = {node_tile(level, index, size)[0] for level, index in nodes}
        fetched = {tile: await self.tile(tile) for tile in wanted}
        return tile_source(fetched.__getitem__, size)

    async def edge(self, size: int) -> list[bytes]:
        """The partial tiles of the tree of `size`, level 0 first.

        Raises:
            VaultError: as `source`.
        """
        return [await self.tile(tile) for tile in edge_tiles(size)]

    async def tile(self, tile: Tile) -> bytes:
        """One tile's hashes, full or partial.

        Raises:
            VaultError: as `source`.
        """
        if tile.is_full:
            rows = await self._store.tiles(tile.level, tile.index, tile.index + 1)
            if rows:
                return rows[0].hashes
        if tile.level == 0:
            begin = tile.index * WIDTH
            leaves = await self._store.leaf_hashes(begin, begin + tile.width)
            return _joined([hash_ for _, hash_ in leaves], tile)
        # The hashes of a higher level are the roots of the full tiles below.
        first = tile.index * WIDTH
        below = await self._store.tiles(tile.level - 1, first, first + tile.width)
        whole = Tile(tile.level - 1, first)
        return _joined([root_of(split_hashes(whole, row.hashes)) for row in below], tile)


def _joined(hashes: Sequence[bytes], tile: Tile) -> bytes:
    data = b"".join(hashes)
    if len(data) != tile.width * HASH_SIZE:
        raise VaultError(Reason.DATA_CORRUPT, "a part of the audit log's tree is missing")
    return data
