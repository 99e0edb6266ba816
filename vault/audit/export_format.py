"""The export of the log as JSON Lines: its writer and its strict reader.

docs/formats.md, "export", is the contract. Between the manifest and the last line stand,
in an order that follows from range and size alone (`steps`), the leaves and before
each block of 256 of them the *hash lines* (tiles) that lead from the signed root down
to it. So a reader can check each line as it comes, and name the first bad one.
One spelling per content; no input or output; memory for one line.
"""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from vault.audit.merkle import HASH_SIZE
from vault.audit.note import base64_bytes
from vault.audit.tiles import FULL, WIDTH, Tile, edge_tiles

FORMATS = {1: "pdvault-audit-export/1", 2: "pdvault-audit-export/2"}
"""What a manifest begins with. In version 1 a hidden leaf does not say why it is."""
VERSION = 2
MAX_LINE = 1 << 21
"""Bytes; the longest entry in base64 (`vault.audit.entry.MAX_ENTRY`) and note stay below it."""

_LEAF = re.compile(
    rb'\{"i":(0|[1-9][0-9]{0,18}),"([eh])":"([^"]*)"(?:,"why":"(archive|tenant)")?\}\n'
)
_TILE = re.compile(rb'\{"t":\[(0|[1-9][0-9]?),(0|[1-9][0-9]{0,18})\],"h":"([^"]*)"\}\n')
_END = re.compile(rb'\{"end":(0|[1-9][0-9]{0,18}),"sha256":"([0-9a-f]{64})"\}\n')


class Hidden(StrEnum):
    """Why a leaf is there as its hash only; what the exporter says, nothing proves it."""

    ARCHIVE = "archive"
    """The reader may see it, but its month went to files that the vault could not read."""
    TENANT = "tenant"
    """It is another tenant's."""


class ExportFormatError(ValueError):
    """The line is not one of an export, or not in its one spelling."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The first line: what the export claims to hold.

    Attributes:
        begin: "from", the first leaf.
        end: "until", one past the last leaf.
        checkpoint: the signed note, as text.
        edge: the hashes of the tree's partial tiles, in the order of `edge_tiles(size)`
            for the checkpoint's size.
        consistency: proofs (RFC 9162, 2.1.4.1) from smaller sizes to the checkpoint's.
        version: of the format.
        successions: the chain of the log's keys (`vault.audit.succession`); none in version 1.
    """

    origin: str
    begin: int
    end: int
    checkpoint: str
    edge: tuple[bytes, ...]
    consistency: Mapping[int, tuple[bytes, ...]]
    version: int = VERSION
    successions: tuple[str, ...] = ()

    def line(self) -> bytes:
        document: dict[str, object] = {
            "format": FORMATS[self.version],
            "origin": self.origin,
            "from": self.begin,
            "until": self.end,
            "checkpoint": self.checkpoint,
            "edge": [_b64(hashes) for hashes in self.edge],
        }
        if self.consistency:
            document["consistency"] = [
                {"size": size, "proof": [_b64(one) for one in proof]}
                for size, proof in sorted(self.consistency.items())
            ]
        if self.successions:
            document["successions"] = list(self.successions)
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return text.encode() + b"\n"


@dataclass(frozen=True, slots=True)
class LeafLine:
    """A leaf: its entry, or only its hash where the reader may not see the entry.

    Attributes:
        entry: the entry's bytes; None if hidden.
        hash: 32 bytes as written; None if the entry is there.
        why: it is hidden; None if the entry is there, or in version 1.
    """

    index: int
    entry: bytes | None
    hash: bytes | None
    why: Hidden | None = None

    def line(self) -> bytes:
        if self.entry is not None:
            return b'{"i":%d,"e":"%b"}\n' % (self.index, b64encode(self.entry))
        why = b"" if self.why is None else b',"why":"%b"' % self.why.encode()
        return b'{"i":%d,"h":"%b"%b}\n' % (self.index, b64encode(self.hash or b""), why)


@dataclass(frozen=True, slots=True)
class TileLine:
    """A hash line: a full tile."""

    tile: Tile
    hashes: bytes

    def line(self) -> bytes:
        place = (self.tile.level, self.tile.index, b64encode(self.hashes))
        return b'{"t":[%d,%d],"h":"%b"}\n' % place


@dataclass(frozen=True, slots=True)
class EndLine:
    """The last line.

    Attributes:
        count: leaf lines before it.
        sha256: hex, of all bytes before it.
    """

    count: int
    sha256: str

    def line(self) -> bytes:
        return b'{"end":%d,"sha256":"%b"}\n' % (self.count, self.sha256.encode())


Line = LeafLine | TileLine | EndLine
Step = Tile | range
"""A hash line for this tile, or a line for each of these leaves."""


def steps(begin: int, end: int, size: int) -> Iterator[Step]:
    """What stands between manifest and last line: depth first, from the left.

    Tiles that no leaf of [begin, end) lies under are left out; the hash in the tile above stands
    for them. An empty range has no steps.

    Raises:
        ValueError: not 0 <= begin <= end <= size.
    """
    if not 0 <= begin <= end <= size:
        raise ValueError("the range is not within the tree")
    for tile in reversed(edge_tiles(size)):
        yield from _below(tile, begin, end)


def bounded_lines(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    """The lines of a file that may be hostile, for instance from a binary file's `readline`.

    A line above `MAX_LINE` comes in pieces, none of which is one of an export.
    """
    while line := readline(MAX_LINE + 1):
        yield line


def parse_line(line: bytes) -> Line:
    """Reads any line but the first.

    Raises:
        ExportFormatError: not a line in its one spelling.
    """
    try:
        if match := _LEAF.fullmatch(line):
            index, kind, data = int(match[1]), match[2], base64_bytes(match[3].decode("ascii"))
            why = match[4]
            if kind == b"e" and why is None:
                return LeafLine(index, data, None)
            if kind == b"h" and len(data) == HASH_SIZE:
                return LeafLine(index, None, data, None if why is None else Hidden(why.decode()))
        elif match := _TILE.fullmatch(line):
            hashes = base64_bytes(match[3].decode("ascii"))
            if len(hashes) == FULL:
                return TileLine(Tile(int(match[1]), int(match[2])), hashes)
        elif match := _END.fullmatch(line):
            return EndLine(int(match[1]), match[2].decode())
    except ValueError as error:
        raise ExportFormatError("a line holds something that is not canonical base64") from error
    raise ExportFormatError("not a line of an export")


def parse_manifest(line: bytes) -> Manifest:
    """Reads the first line; the checkpoint in it is not verified here.

    Raises:
        ExportFormatError: not a manifest of this format in its one spelling.
    """
    if len(line) > MAX_LINE:
        raise ExportFormatError("the manifest is too long")
    try:
        document = json.loads(line)
        manifest = Manifest(
            origin=document["origin"],
            begin=document["from"],
            end=document["until"],
            checkpoint=document["checkpoint"],
            edge=tuple(base64_bytes(one) for one in document["edge"]),
            consistency={
                one["size"]: tuple(base64_bytes(part) for part in one["proof"])
                for one in document.get("consistency", [])
            },
            version=_VERSIONS[document["format"]],
            successions=tuple(document.get("successions", [])),
        )
        written = manifest.line()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExportFormatError("not a manifest") from error
    numbers = (manifest.begin, manifest.end, *manifest.consistency)
    texts = (manifest.origin, manifest.checkpoint, *manifest.successions)
    if any(type(one) is not int for one in numbers) or any(type(one) is not str for one in texts):
        raise ExportFormatError("the manifest holds a value of a wrong type")
    if manifest.successions and manifest.version == 1:
        raise ExportFormatError("the manifest is of version 1 and has key successions")
    if not 0 <= manifest.begin <= manifest.end < 1 << 63:
        raise ExportFormatError("the manifest's range is not one")
    # Covers format, order, unknown and double members: one content, one spelling.
    if written != line:
        raise ExportFormatError("the manifest is not in its one spelling")
    return manifest


_VERSIONS = {name: version for version, name in FORMATS.items()}


class ExportWriter:
    """Writes an export line by line, and refuses what is not due.

    Use: `manifest_line`, then for each of `steps(begin, end, size)` either `tile` or, for each
    index, `entry` or `hidden`; at last `finish`. To go on with an export that was cut,
    give the lines that are there (without a broken last one) to `replay`.
    """

    def __init__(self, manifest: Manifest, size: int) -> None:
        """Raises: ValueError: range, size and edge don't fit together."""
        widths = [tile.width * HASH_SIZE for tile in edge_tiles(size)]
        if widths != [len(hashes) for hashes in manifest.edge]:
            raise ValueError("the edge is not that of a tree of this size")
        self.manifest_line = manifest.line()
        self._version = manifest.version
        self._due = _flat(steps(manifest.begin, manifest.end, size))
        self._next = next(self._due, None)
        self._count = 0
        self._digest = hashlib.sha256(self.manifest_line)

    @property
    def due(self) -> Tile | int | None:
        """What comes next: a tile's hash line, the leaf of this index, or (None) the last line."""
        return self._next

    def tile(self, tile: Tile, hashes: bytes) -> bytes:
        """Raises: ValueError: not due, or not 8,192 bytes."""
        if len(hashes) != FULL:
            raise ValueError("a hash line holds a full tile")
        return self._take(tile, TileLine(tile, hashes))

    def entry(self, index: int, entry: bytes) -> bytes:
        """Raises: ValueError: not due."""
        return self._take(index, LeafLine(index, entry, None))

    def hidden(self, index: int, leaf_hash: bytes, why: Hidden) -> bytes:
        """Raises: ValueError: not due, or not 32 bytes."""
        if len(leaf_hash) != HASH_SIZE:
            raise ValueError("a leaf hash has 32 bytes")
        return self._take(
            index, LeafLine(index, None, leaf_hash, why if self._version > 1 else None)
        )

    def finish(self) -> bytes:
        """Raises: ValueError: something is still due."""
        if self._next is not None:
            raise ValueError("the export is not complete")
        return EndLine(self._count, self._digest.hexdigest()).line()

    def replay(self, line: bytes) -> None:
        """Takes a line that was written before.

        Raises:
            ValueError: it is not the one that is due.
        """
        parsed = parse_line(line)
        if isinstance(parsed, EndLine):
            raise ExportFormatError("the export is complete")
        self._take(parsed.tile if isinstance(parsed, TileLine) else parsed.index, parsed)

    def _take(self, place: Tile | int, content: LeafLine | TileLine) -> bytes:
        if place != self._next:
            raise ValueError(f"{place} is not due")
        self._next = next(self._due, None)
        self._count += isinstance(content, LeafLine)
        line = content.line()
        self._digest.update(line)
        return line


def _below(tile: Tile, begin: int, end: int) -> Iterator[Step]:
    if tile.level == 0:
        leaves = range(max(begin, tile.begin), min(end, tile.end))
        if leaves:
            yield leaves
        return
    for index in range(tile.index * WIDTH, tile.index * WIDTH + tile.width):
        child = Tile(tile.level - 1, index)
        if max(begin, child.begin) < min(end, child.end):
            yield child
            yield from _below(child, begin, end)


def _flat(order: Iterable[Step]) -> Iterator[Tile | int]:
    for step in order:
        if isinstance(step, Tile):
            yield step
        else:
            yield from step


def _b64(data: bytes) -> str:
    return b64encode(data).decode()
