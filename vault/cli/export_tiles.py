"""An export as a folder of tiles (C2SP tlog-tiles): `checkpoint`, `tile/…`, `tile/entries/…`.

Guarantees: every tile is computed here from the leaves, and the checkpoint is written last and
only if its root is what they give. Full tiles are never written again, so a folder can be
brought up to date. A bundle of entries is written only if this reader sees all of them.
"""

from pathlib import Path

from vault.audit.archive_files import CHECKPOINT, SUCCESSIONS
from vault.audit.entry import leaf_hash
from vault.audit.merkle import HASH_SIZE
from vault.audit.note import VerifierKey
from vault.audit.succession import write_chain
from vault.audit.tiles import (
    FULL,
    MAX_BUNDLED_ENTRY,
    WIDTH,
    Tile,
    TileBuilder,
    write_bundle,
)
from vault.cli.export_lines import checkpoint_of
from vault.cli.log_keys import Quorum, check_note, follow_keys
from vault.cli.output import CommandError, say
from vault.cli.progress import Progress
from vault.client import ExportHead, ExportLeaf, ExportLeaves, VaultClient


def export_tiles(
    vault: VaultClient, folder: Path, keys: list[VerifierKey], quorum: Quorum
) -> dict[str, object]:
    """Writes the folder, or brings it up to date.

    Raises:
        CommandError, VaultCallError, OSError.
    """
    tiles = _Folder(folder)
    newest = vault.get_checkpoint()
    if keys:
        tree = check_note(newest.note, follow_keys(keys, newest.successions), quorum).checkpoint
    else:
        tree = checkpoint_of(newest.note)
    if tree.size < tiles.builder.size:
        raise CommandError(
            f"{folder} has {tiles.builder.size} leaves, the vault's checkpoint only {tree.size}",
            hint="keep both: the log may have been rolled back",
        )
    progress, begin = Progress("exported"), tiles.builder.size
    if begin < tree.size:
        for piece in vault.export_entries(begin, tree.size, tree.size):
            if isinstance(piece, ExportHead) and piece.checkpoint.root != tree.root:
                raise CommandError("the vault's checkpoints do not agree")
            if isinstance(piece, ExportLeaves):
                for leaf in piece.leaves:
                    tiles.add(leaf)
                progress(tiles.builder.size - begin, tree.size - begin)
    progress.end()
    tiles.finish()
    if tiles.builder.root() != tree.root:
        raise CommandError(
            "the leaves do not give the root that was signed; no checkpoint was written",
            hint="remove the folder and export anew; if it stays so, the log is damaged",
        )
    if newest.successions:
        (folder / SUCCESSIONS).write_bytes(write_chain(newest.successions))
    (folder / CHECKPOINT).write_bytes(newest.note.encode())
    say(f"{folder}: {tree.size} leaves under the signed checkpoint")
    if tiles.closed:
        say(
            f"{tiles.closed} bundles of entries left out: they hold entries of other tenants, "
            "of which only the hashes may be seen"
        )
    return {"folder": str(folder), "size": tree.size, "bundles_left_out": tiles.closed}


class _Folder:
    """The tiles that are there, and those that are being made.

    Attributes:
        closed: bundles that could not be written.
    """

    def __init__(self, folder: Path) -> None:
        """Takes up the full tiles of level 0 that are there, from the left."""
        self.closed = 0
        self.builder = TileBuilder()
        self._folder = folder
        self._block: list[bytes | None] = []
        while (path := folder / Tile(0, self.builder.size // WIDTH).path).exists():
            hashes = path.read_bytes()
            if len(hashes) != FULL:
                raise CommandError(f"{path}: not a full tile")
            for at in range(0, FULL, HASH_SIZE):
                self._append(hashes[at : at + HASH_SIZE])

    def add(self, leaf: ExportLeaf) -> None:
        """The next leaf."""
        if leaf.index != self.builder.size:
            raise CommandError("the vault left a leaf out")
        if leaf.entry is not None and leaf_hash(leaf.entry) != leaf.leaf_hash:
            raise CommandError(f"the entry at index {leaf.index} does not give its leaf hash")
        self._block.append(leaf.entry)
        if len(self._block) == WIDTH:
            self._write_bundle(Tile(0, leaf.index // WIDTH))
        self._append(leaf.leaf_hash)

    def finish(self) -> None:
        """Writes the partial tiles."""
        for tile, hashes in self.builder.edge():
            self._write(tile.path, hashes)
            if tile.level == 0:
                self._write_bundle(tile)

    def _append(self, hash_: bytes) -> None:
        for tile, hashes in self.builder.append(hash_):
            self._write(tile.path, hashes)

    def _write_bundle(self, tile: Tile) -> None:
        entries = [each for each in self._block if each is not None]
        is_whole = len(entries) == len(self._block)
        if is_whole and all(len(each) <= MAX_BUNDLED_ENTRY for each in entries):
            self._write(tile.entries_path, write_bundle(entries))
        else:
            self.closed += 1
        self._block.clear()

    def _write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        if path.exists() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".new")
        draft.write_bytes(data)
        draft.replace(path)
