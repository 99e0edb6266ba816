"""Tiles (C2SP tlog-tiles): the tree cut into files of up to 256 hashes, and entry bundles.

A tile of level l holds the roots of subtrees of 256^l leaves each; its own root is one
hash of level l + 1. Full tiles never change, so they are written once. Only
coordinates, paths and bytes: who stores and fetches them is the caller's matter.
"""

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vault.audit.merkle import EMPTY_ROOT, HASH_SIZE, CompactRange, root_of

WIDTH = 256
"""Hashes in a full tile."""
HEIGHT = 8
"""Tree levels that one tile spans."""
FULL = WIDTH * HASH_SIZE
"""Bytes of a full tile."""
MAX_LEVEL = 63
MAX_BUNDLED_ENTRY = (1 << 16) - 1
"""Bytes of an entry in a bundle."""

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/"
    r"(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)
_U16 = struct.Struct(">H")


class TileError(ValueError):
    """A path, a tile or a bundle is not of the form that the specification gives."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile's place.

    Attributes:
        level: 0 to 63; level 0 holds leaf hashes.
        index: within its level, from the left.
        width: hashes in it, 1 to 256.
    """

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        """Raises: TileError: a part is out of range."""
        if not 0 <= self.level <= MAX_LEVEL or self.index < 0 or not 1 <= self.width <= WIDTH:
            raise TileError("no such tile")

    @property
    def is_full(self) -> bool:
        return self.width == WIDTH

    @property
    def begin(self) -> int:
        """The index of the first leaf under the tile."""
        return self.index << HEIGHT * (self.level + 1)

    @property
    def end(self) -> int:
        """One past the last leaf under the hashes that the tile has."""
        return self.begin + (self.width << HEIGHT * self.level)

    @property
    def path(self) -> str:
        """`tile/L/N` or `tile/L/N.p/W`."""
        return f"tile/{self.level}/{_index_path(self.index)}{self._suffix}"

    @property
    def entries_path(self) -> str:
        """`tile/entries/N[.p/W]`: the bundle of the entries under a tile of level 0.

        Raises:
            TileError: not level 0.
        """
        if self.level:
            raise TileError("only tiles of level 0 have entries")
        return f"tile/entries/{_index_path(self.index)}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return "" if self.is_full else f".p/{self.width}"


def parse_path(path: str) -> tuple[Tile, bool]:
    """Reads `Tile.path` or `Tile.entries_path`, in their one spelling.

    Returns:
        The tile, and whether the path names its entry bundle.

    Raises:
        TileError: anything else.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise TileError("not the path of a tile")
    level, width = match["level"], match["width"]
    entries = level == "entries"
    index = int(match["index"].replace("x", "").replace("/", ""))
    tile = Tile(0 if entries else int(level), index, WIDTH if width is None else int(width))
    if (tile.entries_path if entries else tile.path) != path:
        raise TileError("not the path of a tile in its one spelling")
    return tile, entries


def edge_tiles(size: int) -> list[Tile]:
    """The partial tiles of a tree, level 0 first; levels without one are left out.

    Together they hold one hash for each part of the tree that no full tile above covers,
    so its root follows from them (`root_of_edge`).
    """
    tiles = []
    level = 0
    while size >> HEIGHT * level:
        count = size >> HEIGHT * level
        if count % WIDTH:
            tiles.append(Tile(level, count // WIDTH, count % WIDTH))
        level += 1
    return tiles


def node_tile(level: int, index: int, size: int) -> tuple[Tile, int, int]:
    """Where a perfect node's hash comes from.

    Args:
        level: of the node, in the binary tree.
        index: of the node within its level.
        size: of the tree; the node must be inside.

    Returns:
        A tile of that tree and the range [first, last) of its hashes whose root the node is.

    Raises:
        TileError: the tree has no such node.
    """
    if level < 0 or index < 0 or (index + 1) << level > size:
        raise TileError("no such node in the tree")
    tile_level, rise = divmod(level, HEIGHT)
    first = index << rise
    count = size >> HEIGHT * tile_level
    at = first // WIDTH
    tile = Tile(tile_level, at, min(WIDTH, count - at * WIDTH))
    return tile, first % WIDTH, first % WIDTH + (1 << rise)


def tile_source(fetch: Callable[[Tile], bytes], size: int) -> Callable[[int, int], bytes]:
    """A hash source (`vault.audit.merkle.HashSource`) that reads tiles of a tree of `size`.

    Raises:
        TileError: from the source: no such node, or `fetch` gave a tile of another length.
    """

    def source(level: int, index: int) -> bytes:
        tile, first, last = node_tile(level, index, size)
        return root_of(split_hashes(tile, fetch(tile))[first:last])

    return source


def split_hashes(tile: Tile, data: bytes) -> list[bytes]:
    """A tile's bytes as hashes.

    Raises:
        TileError: the length is not that of the tile.
    """
    if len(data) != tile.width * HASH_SIZE:
        raise TileError("the tile's bytes have a wrong length")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def root_of_edge(size: int, hashes: Callable[[Tile], bytes]) -> bytes:
    """The root of a tree from its `edge_tiles` alone.

    Raises:
        TileError: `hashes` gave a tile of another length.
    """
    tree = CompactRange()
    for tile in reversed(edge_tiles(size)):
        for one in split_hashes(tile, hashes(tile)):
            tree.append_subtree(HEIGHT * tile.level, one)
    return tree.root() if size else EMPTY_ROOT


class TileBuilder:
    """Grows a tree in tiles: takes leaf hashes, gives every tile that becomes full.

    Holds the edge only, at most 255 hashes a level.

    Attributes:
        size: leaves so far.
    """

    __slots__ = ("_edge", "size")

    def __init__(self, size: int = 0, hashes: Callable[[Tile], bytes] | None = None) -> None:
        """Takes up a tree of `size` whose `edge_tiles` come from `hashes`.

        Raises:
            TileError: `hashes` gave a tile of another length.
        """
        self.size = size
        self._edge: list[list[bytes]] = []
        for tile in edge_tiles(size):
            if hashes is None:
                raise TileError("a tree that has leaves needs its edge")
            self._level(tile.level).extend(split_hashes(tile, hashes(tile)))

    def append(self, leaf_hash: bytes) -> list[tuple[Tile, bytes]]:
        """Adds a leaf; the tiles that are full by it, with their bytes, lowest level first.

        Raises:
            TileError: not 32 bytes.
        """
        if len(leaf_hash) != HASH_SIZE:
            raise TileError("the leaf hash is not 32 bytes")
        full: list[tuple[Tile, bytes]] = []
        self.size += 1
        level = 0
        one = leaf_hash
        while True:
            hashes = self._level(level)
            hashes.append(one)
            if len(hashes) < WIDTH:
                return full
            index = (self.size >> HEIGHT * (level + 1)) - 1
            full.append((Tile(level, index), b"".join(hashes)))
            one = root_of(hashes)
            hashes.clear()
            level += 1

    def edge(self) -> list[tuple[Tile, bytes]]:
        """The partial tiles now, level 0 first."""
        return [(tile, b"".join(self._edge[tile.level])) for tile in edge_tiles(self.size)]

    def root(self) -> bytes:
        return root_of_edge(self.size, lambda tile: b"".join(self._edge[tile.level]))

    def _level(self, level: int) -> list[bytes]:
        while len(self._edge) <= level:
            self._edge.append([])
        return self._edge[level]


def write_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle: each behind its length in 2 bytes, big-endian.

    Raises:
        TileError: more than 256 entries, or one too long for a bundle.
    """
    parts = []
    for entry in entries:
        if len(entry) > MAX_BUNDLED_ENTRY:
            raise TileError("an entry is too long for a bundle")
        parts += [_U16.pack(len(entry)), entry]
    if len(parts) > 2 * WIDTH:
        raise TileError("a bundle has at most 256 entries")
    return b"".join(parts)


def read_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle that must hold `width` of them.

    Raises:
        TileError: another number of entries, or one cut short.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        if at + _U16.size > len(data) or len(entries) == width:
            raise TileError("the bundle has a wrong length")
        (length,) = _U16.unpack_from(data, at)
        at += _U16.size
        if at + length > len(data):
            raise TileError("an entry of the bundle is cut short")
        entries.append(data[at : at + length])
        at += length
    if len(entries) != width:
        raise TileError("the bundle has too few entries")
    return entries


def _index_path(index: int) -> str:
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    return "/".join(reversed(parts))
