"""The records within a backup, and their one order; what is authentic may still be nonsense."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.backup_manifest import MANIFEST
from vault.app.restore import write_files
from vault.backup.contents import (
    Data,
    File,
    Manifest,
    TableEnd,
    Writer,
    read_records,
)
from vault.backup.stream import BackupError


def records(manifest: Manifest = MANIFEST) -> list[bytes]:
    writer = Writer()
    return [
        writer.manifest(manifest),
        writer.file(File("policies/a.yaml", b"x")),
        writer.table(0),
        writer.data(b"abc"),
        writer.data(b"de"),
        writer.table_end(2),
        writer.table(1),
        writer.table_end(0),
        writer.end(),
    ]


def read(parts: list[bytes]) -> list[object]:
    return list(read_records(parts))


def test_everything_comes_back():
    manifest, file, first, *rest = read(records())
    assert (MANIFEST, File("policies/a.yaml", b"x")) == (manifest, file)
    assert MANIFEST.tables[0] == first
    assert [Data(b"abc"), Data(b"de")] == rest[:2]
    assert isinstance(rest[2], TableEnd)
    assert 2 == rest[2].rows


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_borders_of_chunks_do_not_matter(cuts):
    data = b"".join(records())
    places = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    chunks = [data[a:b] for a, b in pairwise(places)]
    assert read(records()) == read(chunks)


def test_a_record_that_is_left_out_doubled_or_moved_is_noticed():
    parts = records()
    for at in range(len(parts)):
        if at == 1:
            continue  # without a file there is one file less, and the manifest tells of none
        with pytest.raises(BackupError):
            read(parts[:at] + parts[at + 1 :])
    for at in (0, 2, 3, 5, 6, 7, 8):
        with pytest.raises(BackupError):
            read([*parts[: at + 1], *parts[at:]])
    for at in range(len(parts) - 1):
        with pytest.raises(BackupError):
            read([*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]])
    with pytest.raises(BackupError):
        read([])


def test_rows_are_counted():
    writer = Writer()
    wrong = [*records()[:5], *_ended(writer), *records()[6:]]
    with pytest.raises(BackupError):
        read(wrong)


def _ended(writer: Writer) -> list[bytes]:
    """An end that tells of more rows than the last record knows."""
    writer.table(0)
    writer.data(b"abcde")
    return [writer.table_end(3)]


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b'{"format":2}', b'{"format":1}', b"\xff", b"[" * 5000]
)
def test_a_manifest_of_another_form_is_refused(data):
    with pytest.raises(BackupError):
        Manifest.decode(data)


def test_a_record_that_is_too_long_is_refused_before_it_is_read():
    with pytest.raises(BackupError, match="too long"):
        read([b"M\xff\xff\xff\xff"])


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "."])
def test_a_file_never_leaves_its_folder(tmp_path, path):
    with pytest.raises((BackupError, OSError)):
        write_files((File(path, b"x"),), MANIFEST, tmp_path / "to")
    assert [tmp_path / "to"] == list(tmp_path.iterdir())


def test_files_go_into_a_new_folder_only(tmp_path):
    with pytest.raises(FileExistsError):
        write_files((), MANIFEST, tmp_path)


def test_a_manifest_says_when_it_is_of_another_version():
    text = MANIFEST.encode().replace(b'"format": 1', b'"format": 9')
    with pytest.raises(BackupError, match="another version"):
        Manifest.decode(text)
    assert MANIFEST == Manifest.decode(MANIFEST.encode())
    assert MANIFEST != dataclasses.replace(MANIFEST, leaves=4)
