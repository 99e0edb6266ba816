"""What can be wrong with an export, and how the kind of damage is told.

The *index* in a finding is proved by hashes under the signed root. The *kind* is what the
rest of the file makes most likely: an export whose lines were shuffled, renumbered and
replaced all at once can be described in several ways. docs/formats.md, "export", has
the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from vault.audit.entry import leaf_hash
from vault.audit.export_format import (
    MAX_LINE,
    EndLine,
    ExportFormatError,
    LeafLine,
    Line,
    TileLine,
    parse_line,
)
from vault.audit.merkle import HASH_SIZE
from vault.audit.tiles import HEIGHT, Tile


class Damage(StrEnum):
    """Kinds of damage."""

    BAD_SIGNATURE = "bad signature"
    """No checkpoint of this log that the given keys have signed as they must."""
    ROLLED_BACK = "rolled back"
    """The checkpoint's tree is smaller than one that was signed before."""
    FORKED = "forked"
    """The checkpoint's tree does not continue one that was signed before."""
    DROPPED = "dropped"
    """A line is missing, others follow."""
    INSERTED = "inserted"
    """A line stands where none belongs: a second copy, or a foreign one."""
    EDITED = "edited"
    """A line is there, but does not hold what was signed."""
    REORDERED = "reordered"
    """A line stands at another place than its own."""
    CUT_TAIL = "cut tail"
    """The lines from here on are missing."""
    MALFORMED = "malformed"
    """Bytes that are not a line of an export, or an entry that does not decode."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        first_index: the first leaf that fails; None if no leaf is concerned.
        last_index: where only a block is known to hold the first failing leaf, the
            block's last leaf; else the same as `first_index`.
        detail: for a person; holds no part of any entry.
    """

    damage: Damage
    first_index: int | None
    last_index: int | None
    detail: str


def found(damage: Damage, index: int | None, detail: str, last: int | None = None) -> Finding:
    """A finding at one leaf, or within [index, last]."""
    return Finding(damage, index, index if last is None else last, detail)


def classify(
    due: Tile | int,
    hashes: bytes,
    line: bytes,
    rest: Iterator[bytes],
    bounds: range,
) -> Finding:
    """Names what is wrong with the first line that fails; reads the file to its end.

    Args:
        due: what should stand there: a leaf's index or a tile's hash line.
        hashes: for a leaf, the signed hashes from this leaf to the end of its block; for
            a tile, empty.
        line: the line that stands there; empty at the end of the file.
        rest: the lines after it.
        bounds: the leaves that the export claims to hold.
    """
    index = max(due.begin, bounds.start) if isinstance(due, Tile) else due
    if not line.endswith(b"\n") and len(line) <= MAX_LINE:
        return found(Damage.CUT_TAIL, index, "the file ends here")
    try:
        got = parse_line(line)
    except ExportFormatError as error:
        return found(Damage.MALFORMED, index, str(error))
    if isinstance(got, EndLine):
        if got.count == len(bounds):
            return found(Damage.DROPPED, index, "the last line counts lines that are not there")
        return found(Damage.CUT_TAIL, index, f"the last line says {got.count} leaves")
    if isinstance(due, Tile):
        return _classify_tile(due, index, got, rest, bounds)
    return _classify_leaf(due, hashes, got, rest, bounds)


def _classify_tile(
    due: Tile, index: int, got: LeafLine | TileLine, rest: Iterator[bytes], bounds: range
) -> Finding:
    last = min(due.end, bounds.stop) - 1
    if isinstance(got, TileLine) and got.tile == due:
        detail = "neither its hash line nor its leaves give the signed hash of this block"
        if due.level:
            detail = "the hash line does not give the signed hash of this block"
        return found(Damage.EDITED, index, detail, last)
    later = any(isinstance(line, TileLine) and line.tile == due for line in _parsed(rest))
    if not later:
        return found(Damage.DROPPED, index, "the hash line of this block is missing")
    if isinstance(got, LeafLine) and got.index < index:
        return found(Damage.INSERTED, index, f"a line of leaf {got.index} stands here")
    return found(Damage.REORDERED, index, "the hash line of this block stands further down")


def _classify_leaf(
    due: int, hashes: bytes, got: LeafLine | TileLine, rest: Iterator[bytes], bounds: range
) -> Finding:
    wanted, following = hashes[:HASH_SIZE], hashes[HASH_SIZE : 2 * HASH_SIZE]
    here = hash_of(got) if isinstance(got, LeafLine) else b""
    if here == wanted and isinstance(got, LeafLine):
        return found(Damage.EDITED, due, f"the line says index {got.index}")
    # One pass over the rest: where the wanted leaf is, how many leaves there are, what is next.
    later = None
    second = b""
    lines = 0
    for line in _parsed(rest):
        if isinstance(line, LeafLine):
            lines += 1
            one = hash_of(line)
            second = second or one
            if one == wanted and later is None:
                later = lines
        elif isinstance(line, TileLine) and line.tile == Tile(0, due + 1 >> HEIGHT):
            # The last leaf of a block: the next block's hash line says what follows it.
            following = following or line.hashes[:HASH_SIZE]
    missing = len(bounds) - (due - bounds.start) - (here != b"") - lines
    if later is not None:
        if missing < 0 or (not here and later == 1):
            return found(Damage.INSERTED, due, "a line that does not belong stands before its own")
        return found(Damage.REORDERED, due, f"its line stands {later} lines further down")
    if not here:
        return found(Damage.DROPPED, due, "its line is missing before the next block")
    if following and here == following:
        return found(Damage.DROPPED, due, "the leaf after it stands in its place")
    if missing > 0 and not (following and second == following):
        return found(Damage.DROPPED, due, f"{missing} lines are missing from here on")
    return found(Damage.EDITED, due, "another entry stands in its place")


def hash_of(line: LeafLine) -> bytes:
    """The leaf hash that a line stands for."""
    return leaf_hash(line.entry) if line.entry is not None else line.hash or b""


def _parsed(lines: Iterator[bytes]) -> Iterator[Line]:
    """The lines that can be read; the others are passed over."""
    for line in lines:
        try:
            yield parse_line(line)
        except ExportFormatError:
            continue
