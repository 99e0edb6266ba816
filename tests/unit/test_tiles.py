"""Tiles: the specification's examples, strict paths, and a tree rebuilt from its tiles."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees import all_tiles, root_at
from vault.audit.entry import leaf_hash
from vault.audit.merkle import (
    build_proof,
    consistency_plan,
    inclusion_plan,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from vault.audit.tiles import (
    Tile,
    TileBuilder,
    TileError,
    edge_tiles,
    node_tile,
    parse_path,
    read_bundle,
    root_of_edge,
    split_hashes,
    tile_source,
    write_bundle,
)

SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, 70_000]
LEAVES = [leaf_hash(number.to_bytes(4)) for number in range(70_000)]


def grow():
    """The tiles and roots of the trees of all `SIZES`."""
    builder = TileBuilder()
    full = {}
    trees = {0: ({}, builder.root())}
    for leaf in LEAVES:
        full |= dict(builder.append(leaf))
        if builder.size in SIZES:
            trees[builder.size] = (full | dict(builder.edge()), builder.root())
    return trees


TREES = grow()


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 999), "tile/1/999"),
        (Tile(2, 1000), "tile/2/x001/000"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Tile(63, 5, 1), "tile/63/005.p/1"),
    ],
)
def test_paths(tile, path):
    assert path == tile.path
    assert (tile, False) == parse_path(path)


def test_entries_paths():
    tile = Tile(0, 1_234_067, 255)
    assert "tile/entries/x001/x234/067.p/255" == tile.entries_path
    assert (tile, True) == parse_path(tile.entries_path)
    with pytest.raises(TileError, match="level 0"):
        _ = Tile(1, 0).entries_path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/entries/000.p/999",
        "tile/0/../000",
        "tile/0/\u0660\u0660\u0660",
        "checkpoint",
    ],
)
def test_malformed_paths(path):
    with pytest.raises(TileError):
        parse_path(path)


@pytest.mark.parametrize("parts", [(-1, 0), (64, 0), (0, -1), (0, 0, 0), (0, 0, 257)])
def test_no_such_tile(parts):
    with pytest.raises(TileError):
        Tile(*parts)


def test_the_specifications_tree_of_70_000():
    """273 full tiles of level 0 and one of 112; one full of level 1 and one of 17; one of 1."""
    tiles = list(all_tiles(70_000))
    assert 273 == sum(tile.is_full and tile.level == 0 for tile in tiles)
    assert 1 == sum(tile.is_full and tile.level == 1 for tile in tiles)
    assert [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)] == edge_tiles(70_000)
    assert 273 + 1 + 3 == len(tiles)


def test_the_specifications_tree_of_256():
    assert [Tile(0, 0), Tile(1, 0, 1)] == list(all_tiles(256))


@pytest.mark.parametrize("size", SIZES)
def test_a_grown_tree_has_exactly_its_tiles(size):
    tiles, root = TREES[size]
    assert root_of(LEAVES[:size]) == root == root_of_edge(size, tiles.__getitem__)
    listed = set(all_tiles(size))
    assert listed <= set(tiles)
    assert all(len(split_hashes(tile, tiles[tile])) == tile.width for tile in listed)
    assert set(edge_tiles(size)) == {tile for tile in listed if not tile.is_full}


@pytest.mark.parametrize("size", SIZES[1:])
def test_taking_up_a_tree_from_its_edge(size):
    """A builder that starts from stored tiles goes on as the one that wrote them."""
    tiles, root = TREES[size]
    builder = TileBuilder(size, tiles.__getitem__)
    assert root == builder.root()
    again = TileBuilder(size, dict(builder.edge()).__getitem__)
    for leaf in LEAVES[:300]:
        assert builder.append(leaf) == again.append(leaf)
    assert root_of([*LEAVES[:size], *LEAVES[:300]]) == again.root()


@given(st.sampled_from(SIZES[1:]), st.data())
def test_proofs_from_tiles(size, data):
    tiles, _ = TREES[size]
    source = tile_source(tiles.__getitem__, size)
    index = data.draw(st.integers(0, size - 1))
    root = root_at(size, source)
    proof = build_proof(inclusion_plan(index, size), source)
    verify_inclusion(LEAVES[index], index, size, proof, root)
    size1 = data.draw(st.integers(1, size))
    proof = build_proof(consistency_plan(size1, size), source)
    verify_consistency(size1, root_at(size1, source), size, root, proof)


@pytest.mark.parametrize(("level", "index"), [(0, 10), (4, 0), (1, 5), (-1, 0), (0, -1)])
def test_nodes_that_a_tree_does_not_have(level, index):
    with pytest.raises(TileError):
        node_tile(level, index, 10)


def test_tiles_of_a_wrong_length_are_refused():
    with pytest.raises(TileError):
        split_hashes(Tile(0, 0, 2), bytes(63))
    with pytest.raises(TileError):
        TileBuilder(3, lambda _: bytes(64))
    with pytest.raises(TileError):
        TileBuilder(3)
    with pytest.raises(TileError):
        TileBuilder().append(bytes(31))


@given(st.lists(st.binary(max_size=20), max_size=256))
def test_bundles(entries):
    assert entries == read_bundle(write_bundle(entries), len(entries))


@pytest.mark.parametrize("data", [b"\0", b"\0\2a", b"\0\1a", b"\0\1a\0", b"\0\1a\0\1b\0\1c"])
def test_malformed_bundles(data):
    with pytest.raises(TileError):
        read_bundle(data, 2)


def test_what_does_not_fit_a_bundle():
    """The specification's lengths have 16 bits."""
    assert b"\xff\xff" == write_bundle([bytes(65_535)])[:2]
    with pytest.raises(TileError, match="too long"):
        write_bundle([bytes(65_536)])
    with pytest.raises(TileError, match="256"):
        write_bundle([b""] * 257)


def test_a_full_tile_is_8192_bytes_of_leaf_hashes():
    tile = TREES[256][0][Tile(0, 0)]
    assert 8192 == len(tile)
    assert hashlib.sha256(b"\0" + bytes(4)).digest() == tile[:32]
