"""`pdvault audit export`: which format goes where, and JSON Lines, the one that can be verified."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vault.audit.checkpoint import Checkpoint
from vault.audit.export_format import ExportWriter, Manifest, bounded_lines, parse_manifest
from vault.audit.note import VerifierKey
from vault.audit.tiles import Tile
from vault.cli.connection import connect
from vault.cli.export_lines import begin_export, checkpoint_of, export_lines, run_lines, same_tree
from vault.cli.export_tables import FORMATS, export_table
from vault.cli.export_tiles import export_tiles
from vault.cli.log_keys import Quorum, read_keys, read_quorum
from vault.cli.output import DONE, USAGE, CommandError, emit_json, say
from vault.cli.progress import Progress
from vault.client import ExportHead, ExportLeaf, VaultClient


def export(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError, OSError."""
    keys = read_keys(args.key) if args.key else []
    quorum = read_quorum(args)
    begin, end = args.from_index or 0, args.until_index or 0
    if args.format == "tiles" and (begin or end):
        raise CommandError("--format tiles holds the whole log, no part of it", code=USAGE)
    if end and begin >= end:
        raise CommandError("--until-index is not above --from-index", code=USAGE)
    if args.file.exists() and not args.resume:
        raise CommandError(
            f"{args.file} is there already", hint="choose another name, or --resume to go on"
        )
    with connect(args) as vault:
        if args.format == "tiles":
            facts = export_tiles(vault, args.file, keys, quorum)
        elif args.format in FORMATS:
            facts = export_table(
                vault,
                args.file,
                FORMATS[args.format],
                bounds=(begin, end),
                keys=keys,
                quorum=quorum,
            )
        else:
            facts = _export_lines(vault, args.file, (begin, end), keys, quorum)
    if args.json:
        emit_json(facts)
    elif not keys:
        say("not verified: no --key was given")
    return DONE


def _export_lines(
    vault: VaultClient,
    path: Path,
    bounds: tuple[int, int],
    keys: list[VerifierKey],
    quorum: Quorum,
) -> dict[str, object]:
    count = hidden = archived = 0
    with path.open("r+b" if path.exists() else "x+b") as file:
        taken = _Taken(file, path)
        if taken.is_complete:
            say(f"{path} is complete")
            return {"file": str(path), "complete": True}
        progress = Progress("exported")

        def lines() -> Iterator[bytes]:
            nonlocal count, hidden, archived
            if keys:  # what is there is verified with the rest
                yield from taken.lines()
            for line, leaf in taken.rest(vault, *bounds):
                file.write(line)
                if leaf is not None:
                    count += 1
                    hidden += leaf.entry is None
                    archived += leaf.is_archived
                    progress(count, taken.missing)
                yield line

        run_lines(lines(), keys, quorum)
        progress.end()
        file.flush()
        os.fsync(file.fileno())
    said = f", {archived} archived" if archived else ""
    say(f"{path}: {count} leaves written, as hashes only: {hidden - archived} other tenants'{said}")
    return {
        "file": str(path),
        "complete": True,
        "leaves": count,
        "hidden": hidden,
        "archived": archived,
    }


class _Taken:
    """What a file has of an export, and how it goes on; the file stands behind the last good line.

    Attributes:
        missing: leaves that are still to come; known once `rest` has begun.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        """Raises: CommandError: the file is something else, or damaged within."""
        self.missing = 0
        self.is_complete = False
        self._file = file
        self._writer: ExportWriter | None = None
        self._manifest: Manifest
        self._tree: Checkpoint
        self._good = 0
        lines = bounded_lines(file.readline)
        first = next(lines, b"")
        if first.endswith(b"\n"):
            self._writer = self._replay(first, lines, path)
        file.seek(self._good)
        if not self.is_complete:
            file.truncate()

    def lines(self) -> Iterator[bytes]:
        """What is there, from the beginning."""
        self._file.seek(0)
        while self._file.tell() < self._good:
            yield self._file.readline()

    def rest(
        self, vault: VaultClient, begin: int, end: int
    ) -> Iterator[tuple[bytes, ExportLeaf | None]]:
        """The lines that are missing, each with its leaf.

        Raises:
            CommandError: what comes does not continue what is there.
            VaultCallError.
        """
        writer = self._writer
        if writer is None:
            pieces = vault.export_entries(begin, end)
            head = next(pieces)
            if not isinstance(head, ExportHead):
                raise CommandError("the vault's export has no head")
            writer = begin_export(head)
            self.missing = head.end - head.begin
            yield writer.manifest_line, None
            yield from export_lines(writer, pieces)
            return
        if writer.due is None:
            yield writer.finish(), None
            return
        due = self._due(writer.due)
        self.missing = self._manifest.end - due
        pieces = vault.export_entries(due, self._manifest.end, self._tree.size)
        yield from export_lines(writer, same_tree(pieces, self._tree))

    def _due(self, due: Tile | int) -> int:
        return max(due.begin, self._manifest.begin) if isinstance(due, Tile) else due

    def _replay(self, first: bytes, lines: Iterator[bytes], path: Path) -> ExportWriter:
        try:
            self._manifest = parse_manifest(first)
            self._tree = checkpoint_of(self._manifest.checkpoint)
            writer = ExportWriter(self._manifest, self._tree.size)
            self._good = len(first)
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # cut within the line
                if writer.due is None:
                    self.is_complete = line == writer.finish()
                    if not self.is_complete or next(lines, b""):
                        raise ValueError("its end does not fit")
                    break
                writer.replay(line)
                self._good += len(line)
        except ValueError as error:
            raise CommandError(
                f"{path} can't be continued: {error}",
                hint="pdvault audit verify says what is wrong",
            ) from error
        return writer
