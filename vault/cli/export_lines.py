"""The lines of an export from the pieces that the vault sends. No files here.

Guarantees: lines come in the format's order or not at all (`ExportWriter`), and leaf hashes are
those of their entries. Whether they lead to the signed root is `verify_export`'s matter.
"""

from collections.abc import Iterable, Iterator

from vault.audit.checkpoint import Checkpoint, parse_body
from vault.audit.entry import leaf_hash
from vault.audit.export_format import ExportWriter, Hidden, Manifest
from vault.audit.note import NoteError, VerifierKey, parse_note
from vault.audit.tiles import Tile
from vault.audit.verify import verify_export
from vault.cli.log_keys import Quorum
from vault.cli.output import CommandError
from vault.client import ExportHead, ExportLeaf, ExportPiece, ExportTile


def checkpoint_of(note: str) -> Checkpoint:
    """What a note says; nobody's signature is checked.

    Raises:
        CommandError: it is no checkpoint.
    """
    try:
        return parse_body(parse_note(note.encode()).text)
    except NoteError as error:
        raise CommandError(f"not a checkpoint: {error}") from error


def begin_export(head: ExportHead) -> ExportWriter:
    """A writer for what the vault is about to send.

    Raises:
        CommandError: head and checkpoint do not fit together.
    """
    tree = checkpoint_of(head.checkpoint.note)
    manifest = Manifest(
        origin=tree.origin,
        begin=head.begin,
        end=head.end,
        checkpoint=head.checkpoint.note,
        edge=head.edge,
        consistency={},
        successions=head.checkpoint.successions,
    )
    try:
        if tree.size != head.checkpoint.size or tree.root != head.checkpoint.root:
            raise ValueError("its checkpoint says something else")
        return ExportWriter(manifest, tree.size)
    except ValueError as error:
        raise CommandError(f"the vault's export does not hold: {error}") from error


def export_lines(
    writer: ExportWriter, pieces: Iterable[ExportPiece]
) -> Iterator[tuple[bytes, ExportLeaf | None]]:
    """Each line that is due, with the leaf that it stands for; at last the last line.

    Raises:
        CommandError: a piece is not what is due.
    """
    try:
        for piece in pieces:
            if isinstance(piece, ExportHead):
                continue
            if isinstance(piece, ExportTile):
                tile = Tile(piece.level, piece.index)
                # An export that is taken up again gets the way down to its first leaf anew.
                if writer.due == tile:
                    yield writer.tile(tile, piece.hashes), None
                continue
            for leaf in piece.leaves:
                yield _leaf(writer, leaf), leaf
        yield writer.finish(), None
    except ValueError as error:
        raise CommandError(f"the vault's export does not hold: {error}") from error


def same_tree(pieces: Iterable[ExportPiece], tree: Checkpoint) -> Iterator[ExportPiece]:
    """The pieces of an export that is taken up again.

    Raises:
        CommandError: it does not go on under the same checkpoint.
    """
    for piece in pieces:
        if isinstance(piece, ExportHead):
            told = piece.checkpoint
            if (told.size, told.root) != (tree.size, tree.root):
                raise CommandError(
                    "the vault's log is another one than that of the export",
                    hint="keep both: pdvault audit prove --consistency tells whether it was forked",
                )
        yield piece


def run_lines(lines: Iterator[bytes], keys: list[VerifierKey], quorum: Quorum) -> None:
    """Goes through the lines; with keys, verifies them on the way.

    Raises:
        CommandError: the export is damaged. What was written stays, for whoever looks into it.
    """
    if not keys:
        for _ in lines:
            pass
        return
    report = verify_export(lines, keys, part=True, witnesses=quorum.keys, quorum=quorum.count)
    if not report.is_sound:
        worst = report.findings[0]
        where = "" if worst.first_index is None else f" at index {worst.first_index}"
        raise CommandError(f"what the vault sent is damaged: {worst.damage}{where}: {worst.detail}")


def _leaf(writer: ExportWriter, leaf: ExportLeaf) -> bytes:
    if leaf.entry is None:
        why = Hidden.ARCHIVE if leaf.is_archived else Hidden.TENANT
        return writer.hidden(leaf.index, leaf.leaf_hash, why)
    if leaf_hash(leaf.entry) != leaf.leaf_hash:
        raise ValueError(f"the entry at index {leaf.index} does not give its leaf hash")
    return writer.entry(leaf.index, leaf.entry)
