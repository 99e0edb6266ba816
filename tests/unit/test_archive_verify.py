"""Any folder in the layout of C2SP tlog-tiles is verified, and a fault names its file."""

import struct

import pytest

from tests.support.small_log import Signer, SmallLog, entry_bytes
from vault.audit.archive_files import ArchiveError, ArchiveWriter, EntryArchive
from vault.audit.archive_verify import MAX_FAULTS, verify_archive
from vault.audit.note import KeyType
from vault.audit.tiles import WIDTH, Tile, write_bundle
from vault.cli.main import main


def put(folder, path, data):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)


def publish(log, folder, size=None):
    """Writes the log as its operator would publish it."""
    size = len(log.entries) if size is None else size
    for tile, data in log.tiles(size).items():
        put(folder, tile.path, data)
        if tile.level == 0:
            put(folder, tile.entries_path, write_bundle(log.entries[tile.begin : tile.end]))
    put(folder, "checkpoint", bytes(log.note(size)))


@pytest.fixture(scope="module")
def log():
    return SmallLog.of(70_000)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000])
def test_a_sound_log_of_every_shape(log, tmp_path, size):
    publish(log, tmp_path, size)
    report = verify_archive(tmp_path, log.keys)
    assert (True, size) == (report.is_sound, report.entries)
    assert () == report.strangers


def test_a_foreign_log_whose_entries_are_any_bytes(tmp_path):
    other = SmallLog(
        [b"", b"x" * 65_535, b"\0"], Signer("log.example/foreign"), "log.example/foreign"
    )
    publish(other, tmp_path)
    put(tmp_path, "README", b"hello")
    report = verify_archive(tmp_path, other.keys)
    assert (True, 3, ("README",)) == (report.is_sound, report.entries, report.strangers)


def test_a_log_that_has_grown_behind_its_checkpoint(log, tmp_path):
    """As when the tiles were copied after the checkpoint; partial tiles come from full ones."""
    publish(log, tmp_path, 300)
    publish(log, tmp_path, 600)
    put(tmp_path, "checkpoint", bytes(log.note(300)))
    (tmp_path / "tile/0/001.p/44").unlink()
    (tmp_path / "tile/entries/001.p/44").unlink()
    report = verify_archive(tmp_path, log.keys)
    assert (True, 300) == (report.is_sound, report.entries)
    assert report.later > 0


def test_a_fault_high_up_does_not_hide_those_beside_it(log, tmp_path):
    publish(log, tmp_path)
    for path in ("tile/1/000", "tile/entries/270", "tile/1/001.p/17", "tile/0/273.p/112"):
        data = bytearray((tmp_path / path).read_bytes())
        data[len(data) // 2] ^= 0x80
        put(tmp_path, path, bytes(data))
    report = verify_archive(tmp_path, log.keys)
    assert {"tile/1/000", "tile/entries/270", "tile/1/001.p/17", "tile/0/273.p/112"} == {
        fault.path for fault in report.faults
    }
    assert 0 < next(f.first_index for f in report.faults if f.path == "tile/entries/270")


@pytest.mark.parametrize("cut", [0, 1, 31])
def test_a_file_cut_short_or_longer(log, tmp_path, cut):
    publish(log, tmp_path, 700)
    for path in ("tile/0/000", "tile/entries/001", "tile/0/002.p/188", "tile/1/000.p/2"):
        data = (tmp_path / path).read_bytes()
        for spoilt in (data[:cut], data + b"\0" * (cut or 1)):
            put(tmp_path, path, spoilt)
            faults = verify_archive(tmp_path, log.keys).faults
            assert path in {fault.path for fault in faults}, (path, len(spoilt))
        put(tmp_path, path, data)


def test_entries_that_changed_places(log, tmp_path):
    publish(log, tmp_path, 300)
    swapped = [log.entries[1], log.entries[0], *log.entries[2:WIDTH]]
    put(tmp_path, "tile/entries/000", write_bundle(swapped))
    (fault,) = verify_archive(tmp_path, log.keys).faults
    assert ("tile/entries/000", 0) == (fault.path, fault.first_index)


def test_another_key_another_log_and_no_checkpoint(log, tmp_path):
    publish(log, tmp_path, 10)
    for keys, origin in (([Signer(seed=2).key], None), (log.keys, "other.example/log")):
        report = verify_archive(tmp_path, keys, origin=origin)
        assert ["checkpoint"] == [fault.path for fault in report.faults]
        assert report.checkpoint is None
    (tmp_path / "checkpoint").unlink()
    assert not verify_archive(tmp_path, log.keys).is_sound


def test_witnesses_may_be_needed(tmp_path, capsys):
    log, witness = SmallLog.of(3), Signer("witness.example/w1", KeyType.COSIGNATURE, 41)
    publish(log, tmp_path)
    needed = {"witnesses": [witness.key], "quorum": 1}
    options = ["--key", str(log.signer.key), "--witness-key", str(witness.key)]
    (fault,) = verify_archive(tmp_path, log.keys, **needed).faults
    assert ("checkpoint", True) == (fault.path, "0 of 1 needed witnesses" in fault.detail)
    assert 1 == main(["audit", "verify-archive", str(tmp_path), *options])
    put(tmp_path, "checkpoint", bytes(log.note(cosigners=((witness, 1_700_000_000),))))
    assert verify_archive(tmp_path, log.keys, **needed).is_sound
    assert 0 == main(["audit", "verify-archive", str(tmp_path), *options])


def test_a_fork_is_no_fit_for_the_signed_root(log, tmp_path):
    publish(SmallLog.of(300, purpose="other"), tmp_path)
    put(tmp_path, "checkpoint", bytes(log.note(300)))
    report = verify_archive(tmp_path, log.keys)
    assert {"checkpoint"} == {fault.path for fault in report.faults}


def test_bundles_may_be_missing_when_a_part_will_do(log, tmp_path):
    publish(log, tmp_path, 600)
    (tmp_path / "tile/entries/001").unlink()
    assert not verify_archive(tmp_path, log.keys).is_sound
    report = verify_archive(tmp_path, log.keys, part=True)
    assert (True, 1, 344) == (report.is_sound, report.missing_bundles, report.entries)


def test_it_stops_after_so_many_faults(log, tmp_path):
    publish(log, tmp_path)
    for index in range(MAX_FAULTS + 50):
        put(tmp_path, Tile(0, index).entries_path, b"")
    assert MAX_FAULTS == len(verify_archive(tmp_path, log.keys).faults)


def index_of(*records):
    return b"".join(struct.pack(">16sQ", *record) for record in records)


def test_an_index_must_rise_and_lead_to_its_entries(log, tmp_path):
    publish(log, tmp_path, 600)
    ids = [one[1:17] for one in log.entries]
    good = index_of((ids[0], 0), (ids[300], 300), (ids[599], 599))
    put(tmp_path, "index/2023-11", good)
    assert 3 == verify_archive(tmp_path, log.keys).indexed
    for bad in (
        index_of((ids[300], 300), (ids[0], 0)),
        index_of((ids[0], 0), (ids[0], 0)),
        index_of((ids[0], 1)),
        index_of((ids[0], 600)),
        good[:-1],
    ):
        put(tmp_path, "index/2023-11", bad)
        (fault,) = verify_archive(tmp_path, log.keys).faults
        assert "index/2023-11" == fault.path


def test_a_file_is_whole_or_not_there_and_never_another(tmp_path):
    writer = ArchiveWriter(tmp_path)
    writer.keep("tile/0/000", b"a")
    with writer.keep_long("index/2023-11") as file:
        file.write(b"long")
    writer.settle()
    writer.keep("tile/0/000", b"a")
    assert 2 == writer.written
    for other in (b"", b"b", b"ab"):
        with pytest.raises(ArchiveError, match="other bytes"):
            writer.keep("tile/0/000", other)
    with pytest.raises(ArchiveError, match="other bytes"), writer.keep_long("index/2023-11") as f:
        f.write(b"other")
    assert b"long" == (tmp_path / "index/2023-11").read_bytes()
    with pytest.raises(KeyError), writer.keep_long("index/2023-12") as file:
        raise KeyError
    assert not (tmp_path / "index/2023-12").exists()
    writer.close()


def test_the_service_finds_entries_in_full_and_partial_bundles(log, tmp_path):
    publish(log, tmp_path, 300)
    archive = EntryArchive(tmp_path)
    assert log.entries[:256] == archive.block(0)
    assert log.entries[256:300] == archive.block(1)
    publish(log, tmp_path, 310)
    assert log.entries[256:310] == archive.block(1)
    assert [] == archive.block(2)


def test_the_command_names_each_file(log, tmp_path, capsys):
    publish(log, tmp_path, 300)
    argv = ["audit", "verify-archive", str(tmp_path), "--key", str(log.keys[0])]
    assert 0 == main(argv)
    assert "sound: log pdvault.example/audit, 300 leaves, 300 entries" in capsys.readouterr().out
    (tmp_path / "tile/0/000").write_bytes(entry_bytes(1))
    assert 1 == main([*argv, "--json"])
    assert '"path": "tile/0/000"' in capsys.readouterr().out
    assert 2 == main([*argv[:2], str(tmp_path / "nothing"), *argv[3:]])
    assert 2 == main([*argv[:3], "--key", "nonsense"])
