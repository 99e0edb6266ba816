"""The export's lines: one spelling each; a writer that refuses what is not due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.small_log import SmallLog
from vault.audit.export_format import (
    EndLine,
    ExportFormatError,
    ExportWriter,
    Hidden,
    LeafLine,
    Manifest,
    TileLine,
    parse_line,
    parse_manifest,
    steps,
)
from vault.audit.tiles import Tile

LOG = SmallLog.of(300)
LINES = LOG.export(older=(5, 256))
MANIFEST = LINES[0]


@pytest.mark.parametrize(
    "line",
    [
        LeafLine(0, b"abc", None),
        LeafLine((1 << 63) - 1, b"", None),
        LeafLine(7, None, bytes(32)),
        LeafLine(7, None, bytes(32), Hidden.TENANT),
        LeafLine(7, None, bytes(32), Hidden.ARCHIVE),
        TileLine(Tile(0, 12), bytes(8192)),
        TileLine(Tile(63, 1 << 60), bytes(8192)),
        EndLine(0, "0" * 64),
    ],
)
def test_round_trip(line):
    assert line == parse_line(line.line())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b'{"i":0,"e":"YWJj"}',
        b'{"i":0,"e":"YWJj"}\r\n',
        b'{"i":0,"e":"YWJj"} \n',
        b' {"i":0,"e":"YWJj"}\n',
        b'{"i": 0,"e":"YWJj"}\n',
        b'{"e":"YWJj","i":0}\n',
        b'{"i":00,"e":"YWJj"}\n',
        b'{"i":-1,"e":"YWJj"}\n',
        b'{"i":1e3,"e":"YWJj"}\n',
        b'{"i":"0","e":"YWJj"}\n',
        b'{"i":0,"e":"YWJ"}\n',
        b'{"i":0,"e":"YWJ="}\n',
        b'{"i":0,"e":"YW\\u004aj"}\n',
        b'{"i":0,"e":"YWJj","e":"YWJj"}\n',
        b'{"i":0,"e":"\xff"}\n',
        b'{"i":0,"h":"YWJj"}\n',
        b'{"i":0,"x":"YWJj"}\n',
        b'{"t":[0,0],"h":"YWJj"}\n',
        b'{"t":[99,0],"h":"' + b"A" * 10923 + b'="}\n',
        b'{"end":1,"sha256":"00"}\n',
        b'{"end":1,"sha256":"' + b"A" * 64 + b'"}\n',
    ],
)
def test_other_spellings_are_refused(line):
    with pytest.raises(ExportFormatError):
        parse_line(line)


def test_manifest_round_trip():
    manifest = parse_manifest(MANIFEST)
    assert MANIFEST == manifest.line()
    assert [5, 256] == list(manifest.consistency)
    assert (0, 300) == (manifest.begin, manifest.end)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"export/2", b"export/3"),
        (b"export/2", b"export/02"),
        (b'"from":0', b'"from":00'),
        (b'"from":0', b'"from":0.0'),
        (b'"from":0', b'"from":-1'),
        (b'"from":0', b'"from":false'),
        (b'"from":0', b'"from":null'),
        (b'"from":0', b'"from":301'),
        (b'"from":0', b'"from":0,"from":0'),
        (b'"until":300', b'"until":9223372036854775808'),
        (b'"origin":"', b'"origin":["'),
        (b'"edge":[', b'"more":1,"edge":['),
        (b'"edge":[', b'"edge":[1,'),
        (b'"edge":[', b'"edge":["A",'),
        (b'"edge":[', b'"edge": ['),
        (b'"edge"', b'"corner"'),
        (b'"size":5,', b'"size":256,'),
        (b'"size":5,', b'"size":"5",'),
        (b"\\n", b"\\u000a"),
        (b'"checkpoint":"', b'"checkpoint":"\\ud800'),
        (b"}\n", b"}"),
        (b"{", b"[" * 100_000 + b"{"),
        (b"{", b"{" + b" " * (1 << 21)),
    ],
)
def test_other_manifests_are_refused(old, new):
    assert old in MANIFEST
    with pytest.raises(ExportFormatError):
        parse_manifest(MANIFEST.replace(old, new, 1))


@given(st.integers(0, 200_000), st.data())
def test_steps_give_each_leaf_once_and_each_tile_before_what_is_under_it(size, data):
    begin = data.draw(st.integers(0, size))
    end = data.draw(st.integers(begin, min(size, begin + 2000)))
    open_tiles = set()
    at = begin
    for step in steps(begin, end, size):
        if isinstance(step, Tile):
            assert step.is_full
            assert step.begin < end
            assert step.end > begin
            above = Tile(step.level + 1, step.index // 256)
            assert above in open_tiles or above.end > size
            open_tiles.add(step)
        else:
            assert at == step.start
            at = step.stop
            above = Tile(0, step.start // 256)
            assert above in open_tiles or above.end > size
    assert at == end


def test_no_steps_outside_the_tree():
    for begin, end, size in [(0, 2, 1), (2, 1, 3), (-1, 1, 3)]:
        with pytest.raises(ValueError, match="range"):
            list(steps(begin, end, size))


def writer():
    return ExportWriter(parse_manifest(MANIFEST), 300)


def test_a_writer_refuses_what_is_not_due():
    one = writer()
    assert Tile(0, 0) == one.due
    with pytest.raises(ValueError, match="due"):
        one.entry(0, b"x")
    with pytest.raises(ValueError, match="full tile"):
        one.tile(Tile(0, 0), b"")
    one.tile(Tile(0, 0), LOG.tiles()[Tile(0, 0)])
    assert 0 == one.due
    with pytest.raises(ValueError, match="due"):
        one.entry(1, b"x")
    with pytest.raises(ValueError, match="32"):
        one.hidden(0, b"", Hidden.TENANT)
    with pytest.raises(ValueError, match="not complete"):
        one.finish()


def test_a_writer_refuses_an_edge_of_another_size():
    with pytest.raises(ValueError, match="edge"):
        ExportWriter(parse_manifest(MANIFEST), 299)


@pytest.mark.parametrize("cut", [1, 2, 100, 258, 300, 302])
def test_going_on_with_an_export_that_was_cut(cut):
    """The rest comes out as if nothing had happened."""
    one = writer()
    assert LINES[0] == one.manifest_line
    for line in LINES[1:cut]:
        one.replay(line)
    rest = []
    while one.due is not None:
        rest.append(
            one.tile(one.due, LOG.tiles()[one.due])
            if isinstance(one.due, Tile)
            else one.entry(one.due, LOG.entries[one.due])
        )
    assert LINES == [*LINES[:cut], *rest, one.finish()]


def test_replay_refuses_other_lines():
    for line in (LINES[5], LINES[-1], b"x\n"):
        with pytest.raises(ValueError, match=r"due|complete|line"):
            writer().replay(line)


def test_manifest_without_proofs_has_no_such_member():
    assert b"consistency" not in Manifest("o", 0, 0, "c", (), {}).line()
