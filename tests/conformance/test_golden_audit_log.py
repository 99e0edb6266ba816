"""Note, checkpoint, tiles and export, against bytes made without the product's code."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.support.whole_export import write_export
from vault.audit.checkpoint import open_checkpoint
from vault.audit.entry import leaf_hash
from vault.audit.export_format import ExportWriter, Hidden, parse_manifest
from vault.audit.note import VerifierKey
from vault.audit.tiles import Tile, TileBuilder, edge_tiles, write_bundle
from vault.audit.verify import verify_export

VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN = json.loads((VECTORS / "audit_log.json").read_text(encoding="utf-8"))
LOG = VerifierKey.parse(GOLDEN["log_key"])
WITNESS = VerifierKey.parse(GOLDEN["witness_key"])


def entries():
    golden = json.loads((VECTORS / "audit_entry.json").read_text(encoding="utf-8"))
    known = [bytes.fromhex(golden[name]["entry"]) for name in sorted(golden)]
    return [known[index % len(known)] for index in range(GOLDEN["size"])]


def tiles():
    builder = TileBuilder()
    full = [pair for entry in entries() for pair in builder.append(leaf_hash(entry))]
    return dict(full + builder.edge())


def test_golden_file_is_what_its_script_makes():
    from tests.vectors.make_audit_log import make  # noqa: PLC0415

    assert make() == GOLDEN


def test_checkpoint():
    data = GOLDEN["checkpoint"].encode()
    signed = open_checkpoint(data, [LOG], witnesses=[WITNESS], quorum=1)
    assert data == bytes(signed.note)
    assert GOLDEN["checkpoint"].startswith(signed.checkpoint.body() + "\n")
    assert (GOLDEN["size"], GOLDEN["root"]) == (
        signed.checkpoint.size,
        signed.checkpoint.root.hex(),
    )


def test_tiles():
    found = {tile.path: data for tile, data in tiles().items()}
    assert {"tile/0/000", "tile/0/001.p/4", "tile/1/000.p/1"} == set(found)
    assert GOLDEN["tile_0_000_sha256"] == hashlib.sha256(found["tile/0/000"]).hexdigest()
    assert GOLDEN["tile_0_001_p_4"] == found["tile/0/001.p/4"].hex()
    assert GOLDEN["tile_1_000_p_1"] == found["tile/1/000.p/1"].hex()
    bundle = write_bundle(entries()[:256])
    assert GOLDEN["bundle_000_sha256"] == hashlib.sha256(bundle).hexdigest()


@pytest.mark.parametrize("prefix", ["export", "export_2"])
def test_export(prefix):
    line = GOLDEN[f"{prefix}_manifest"].encode() + b"\n"
    manifest = parse_manifest(line)
    assert tuple(tiles()[tile] for tile in edge_tiles(GOLDEN["size"])) == manifest.edge
    lines = list(write_export(manifest, GOLDEN["size"], tiles().__getitem__, entries().__getitem__))
    assert line == lines[0]
    assert GOLDEN[f"{prefix}_sha256"] == hashlib.sha256(b"".join(lines)).hexdigest()
    older = open_checkpoint(GOLDEN["older_checkpoint"].encode(), [LOG]).checkpoint
    assert GOLDEN["older_size"] == older.size
    report = verify_export(lines, [LOG], older=[older], witnesses=[WITNESS], quorum=1)
    assert () == report.findings


@pytest.mark.parametrize(("version", "prefix"), [(1, "export"), (2, "export_2")])
def test_an_export_says_why_a_leaf_is_hidden_since_version_2(version, prefix):
    hidden = {int(index): Hidden(why) for index, why in GOLDEN["hidden"].items()}
    manifest = parse_manifest(GOLDEN[f"{prefix}_manifest"].encode() + b"\n")
    writer, replayed = (ExportWriter(manifest, GOLDEN["size"]) for _ in range(2))
    lines = [writer.manifest_line]
    while (due := writer.due) is not None:
        if isinstance(due, Tile):
            lines.append(writer.tile(due, tiles()[due]))
        elif due in hidden:
            lines.append(writer.hidden(due, leaf_hash(entries()[due]), hidden[due]))
        else:
            lines.append(writer.entry(due, entries()[due]))
        replayed.replay(lines[-1])
    lines.append(writer.finish())
    assert lines[-1] == replayed.finish()
    written = hashlib.sha256(b"".join(lines)).hexdigest()
    assert GOLDEN[f"export_{version}_hidden_sha256"] == written
    report = verify_export(lines, [LOG])
    assert ((), 3, version - 1) == (report.findings, report.hidden, report.archived)
