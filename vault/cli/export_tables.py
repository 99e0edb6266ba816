"""An export as CSV or OCSF: rows in a file, and beside it a manifest with the signed checkpoint.

The manifest is there from the beginning and says whether the file is complete; so a cut file
goes on under the checkpoint that it began with.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from vault.audit.entry import EntryFormatError
from vault.audit.export_format import ExportWriter, bounded_lines
from vault.audit.note import VerifierKey
from vault.cli.export_lines import begin_export, checkpoint_of, export_lines, run_lines, same_tree
from vault.cli.export_rows import csv_head, csv_index, csv_lines, ocsf_index, ocsf_lines
from vault.cli.log_keys import Quorum
from vault.cli.output import CommandError, say
from vault.cli.progress import Progress
from vault.client import ExportHead, ExportLeaf, ExportPiece, VaultClient

FORMAT = "pdvault-audit-manifest/1"


@dataclass(frozen=True, slots=True)
class TableFormat:
    """One of the formats.

    Attributes:
        head: the first line, or empty.
        lines: the lines for (index, entry, origin).
        index: the leaf that a line is about; ValueError if it is none.
    """

    name: str
    head: bytes
    lines: Callable[[int, bytes, str], Iterator[bytes]]
    index: Callable[[bytes], int]


FORMATS = {
    "csv": TableFormat("csv", csv_head(), csv_lines, csv_index),
    "ocsf": TableFormat("ocsf", b"", ocsf_lines, ocsf_index),
}


@dataclass(frozen=True, slots=True)
class TableManifest:
    """What stands beside the file; `sha256` (hex) is empty until it is complete."""

    kind: str
    begin: int
    end: int
    checkpoint: str
    successions: tuple[str, ...] = ()
    rows: int = 0
    sha256: str = ""

    def document(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "kind": self.kind,
            "from": self.begin,
            "until": self.end,
            "checkpoint": self.checkpoint,
            "successions": list(self.successions),
            "complete": bool(self.sha256),
            "rows": self.rows,
            "sha256": self.sha256,
        }


def manifest_path(path: Path) -> Path:
    return path.with_name(path.name + ".manifest.json")


def export_table(
    vault: VaultClient,
    path: Path,
    form: TableFormat,
    *,
    bounds: tuple[int, int],
    keys: list[VerifierKey],
    quorum: Quorum,
) -> dict[str, object]:
    """Writes or continues the file.

    Raises:
        CommandError, VaultCallError, OSError.
    """
    manifest = _read_manifest(path, form) if path.exists() else None
    if manifest is not None and manifest.sha256:
        say(f"{path} is complete")
        return manifest.document()
    with path.open("r+b" if path.exists() else "x+b") as file:
        if manifest is None:
            file.truncate()
            pieces: Iterator[ExportPiece] = vault.export_entries(*bounds)
            due, rows = bounds[0], 0
        else:
            due, rows = _take_up(file, form, manifest, path)
            tree = checkpoint_of(manifest.checkpoint)
            pieces = same_tree(vault.export_entries(due, manifest.end, tree.size), tree)
        head = next(pieces)
        if not isinstance(head, ExportHead):
            raise CommandError("the vault's export has no head")
        writer = begin_export(head)
        if manifest is None:
            manifest = TableManifest(
                form.name,
                head.begin,
                head.end,
                head.checkpoint.note,
                head.checkpoint.successions,
            )
            _write_manifest(path, manifest)
        if not rows:
            file.write(form.head)
        table = _Table(file, form, checkpoint_of(head.checkpoint.note).origin, rows)
        run_lines(table.write(writer, export_lines(writer, pieces), head.end - due), keys, quorum)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    done = replace(manifest, rows=table.rows, sha256=digest)
    _write_manifest(path, done)
    left_out = f"{table.hidden - table.archived} leaves of other tenants"
    left_out += f" and {table.archived} archived ones" if table.archived else ""
    say(f"{path}: {table.rows} rows; {left_out} left out")
    say(f"{manifest_path(path)}: signed checkpoint, range and SHA-256")
    return done.document()


class _Table:
    """Writes rows as the lines of an export pass."""

    def __init__(self, file: BinaryIO, form: TableFormat, origin: str, rows: int) -> None:
        self.rows = rows
        self.hidden = 0
        self.archived = 0
        self._file = file
        self._form = form
        self._origin = origin

    def write(
        self,
        writer: ExportWriter,
        lines: Iterator[tuple[bytes, ExportLeaf | None]],
        missing: int,
    ) -> Iterator[bytes]:
        progress, done = Progress("exported"), 0
        yield writer.manifest_line
        for line, leaf in lines:
            if leaf is not None:
                self._put(leaf)
                done += 1
                progress(done, missing)
            yield line
        progress.end()

    def _put(self, leaf: ExportLeaf) -> None:
        if leaf.entry is None:
            self.hidden += 1
            self.archived += leaf.is_archived
            return
        try:
            for row in self._form.lines(leaf.index, leaf.entry, self._origin):
                self._file.write(row)
                self.rows += 1
        except EntryFormatError as error:
            raise CommandError(f"the leaf at index {leaf.index} is no entry: {error}") from error


def _take_up(
    file: BinaryIO, form: TableFormat, manifest: TableManifest, path: Path
) -> tuple[int, int]:
    """Cuts the rows of the last leaf off, of which some may be missing; that leaf, rows before."""
    due, rows, at, good = manifest.begin, 0, 0, 0
    rows_before = 0
    for line in bounded_lines(file.readline):
        if not line.endswith(b"\n"):
            break
        if not (at == 0 and form.head and line == form.head):
            try:
                index = form.index(line)
            except ValueError as error:
                raise CommandError(f"{path} can't be continued: {error}") from error
            if rows == 0 or index != due:
                if not max(due, manifest.begin) <= index < manifest.end:
                    raise CommandError(f"{path} can't be continued: index {index} is out of order")
                due, good, rows_before = index, at, rows
            rows += 1
        at += len(line)
    file.seek(good if rows_before else 0)
    file.truncate()
    return due, rows_before


def _read_manifest(path: Path, form: TableFormat) -> TableManifest:
    beside = manifest_path(path)
    try:
        document = json.loads(beside.read_bytes())
        manifest = TableManifest(
            kind=document["kind"],
            begin=int(document["from"]),
            end=int(document["until"]),
            checkpoint=str(document["checkpoint"]),
            successions=tuple(map(str, document.get("successions", []))),
            rows=int(document["rows"]),
            sha256=str(document["sha256"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"{beside}: without the manifest the export can't be continued",
            hint="remove both files and export anew",
        ) from error
    if manifest.kind != form.name or document.get("format") != FORMAT:
        raise CommandError(f"{beside}: is of another format than {form.name}")
    return manifest


def _write_manifest(path: Path, manifest: TableManifest) -> None:
    draft = path.with_name(path.name + ".manifest.new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(manifest.document(), file, ensure_ascii=False, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(manifest_path(path))
