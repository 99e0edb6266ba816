"""Verifies an archive, or any folder in the layout of C2SP tlog-tiles, offline.

What no fault means: checkpoint, tiles and bundles are, byte by byte, the ones under the root that
the log signed, and nothing of its tree is missing. Downwards from the signed root, so a fault
names the very file. Reads one tile of each level at a time. What it does not mean: as
`vault.audit.verify`.
"""

import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vault.audit.archive_files import (
    CHECKPOINT,
    INDEX_RECORD,
    SUCCESSIONS,
    ArchiveError,
    ArchiveReader,
)
from vault.audit.checkpoint import SignedCheckpoint, open_checkpoint
from vault.audit.entry import leaf_hash
from vault.audit.merkle import HASH_SIZE, root_of
from vault.audit.note import NoteError, VerifierKey
from vault.audit.succession import follow
from vault.audit.tiles import (
    HEIGHT,
    WIDTH,
    Tile,
    TileError,
    edge_tiles,
    parse_path,
    root_of_edge,
    split_hashes,
)

MAX_FAULTS = 100
"""Where it stops looking for more."""
_CACHED_BUNDLES = 512
_INDEX = "index"
_ID = slice(1, 17)
"""Where an entry has its id (docs/formats.md, "audit entry")."""


@dataclass(frozen=True, slots=True)
class ArchiveFault:
    """A file that is not as it must be.

    Attributes:
        path: below the folder.
        first_index: the first leaf concerned; None if no leaf is, or it is not known.
    """

    path: str
    detail: str
    first_index: int | None = None


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What was found.

    Attributes:
        checkpoint: None unless its signature is good.
        entries: that were found good.
        indexed: ids in the months' indexes that lead to their entry.
        missing_bundles: passed over because a part was asked for.
        later: files of leaves behind the checkpoint, as a run that was cut off leaves them;
            nothing vouches for these.
        strangers: files that are no part of an archive; not looked into. At most 20.
    """

    faults: tuple[ArchiveFault, ...]
    checkpoint: SignedCheckpoint | None = None
    entries: int = 0
    indexed: int = 0
    missing_bundles: int = 0
    later: int = 0
    strangers: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        return not self.faults


class _EnoughError(Exception):
    """There are `MAX_FAULTS`."""


def verify_archive(
    root: Path,
    keys: Sequence[VerifierKey],
    *,
    origin: str | None = None,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
    begin: int = 0,
    part: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> ArchiveReport:
    """Verifies a folder.

    Args:
        root: the folder.
        keys: the log's verifier keys.
        origin: the log's name; None: the name of the first key.
        witnesses: witnesses' keys, see `open_checkpoint`.
        quorum: how many witnesses must have cosigned.
        begin: leaves before it are not looked at, nor the tiles above them alone.
        part: whether bundles of entries may be missing.
        progress: called with leaves done and leaves in all.

    Raises:
        ValueError: the keys are of the wrong type.
        OSError: a file can't be read.
    """
    reader = ArchiveReader(root)
    note = reader.checkpoint()
    if note is None:
        return ArchiveReport((ArchiveFault(CHECKPOINT, "is missing"),))
    try:
        origin = origin or keys[0].name
        trusted = follow(keys, reader.successions(), origin=origin)
        signed = open_checkpoint(note, trusted, origin=origin, witnesses=witnesses, quorum=quorum)
    except NoteError as error:
        return ArchiveReport((ArchiveFault(CHECKPOINT, str(error)),))
    walk = _Walk(reader, signed, begin, part, progress)
    return walk.run()


class _Walk:
    def __init__(
        self,
        reader: ArchiveReader,
        signed: SignedCheckpoint,
        begin: int,
        part: bool,
        progress: Callable[[int, int], None],
    ) -> None:
        self._reader = reader
        self._signed = signed
        self._size = signed.checkpoint.size
        self._begin = begin
        self._part = part
        self._progress = progress
        self._faults: list[ArchiveFault] = []
        self._entries = self._missing = self._indexed = self._later = 0
        self._strangers: list[str] = []
        self._ids: OrderedDict[int, list[bytes]] = OrderedDict()

    def run(self) -> ArchiveReport:
        try:
            for tile, data in self._edge():
                self._below(tile, data)
            self._others()
        except _EnoughError:
            pass
        return ArchiveReport(
            tuple(self._faults),
            self._signed,
            self._entries,
            self._indexed,
            self._missing,
            self._later,
            tuple(self._strangers),
        )

    def _fault(self, path: str, detail: str, index: int | None = None) -> None:
        self._faults.append(ArchiveFault(path, detail, index))
        if len(self._faults) >= MAX_FAULTS:
            raise _EnoughError

    def _edge(self) -> list[tuple[Tile, bytes]]:
        """The edge's tiles, the highest first, if they give the signed root."""
        signed_root = self._signed.checkpoint.root
        if not self._size:
            return []  # an empty tree's checkpoint has `EMPTY_ROOT`, or it would not be one
        edge: dict[Tile, bytes] = {}
        paths: dict[Tile, str] = {}
        bad: set[Tile] = set()
        for tile in edge_tiles(self._size):
            paths[tile], data = self._reader.tile(tile)
            edge[tile] = data or b""
            if len(edge[tile]) != tile.width * HASH_SIZE:
                edge[tile] = bytes(tile.width * HASH_SIZE)
                bad.add(tile)
        if bad or root_of_edge(self._size, edge.__getitem__) != signed_root:
            # Which ones? The fewest that, derived from what lies below, give the signed root.
            derived = {tile: data for tile in edge if (data := self._derive(tile)) is not None}
            for count in range(len(derived) + 1):
                for chosen in itertools.combinations(derived, count):
                    mended = edge | {tile: derived[tile] for tile in chosen}
                    if root_of_edge(self._size, mended.__getitem__) == signed_root:
                        self._bad_edge(bad.union(chosen), paths)
                        return sorted(mended.items(), key=lambda pair: -pair[0].level)
            bad |= {tile for tile in derived if derived[tile] != edge[tile]}
            self._bad_edge(bad, paths)
            self._fault(CHECKPOINT, "the tiles give another root than the one that was signed")
            return []
        return sorted(edge.items(), key=lambda pair: -pair[0].level)

    def _bad_edge(self, tiles: set[Tile], paths: dict[Tile, str]) -> None:
        for tile in sorted(tiles):
            detail = "is missing or does not give the signed root"
            self._fault(paths[tile], detail, tile.begin)

    def _derive(self, tile: Tile) -> bytes | None:
        """A tile's hashes from what lies below it; None if that is not whole."""
        if tile.level == 0:
            try:
                entries = self._reader.entries(tile)[1]
            except ArchiveError:
                return None
            return None if entries is None else b"".join(map(leaf_hash, entries))
        roots = []
        for index in range(tile.index * WIDTH, tile.index * WIDTH + tile.width):
            below = Tile(tile.level - 1, index)
            data = self._reader.tile(below)[1]
            if data is None or len(data) != WIDTH * HASH_SIZE:
                return None
            roots.append(root_of(split_hashes(below, data)))
        return b"".join(roots)

    def _below(self, tile: Tile, hashes: bytes) -> None:
        """What lies below a tile whose hashes are proved."""
        if tile.level == 0:
            self._bundle(tile, hashes)
            return
        for at, expected in enumerate(split_hashes(tile, hashes)):
            below = Tile(tile.level - 1, tile.index * WIDTH + at)
            if below.end <= self._begin:
                continue
            path, data = self._reader.tile(below)
            if data is None:
                self._fault(path, "is missing", below.begin)
            elif len(data) != WIDTH * HASH_SIZE or root_of(split_hashes(below, data)) != expected:
                self._fault(path, "does not give the signed hash of this block", below.begin)
            else:
                self._below(below, data)

    def _bundle(self, tile: Tile, hashes: bytes) -> None:
        self._progress(tile.begin - self._begin, self._size - self._begin)
        try:
            path, entries = self._reader.entries(tile)
        except ArchiveError as error:
            self._fault(error.path, "is not a bundle of this many entries", tile.begin)
            return
        if entries is None:
            if self._part:
                self._missing += 1
            else:
                self._fault(path, "is missing", tile.begin)
            return
        derived = b"".join(map(leaf_hash, entries))
        if derived == hashes:
            self._entries += len(entries)
            return
        for at in range(0, len(hashes), HASH_SIZE):
            if derived[at : at + HASH_SIZE] != hashes[at : at + HASH_SIZE]:
                index = tile.begin + at // HASH_SIZE
                self._fault(path, "an entry does not give its leaf hash", index)
                return
            self._entries += 1

    # --- What the tree does not lead to ---------------------------------------------------

    def _others(self) -> None:
        edge = {tile.level: tile for tile in edge_tiles(self._size)}
        for path in _files(self._reader.root, ""):
            if path in (CHECKPOINT, SUCCESSIONS):
                continue
            if path.startswith(f"{_INDEX}/") and not path.rpartition("/")[2].startswith("."):
                self._index(path)
                continue
            try:
                tile, is_bundle = parse_path(path)
            except TileError:
                if len(self._strangers) < 20:  # noqa: PLR2004  enough to see what they are
                    self._strangers.append(path)
                continue
            if tile.end > self._size:
                self._later += 1
            elif not tile.is_full and tile != edge.get(tile.level) and tile.end > self._begin:
                self._old_partial(path, tile, is_bundle)

    def _old_partial(self, path: str, tile: Tile, is_bundle: bool) -> None:
        """A partial tile of an older checkpoint: the beginning of what has become of it."""
        count = min(WIDTH, (self._size >> HEIGHT * tile.level) - tile.index * WIDTH)
        now = Tile(tile.level, tile.index, count)
        if is_bundle:
            try:
                mine = read_entries(self._reader, path, tile)
                theirs = self._reader.entries(now)[1]
            except ArchiveError as error:
                if error.path == path:
                    self._fault(path, "is not a bundle of this many entries", tile.begin)
                return
            if theirs is not None and mine != theirs[: tile.width]:
                self._fault(path, "is not the beginning of the bundle it became", tile.begin)
            return
        data = self._reader.read(path, WIDTH * HASH_SIZE)
        whole = self._reader.tile(now)[1]
        if whole is not None and data != whole[: tile.width * HASH_SIZE]:
            self._fault(path, "is not the beginning of the tile it became", tile.begin)

    def _index(self, path: str) -> None:
        """A month's index: ids in rising order, each leading to its entry."""
        before = b""
        with (self._reader.root / path).open("rb") as file:
            while data := file.read(INDEX_RECORD.size * 4096):
                if len(data) % INDEX_RECORD.size:
                    self._fault(path, "ends in the middle of a record")
                    return
                for entry_id, index in INDEX_RECORD.iter_unpack(data):
                    if entry_id <= before or index >= self._size:
                        self._fault(path, "is not in order, or leads behind the checkpoint")
                        return
                    before = entry_id
                    if index < self._begin:
                        continue
                    found = self._id_at(index)
                    if found is not None and found != entry_id:
                        self._fault(path, "an id does not lead to its entry", index)
                        return
                    self._indexed += found is not None

    def _id_at(self, index: int) -> bytes | None:
        """The id of an entry; None if its bundle is not there, which was said already."""
        block = index // WIDTH
        ids = self._ids.pop(block, None)
        if ids is None:
            tile = Tile(0, block, min(WIDTH, self._size - block * WIDTH))
            try:
                entries = self._reader.entries(tile)[1]
            except ArchiveError:
                entries = None
            ids = [entry[_ID] for entry in entries or ()]
        self._ids[block] = ids
        if len(self._ids) > _CACHED_BUNDLES:
            self._ids.popitem(last=False)
        return ids[index % WIDTH] if ids else None


def read_entries(reader: ArchiveReader, path: str, tile: Tile) -> list[bytes]:
    """The bundle in this very file.

    Raises:
        ArchiveError: it is none.
    """
    entries = reader.entries(tile)
    if entries[0] != path or entries[1] is None:
        raise ArchiveError(path, "is missing")
    return entries[1]


def _files(root: Path, below: str) -> Iterator[str]:
    with os.scandir(root / below) as found:
        for one in found:
            path = f"{below}/{one.name}" if below else one.name
            if one.is_dir(follow_symlinks=False):
                yield from _files(root, path)
            else:
                yield path
