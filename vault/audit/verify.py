"""Verifies an export offline: from its lines and public keys alone, in bounded memory.

What a clean report means: the entries are, each at its index and byte by byte, the ones
under the root that the log (and as many witnesses as asked for) signed; none of the
range is missing, added or changed; and the tree continues every older checkpoint given.
What it does not mean: that nothing was logged after this checkpoint, that nobody else was
shown another tree (witnesses and exchanged checkpoints answer that), or that what
the entries say is true.

The steps of `verify_export` are numbered as in docs/formats.md, "export".
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from vault.audit.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from vault.audit.damage import Damage, Finding, classify, found, hash_of
from vault.audit.entry import EntryFormatError, decode
from vault.audit.export_format import (
    EndLine,
    ExportFormatError,
    Hidden,
    LeafLine,
    Manifest,
    TileLine,
    parse_line,
    parse_manifest,
    steps,
)
from vault.audit.merkle import (
    HASH_SIZE,
    CompactRange,
    ProofError,
    RootMismatchError,
    root_of,
    verify_consistency,
)
from vault.audit.note import NoteError, SignatureError, VerifierKey
from vault.audit.succession import follow
from vault.audit.tiles import WIDTH, Tile, TileError, edge_tiles, root_of_edge, split_hashes

_PROGRESS_EVERY = 4096
"""Leaves between two calls of `progress`."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        findings: empty if the export is sound; the gravest first: signatures and
            history, then the first failing leaf, then the rest.
        checkpoint: None unless its signatures are good.
        begin: first leaf that the export claims to hold.
        end: one past the last.
        checked: leaves that were found good.
        hidden: of these, leaves without their entry.
        archived: of these, leaves that are hidden as they are archived, as the exporter says.
    """

    findings: tuple[Finding, ...]
    checkpoint: SignedCheckpoint | None = None
    begin: int = 0
    end: int = 0
    checked: int = 0
    hidden: int = 0
    archived: int = 0

    @property
    def is_sound(self) -> bool:
        return not self.findings

    @property
    def damage(self) -> Damage | None:
        """The kind of the gravest finding."""
        return self.findings[0].damage if self.findings else None

    @property
    def first_index(self) -> int | None:
        """The first failing leaf of the gravest finding."""
        return self.findings[0].first_index if self.findings else None


def verify_export(
    lines: Iterable[bytes],
    keys: Sequence[VerifierKey],
    *,
    origin: str | None = None,
    older: Sequence[Checkpoint] = (),
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
    part: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Verifies an export.

    Args:
        lines: the file's lines with their newlines, see `bounded_lines`.
        keys: the log's verifier keys; one is enough where the export has the successions that
            lead from it to the one that signed.
        origin: the log's name; None: the name of the first key.
        older: checkpoints of the log that the auditor kept, opened with `open_checkpoint`.
        witnesses: witnesses' keys, see `open_checkpoint`.
        quorum: how many witnesses must have cosigned.
        part: whether an export of a part of the log will do. Otherwise one that starts
            late has a dropped head, and one that ends early a cut tail.
        progress: called now and then with leaves done and leaves in all.

    Raises:
        ValueError: keys, witnesses and quorum don't fit together, or an older checkpoint
            is another log's. Never for anything in the export.
    """
    origin = keys[0].name if origin is None and keys else origin
    if any(one.origin != origin for one in older):
        raise ValueError("an older checkpoint is another log's")
    reader = _Lines(lines)
    # 1. Manifest.
    try:
        manifest = parse_manifest(reader.next())
    except ExportFormatError as error:
        return Report((found(Damage.MALFORMED, None, str(error)),))
    # 2. Checkpoint: key successions, origin, signatures, quorum.
    try:
        signed = open_checkpoint(
            manifest.checkpoint.encode(),
            follow(keys, manifest.successions, origin=origin),
            origin=origin,
            witnesses=witnesses,
            quorum=quorum,
        )
    except SignatureError as error:
        return Report((found(Damage.BAD_SIGNATURE, None, str(error)),))
    except NoteError as error:
        return Report((found(Damage.MALFORMED, None, str(error)),))
    head = signed.checkpoint
    if manifest.origin != head.origin or manifest.end > head.size:
        detail = "the manifest does not fit its checkpoint"
        return Report((found(Damage.MALFORMED, None, detail),), signed)
    # 3. to 6. Body.
    body = _Body(manifest, head, older, reader, progress)
    failures = body.run()
    # 7. History and range.
    history = _check_history(head, manifest, body.prefixes, intact=not failures)
    ranges = [] if part else _check_range(manifest, head.size)
    local = sorted([*ranges, *failures], key=_index)
    return Report(
        (*history, *local),
        signed,
        manifest.begin,
        manifest.end,
        body.checked,
        body.hidden,
        body.archived,
    )


class _Lines:
    """The lines, hashed as they pass."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.rest: Iterator[bytes] = iter(lines)
        self._digest = hashlib.sha256()
        self._last = b""

    def next(self) -> bytes:
        """The next line; empty at the end. The digest covers the lines before it."""
        self._digest.update(self._last)
        self._last = next(self.rest, b"")
        return self._last

    def digest(self) -> str:
        """Of everything before the line that was read last."""
        return self._digest.hexdigest()


class _Prefix:
    """An older tree's edge, gathered from the signed hashes of the new one as they pass."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._wanted = {(tile.level, tile.index): tile for tile in edge_tiles(checkpoint.size)}
        self._got: dict[Tile, bytes] = {}

    def offer(self, tile: Tile, hashes: bytes) -> None:
        """Takes what it needs of a tile that was checked against the signed root."""
        wanted = self._wanted.get((tile.level, tile.index))
        if wanted is not None and wanted.width <= tile.width:
            self._got[wanted] = hashes[: wanted.width * HASH_SIZE]

    def root(self) -> bytes | None:
        """None if the export did not show enough of the tree."""
        if len(self._got) != len(self._wanted):
            return None
        return root_of_edge(self.checkpoint.size, self._got.__getitem__)


class _Body:
    """Steps 3 to 6: everything between the manifest and the end of the file."""

    def __init__(
        self,
        manifest: Manifest,
        head: Checkpoint,
        older: Sequence[Checkpoint],
        reader: _Lines,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._manifest = manifest
        self._head = head
        self._reader = reader
        self._progress = progress
        self._bounds = range(manifest.begin, manifest.end)
        self._edge: dict[tuple[int, int], bytes] = {}
        self._open: dict[int, bytes] = {}  # per level, the hash line that was read last
        self.prefixes = [_Prefix(one) for one in sorted(older, key=lambda one: one.size)]
        self._repaired: list[Finding] = []
        self.checked = 0
        self.hidden = 0
        self.archived = 0

    def run(self) -> list[Finding]:
        """The first leaf that fails, and before it hash lines that their leaves disprove."""
        failure = self._check_edge()
        order = steps(self._manifest.begin, self._manifest.end, self._head.size)
        while failure is None and (step := next(order, None)) is not None:
            if isinstance(step, Tile):
                failure = self._check_tile(step)
            elif step.start >= self._bounds.start + self.checked:
                failure = self._check_leaves(step)
        if failure is None:
            failure = self._check_end()
        return [*self._repaired, *([failure] if failure else [])]

    def _check_edge(self) -> Finding | None:
        """3. The manifest's hashes give the signed root."""
        tiles = dict(zip(edge_tiles(self._head.size), self._manifest.edge, strict=False))
        try:
            root = root_of_edge(self._head.size, tiles.__getitem__)
        except (TileError, KeyError):
            root = b""
        if root != self._head.root or len(tiles) != len(self._manifest.edge):
            tree = CompactRange()
            for one in self._leaf_hashes(self._bounds):
                tree.append(one)
            if (tree.size, tree.root()) == (self._head.size, self._head.root):
                detail = "the manifest's edge is damaged; the leaves give the signed root"
                return found(Damage.MALFORMED, None, detail)
            self.checked = self.hidden = self.archived = 0
            detail = "neither the manifest's edge nor the leaves give the signed root"
            first, last = (self._bounds[0], self._bounds[-1]) if self._bounds else (None, None)
            return found(Damage.EDITED, first, detail, last)
        for tile, hashes in tiles.items():
            self._edge[tile.level, tile.index] = hashes
            self._offer(tile, hashes)
        return None

    def _check_tile(self, tile: Tile) -> Finding | None:
        """4. A hash line gives the hash that the tile above has for it."""
        line = self._reader.next()
        at = tile.index % WIDTH * HASH_SIZE
        above = self._hashes(tile.level + 1, tile.index // WIDTH)[at : at + HASH_SIZE]
        try:
            got = parse_line(line)
            damaged = isinstance(got, TileLine) and got.tile == tile
        except ExportFormatError:
            got = None
            damaged = line.endswith(b"\n")
        if (
            damaged
            and isinstance(got, TileLine)
            and root_of(split_hashes(tile, got.hashes)) == above
        ):
            self._open[tile.level] = got.hashes
            self._offer(tile, got.hashes)
            return None
        if damaged and tile.level == 0 and self._repair(tile, above):
            return None
        return self._classify(tile, b"", line)

    def _repair(self, tile: Tile, above: bytes) -> bool:
        """Whether the leaves give what the hash line in front of them does not."""
        leaves = range(max(tile.begin, self._bounds.start), min(tile.end, self._bounds.stop))
        before = (self.checked, self.hidden, self.archived)
        hashes = list(self._leaf_hashes(leaves))
        if root_of(hashes) != above:
            self.checked, self.hidden, self.archived = before
            return False
        detail = f"the hash line before leaf {tile.begin} is damaged; its leaves are good"
        self._repaired.append(found(Damage.MALFORMED, None, detail))
        self._open[0] = b"".join(hashes)
        self._offer(tile, self._open[0])
        return True

    def _leaf_hashes(self, leaves: range) -> Iterator[bytes]:
        """Hashes of the leaves' own lines, hash lines passed over; ends at one that is bad."""
        for index in leaves:
            try:
                while isinstance(got := parse_line(self._reader.next()), TileLine):
                    pass
                if not isinstance(got, LeafLine) or got.index != index:
                    return
                if got.entry is not None:
                    decode(got.entry)
            except (ExportFormatError, EntryFormatError):
                return
            self.checked += 1
            self.hidden += got.entry is None
            self.archived += got.why is Hidden.ARCHIVE
            yield hash_of(got)

    def _check_leaves(self, leaves: range) -> Finding | None:
        """5. Each leaf has its index and its hash, and its entry decodes."""
        hashes = self._hashes(0, leaves.start // WIDTH)
        for index in leaves:
            line = self._reader.next()
            at = index % WIDTH * HASH_SIZE
            try:
                got = parse_line(line)
            except ExportFormatError:
                return self._classify(index, hashes[at:], line)
            if (
                not isinstance(got, LeafLine)
                or got.index != index
                or hash_of(got) != hashes[at : at + HASH_SIZE]
            ):
                return self._classify(index, hashes[at:], line)
            if got.entry is None:
                self.hidden += 1
                self.archived += got.why is Hidden.ARCHIVE
            else:
                try:
                    decode(got.entry)
                except EntryFormatError as error:
                    return found(Damage.MALFORMED, index, f"signed, but not an entry: {error}")
            self.checked += 1
            if self._progress is not None and self.checked % _PROGRESS_EVERY == 0:
                self._progress(self.checked, len(self._bounds))
        return None

    def _check_end(self) -> Finding | None:
        """6. The last line counts and hashes what stands before it, and nothing follows."""
        if self._progress is not None:
            self._progress(self.checked, len(self._bounds))
        end = self._bounds.stop
        line = self._reader.next()
        if not line.endswith(b"\n"):
            return found(Damage.CUT_TAIL, end, "the last line is missing or cut")
        try:
            got = parse_line(line)
        except ExportFormatError as error:
            return found(Damage.MALFORMED, None, f"last line: {error}")
        if not isinstance(got, EndLine):
            return found(Damage.INSERTED, end, "lines follow that the range does not have")
        if got.count != len(self._bounds) or got.sha256 != self._reader.digest():
            return found(Damage.MALFORMED, None, "the last line does not fit the file")
        if self._reader.next():
            return found(Damage.INSERTED, end, "something stands after the last line")
        return None

    def _hashes(self, level: int, index: int) -> bytes:
        """The signed hashes of the tile that is being gone through on this level."""
        edge = self._edge.get((level, index))
        return self._open[level] if edge is None else edge

    def _offer(self, tile: Tile, hashes: bytes) -> None:
        for prefix in self.prefixes:
            prefix.offer(tile, hashes)

    def _classify(self, due: Tile | int, hashes: bytes, line: bytes) -> Finding:
        return classify(due, hashes, line, self._reader.rest, self._bounds)


def _check_history(
    head: Checkpoint, manifest: Manifest, prefixes: Sequence[_Prefix], *, intact: bool
) -> list[Finding]:
    """Compares with older checkpoints; `good` leaves are known to be common."""
    findings = []
    good = 0
    for prefix in prefixes:
        old = prefix.checkpoint
        if old.size > head.size:
            detail = f"the tree has {head.size} leaves, one signed before has {old.size}"
            findings.append(found(Damage.ROLLED_BACK, head.size, detail, old.size - 1))
            break
        same = _continues(old, head, manifest, prefix)
        if same is None and intact:
            detail = f"nothing in the export connects it with the checkpoint of size {old.size}"
            findings.append(found(Damage.MALFORMED, None, detail))
        elif same is False:
            detail = f"the tree does not continue the one of size {old.size} that was signed before"
            findings.append(found(Damage.FORKED, good, detail, old.size - 1))
            break
        elif same:
            good = old.size
    return findings


def _continues(
    old: Checkpoint, head: Checkpoint, manifest: Manifest, prefix: _Prefix
) -> bool | None:
    """Whether `head` continues `old`; None if the export does not tell."""
    if old.size == head.size:
        return old.root == head.root
    root = prefix.root()
    if root is not None:
        return old.root == root
    proof = manifest.consistency.get(old.size)
    if proof is None:
        return None
    try:
        verify_consistency(old.size, old.root, head.size, head.root, proof)
    except RootMismatchError:
        return False
    except ProofError:
        return None
    return True


def _check_range(manifest: Manifest, size: int) -> list[Finding]:
    findings = []
    if manifest.begin > 0:
        detail = "the export starts late"
        findings.append(found(Damage.DROPPED, 0, detail, manifest.begin - 1))
    if manifest.end < size:
        detail = "the export ends before its checkpoint does"
        findings.append(found(Damage.CUT_TAIL, manifest.end, detail, size - 1))
    return findings


def _index(finding: Finding) -> tuple[bool, int]:
    """No index comes last."""
    return finding.first_index is None, finding.first_index or 0
