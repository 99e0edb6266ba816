"""`audit export`: every format, cut at every place and continued, and a vault that lies."""

import contextlib
import csv
import dataclasses
import hashlib
import json

import pytest

from tests.support.log_vault import LogVault, in_place_of
from tests.support.small_log import Signer, SmallLog
from vault.audit.entry import decode
from vault.audit.note import KeyType
from vault.audit.tiles import FULL, Tile, parse_path, read_bundle
from vault.cli.main import main

LOG = SmallLog.of(600)
SMALL = SmallLog.of(9)
KEY = str(LOG.signer.key)


@pytest.fixture
def serve(monkeypatch):
    def serve(log=LOG, **options):
        vault = LogVault(log, **options)
        stack.enter_context(in_place_of(monkeypatch, vault, "audit_export"))
        return vault

    with contextlib.ExitStack() as stack:
        yield serve


def run(path, *options):
    return main(["audit", "export", str(path), *options])


def test_json_lines_are_the_format(serve, tmp_path, capsys):
    serve()
    path = tmp_path / "log.jsonl"
    assert 0 == run(path, "--key", KEY)
    assert b"".join(LOG.export()) == path.read_bytes()
    assert 0 == main(["audit", "verify", str(path), "--key", KEY])
    assert 1 == run(path)
    assert "is there already" in capsys.readouterr().err
    assert 0 == run(path, "--resume")
    assert "is complete" in capsys.readouterr().err


def test_a_part(serve, tmp_path):
    serve()
    path = tmp_path / "log.jsonl"
    assert 0 == run(path, "--from-index", "100", "--until-index", "300")
    assert b"".join(LOG.export(100, 300)) == path.read_bytes()
    assert 2 == run(tmp_path / "x", "--from-index", "3", "--until-index", "3")
    assert 2 == run(tmp_path / "x", "--format", "tiles", "--from-index", "3")


@pytest.mark.parametrize("keys", [(), ("--key", KEY)], ids=["plain", "verified"])
def test_every_cut_of_a_small_export_is_continued(serve, tmp_path, keys):
    """Also under the old checkpoint, when the log has grown meanwhile."""
    vault = serve(SmallLog.of(12), size=9)
    path = tmp_path / "log.jsonl"
    whole = b"".join(SMALL.export())
    head = whole.index(b"\n") + 1
    for cut in range(head, len(whole), 11 if not keys else 67):
        vault.size = 12
        path.write_bytes(whole[:cut])
        assert 0 == run(path, "--resume", *keys)
        assert whole == path.read_bytes(), cut
        path.unlink()


@pytest.mark.parametrize("lines", [1, 2, 3, 257, 258, 259, 300, 514, 515, 602])
def test_cuts_between_blocks_are_continued(serve, tmp_path, lines):
    serve()
    path = tmp_path / "log.jsonl"
    whole = LOG.export()
    path.write_bytes(b"".join(whole[:lines]) + whole[lines][:5])
    assert 0 == run(path, "--resume", "--key", KEY)
    assert b"".join(whole) == path.read_bytes()


def test_what_is_no_export_is_not_continued(serve, tmp_path, capsys):
    vault = serve()
    path = tmp_path / "log.jsonl"
    whole = LOG.export()
    for lines in ([b"{}\n"], [*whole[:5], whole[7]], [*whole, b"more\n"], [*whole[:-1], b"{}\n"]):
        path.write_bytes(b"".join(lines))
        assert 1 == run(path, "--resume")
        assert "can't be continued" in capsys.readouterr().err
        assert b"".join(lines) == path.read_bytes()
    assert [] == vault.asked
    path.write_bytes(whole[0][:20])  # nothing of worth
    assert 0 == run(path, "--resume")
    assert b"".join(whole) == path.read_bytes()


def test_another_log_does_not_continue_it(serve, tmp_path, capsys):
    serve(SmallLog.of(9, "after_sales"))
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(SMALL.export()[:4]))
    assert 1 == run(path, "--resume")
    assert "another one than that of the export" in capsys.readouterr().err


def test_other_tenants_leaves_are_hashes(serve, tmp_path, capsys):
    serve(SMALL, hidden={2, 3})
    path = tmp_path / "log.jsonl"
    assert 0 == run(path, "--key", KEY, "--json")
    assert 2 == json.loads(capsys.readouterr().out)["hidden"]
    assert 2 == path.read_bytes().count(b'"h":"')
    assert 0 == main(["audit", "verify", str(path), "--key", KEY])
    assert "2 of them as hashes only" in capsys.readouterr().out


class Liar(LogVault):
    """Shows another entry at index 5."""

    def leaf(self, index):
        leaf = super().leaf(index)
        return dataclasses.replace(leaf, entry=self.log.entries[6]) if index == 5 else leaf


class ConsistentLiar(Liar):
    def leaf(self, index):
        leaf = super().leaf(index)
        return dataclasses.replace(leaf, leaf_hash=self.hashes[6]) if index == 5 else leaf


@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf", "tiles"])
@pytest.mark.parametrize("liar", [Liar, ConsistentLiar])
def test_a_vault_that_lies_is_found_while_it_is_written(monkeypatch, tmp_path, liar, form):
    with in_place_of(monkeypatch, liar(SMALL), "audit_export"):
        path = tmp_path / "out"
        assert 1 == run(path, "--format", form, "--key", KEY)
        assert not (path / "checkpoint").exists()
        manifest = tmp_path / "out.manifest.json"
        assert not manifest.exists() or not json.loads(manifest.read_text())["complete"]


def test_a_checkpoint_of_another_key_is_refused(serve, tmp_path):
    serve(SMALL)
    for form in ("jsonl", "csv", "tiles"):
        key = str(Signer(seed=2).key)
        assert 1 == run(tmp_path / form, "--format", form, "--key", key)


def test_csv_has_a_row_for_each_item(serve, tmp_path):
    serve(SMALL, hidden={4})
    path = tmp_path / "log.csv"
    assert 0 == run(path, "--format", "csv", "--key", KEY)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [0, 1, 2, 3, 5, 6, 7, 8] == [int(row["index"]) for row in rows]
    row = rows[3]
    assert ("phone", "FULL", "ALLOWED", "reveal-full", "delivery", "shipping") == (
        row["field_type"],
        row["view"],
        row["item_verdict"],
        row["policies"],
        row["purpose"],
        row["roles"],
    )
    assert SMALL.hashes()[3].hex() == row["leaf_hash"]
    manifest = json.loads((tmp_path / "log.csv.manifest.json").read_text())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest["sha256"]
    assert (True, 0, 9, 8) == (
        manifest["complete"],
        manifest["from"],
        manifest["until"],
        manifest["rows"],
    )
    assert bytes(SMALL.note()).decode() == manifest["checkpoint"]


def test_ocsf_has_what_the_schema_requires(serve, tmp_path):
    """https://schema.ocsf.io/1.8.0/classes/api_activity, attributes of requirement `required`."""
    serve(SMALL)
    path = tmp_path / "log.ocsf"
    assert 0 == run(path, "--format", "ocsf")
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert list(range(9)) == [event["metadata"]["sequence"] for event in events]
    event = events[3]
    required = {"activity_id", "actor", "api", "category_uid", "class_uid", "metadata"}
    required |= {"severity_id", "src_endpoint", "time", "type_uid"}
    assert required <= event.keys()
    assert {"version", "product"} <= event["metadata"].keys()
    assert "operation" in event["api"]
    assert (6, 6003, 600302) == (event["category_uid"], event["class_uid"], event["type_uid"])
    assert decode(SMALL.entries[3]).time_us // 1000 == event["time"]
    (resource,) = event["resources"]
    assert ("phone", "FULL") == (resource["name"], resource["data"]["view"])
    assert SMALL.hashes()[3].hex() == event["unmapped"]["leaf_hash"]


@pytest.mark.parametrize("form", ["csv", "ocsf"])
def test_every_cut_of_a_table_is_continued(serve, tmp_path, form):
    vault = serve(SmallLog.of(12), size=9)
    path, manifest = tmp_path / "log", tmp_path / "log.manifest.json"
    assert 0 == run(path, "--format", form)
    whole, done = path.read_bytes(), manifest.read_text()
    vault.size = 12
    for cut in range(0, len(whole) + 1, 101):
        path.write_bytes(whole[:cut])
        manifest.write_text(done.replace(json.loads(done)["sha256"], ""))
        assert 0 == run(path, "--format", form, "--resume")
        assert whole == path.read_bytes(), cut
        assert done == manifest.read_text(), cut
    manifest.unlink()
    assert 1 == run(path, "--format", form, "--resume")


def test_tiles_are_those_of_the_specification_and_grow(serve, tmp_path):
    vault = serve(size=300)
    folder = tmp_path / "tiles"
    assert 0 == run(folder, "--format", "tiles", "--key", KEY)
    assert bytes(LOG.note(300)) == (folder / "checkpoint").read_bytes()
    vault.size = 600
    assert 0 == run(folder, "--format", "tiles", "--resume", "--key", KEY)
    assert (256, 600, 600) == vault.asked[1]
    assert bytes(LOG.note(600)) == (folder / "checkpoint").read_bytes()
    for tile, hashes in LOG.tiles().items():
        assert hashes == (folder / tile.path).read_bytes()
    for index in range(3):
        tile = Tile(0, index, 256 if index < 2 else 88)
        bundle = read_bundle((folder / tile.entries_path).read_bytes(), tile.width)
        assert LOG.entries[index * 256 : index * 256 + 256] == bundle
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert all(parse_path(str(name)) for name in names if str(name) != "checkpoint")


def test_tiles_of_a_reader_who_does_not_see_all(serve, tmp_path, capsys):
    serve(hidden={300})
    folder = tmp_path / "tiles"
    assert 0 == run(folder, "--format", "tiles", "--key", KEY)
    assert "1 bundles of entries left out" in capsys.readouterr().err
    assert (folder / "tile/entries/000").exists()
    assert not (folder / "tile/entries/001").exists()
    assert FULL == len((folder / "tile/0/001").read_bytes())


def test_tiles_that_were_damaged_or_rolled_back(serve, tmp_path, capsys):
    vault = serve()
    folder = tmp_path / "tiles"
    assert 0 == run(folder, "--format", "tiles")
    (folder / "checkpoint").unlink()
    tile = folder / "tile/0/000"
    tile.write_bytes(tile.read_bytes()[32:] + bytes(32))
    assert 1 == run(folder, "--format", "tiles", "--resume")
    assert "do not give the root" in capsys.readouterr().err
    assert not (folder / "checkpoint").exists()
    vault.size = 200
    assert 1 == run(folder, "--format", "tiles", "--resume")
    assert "rolled back" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf", "tiles"])
def test_an_export_may_need_witnesses(serve, tmp_path, capsys, form):
    witness = Signer("witness.example/w1", KeyType.COSIGNATURE, 41)
    options = ("--format", form, "--key", KEY, "--witness-key", str(witness.key))
    serve()
    assert 1 == run(tmp_path / "without", *options)
    assert "0 of 1 needed witnesses" in capsys.readouterr().err
    serve(cosigners=((witness, 1_700_000_000),))
    assert 0 == run(tmp_path / "with", *options)
    assert 2 == run(tmp_path / "other", *options[:2], "--witness-key", str(witness.key))
