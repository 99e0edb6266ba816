"""A log that Tessera made: its checkpoints, tiles and bundles are read and proved here."""

import shutil
from pathlib import Path

import pytest

from vault.audit.archive_files import ArchiveReader
from vault.audit.archive_verify import verify_archive
from vault.audit.checkpoint import Checkpoint, open_checkpoint
from vault.audit.entry import leaf_hash
from vault.audit.merkle import (
    build_proof,
    consistency_plan,
    inclusion_plan,
    verify_consistency,
    verify_inclusion,
)
from vault.audit.note import VerifierKey
from vault.audit.tiles import Tile, edge_tiles, tile_source

LOG = Path(__file__).parents[1] / "vectors" / "tessera"
KEY = VerifierKey.parse((LOG / "log.vkey").read_text().strip())
SIZE = 521


def checkpoint(name: str) -> Checkpoint:
    return open_checkpoint((LOG / name).read_bytes(), [KEY]).checkpoint


def hashes(tile: Tile) -> bytes:
    data = ArchiveReader(LOG).tile(tile)[1]
    assert data is not None
    return data


@pytest.fixture
def folder(tmp_path) -> Path:
    """The log alone, as Tessera leaves it."""
    shutil.copytree(LOG / "tile", tmp_path / "tile")
    shutil.copy(LOG / "checkpoint", tmp_path)
    return tmp_path


def test_its_folder_is_sound(folder):
    report = verify_archive(folder, [KEY])
    assert ((), SIZE, ()) == (report.faults, report.entries, report.strangers)
    assert report.checkpoint is not None
    assert checkpoint("checkpoint") == report.checkpoint.checkpoint
    assert ("tessera.example/log", SIZE) == (KEY.name, checkpoint("checkpoint").size)


def test_its_entries_are_there_and_proved():
    tree = checkpoint("checkpoint")
    source = tile_source(hashes, SIZE)
    tiles = [Tile(0, 0), Tile(0, 1), edge_tiles(SIZE)[0]]
    entries = [one for tile in tiles for one in ArchiveReader(LOG).entries(tile)[1] or []]
    assert [f"entry {index} of a foreign log".encode() for index in range(SIZE)] == entries
    for index, entry in enumerate(entries):
        proof = build_proof(inclusion_plan(index, SIZE), source)
        verify_inclusion(leaf_hash(entry), index, SIZE, proof, tree.root)


@pytest.mark.parametrize("size", [100, 300])
def test_its_older_checkpoints_are_its_beginning(size):
    old, tree = checkpoint(f"checkpoint.{size}"), checkpoint("checkpoint")
    assert size == old.size
    proof = build_proof(consistency_plan(size, SIZE), tile_source(hashes, SIZE))
    verify_consistency(size, old.root, SIZE, tree.root, proof)


def test_a_changed_byte_anywhere_is_found_in_its_file(folder):
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        good = path.read_bytes()
        at = len(good) // 2
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        faults = verify_archive(folder, [KEY]).faults
        assert path.relative_to(folder).as_posix() in {fault.path for fault in faults}
        path.write_bytes(good)
