"""The Merkle tree against a naive recursive one (RFC 9162, section 2.1, word for word)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees import root_at
from vault.audit.entry import leaf_hash
from vault.audit.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ProofError,
    build_proof,
    consistency_plan,
    inclusion_plan,
    node_hash,
    plan_nodes,
    range_nodes,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(number.to_bytes(2)) for number in range(300)]
ROOTS = {}
sizes = st.integers(1, 300)


def naive(leaves):
    """MTH of section 2.1.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def naive_path(index, leaves):
    """PATH of section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if index < k:
        return [*naive_path(index, leaves[:k]), naive(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive(leaves[:k])]


def naive_subproof(size, leaves, whole):
    """SUBPROOF of section 2.1.4.1."""
    if size == len(leaves):
        return [] if whole else [naive(leaves)]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if size <= k:
        return [*naive_subproof(size, leaves[:k], whole), naive(leaves[k:])]
    return [*naive_subproof(size - k, leaves[k:], False), naive(leaves[:k])]


def source(level, index):
    return naive(LEAVES[index << level : (index + 1) << level])


def root(size):
    if size not in ROOTS:
        ROOTS[size] = naive(LEAVES[:size])
    return ROOTS[size]


def refused(check, *arguments):
    try:
        check(*arguments)
    except ProofError:
        return True
    return False


@pytest.mark.parametrize("size", range(301))
def test_growth(size):
    """Leaf by leaf, all at once and from stored nodes: one root."""
    tree = CompactRange()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    assert root(size) == tree.root() == root_of(LEAVES[:size]) == root_at(size, source)
    assert tree.hashes == tuple(source(*node) for node in range_nodes(0, size))
    assert tree.to_bytes() == CompactRange.from_bytes(tree.to_bytes()).to_bytes()


def test_visited_nodes_are_all_perfect_nodes_of_the_tree():
    """A store that keeps what it is shown can answer for every perfect node, and no other."""
    stored = {}
    tree = CompactRange()
    for leaf in LEAVES[:100]:
        tree.append(leaf, lambda level, index, one: stored.update({(level, index): one}))
    perfect = {(level, index) for level in range(7) for index in range(100 >> level)}
    assert perfect == set(stored)
    assert all(source(*node) == one for node, one in stored.items())


@given(sizes, st.data())
def test_ranges_are_covered_once(size, data):
    begin = data.draw(st.integers(0, size))
    nodes = range_nodes(begin, size)
    assert list(range(begin, size)) == [
        leaf for level, index in nodes for leaf in range(index << level, (index + 1) << level)
    ]


@given(sizes, st.data())
def test_inclusion(size, data):
    """As the RFC builds it, verified, and refused for each changed part."""
    index = data.draw(st.integers(0, size - 1))
    plan = inclusion_plan(index, size)
    proof = build_proof(plan, source)
    assert naive_path(index, LEAVES[:size]) == proof
    assert len(plan_nodes(plan)) == len(set(plan_nodes(plan)))
    verify_inclusion(LEAVES[index], index, size, proof, root(size))
    other = data.draw(st.integers(0, 310).filter(lambda one: one != index))
    assert refused(verify_inclusion, LEAVES[index], other, size, proof, root(size))
    assert refused(verify_inclusion, LEAVES[index - 1], index, size, proof, root(size))
    assert refused(verify_inclusion, LEAVES[index], index, size, [*proof, bytes(32)], root(size))
    for at in range(len(proof)):
        assert refused(verify_inclusion, LEAVES[index], index, size, proof[:at], root(size))
        bad = [*proof]
        bad[at] = bytes([bad[at][0] ^ 1]) + bad[at][1:]
        assert refused(verify_inclusion, LEAVES[index], index, size, bad, root(size))


@given(sizes, st.data())
def test_consistency(size2, data):
    """As the RFC builds it, verified, and refused for each changed part."""
    size1 = data.draw(st.integers(1, size2))
    proof = build_proof(consistency_plan(size1, size2), source)
    assert naive_subproof(size1, LEAVES[:size2], True) == proof
    good = [size1, root(size1), size2, root(size2), proof]
    verify_consistency(*good)
    assert refused(verify_consistency, size1, bytes(32), size2, root(size2), proof)
    assert refused(verify_consistency, size1, root(size1), size2, bytes(32), proof)
    assert refused(verify_consistency, *good[:4], [*proof, bytes(32)])
    for at in range(len(proof)):
        assert refused(verify_consistency, *good[:4], proof[:at])
        bad = [*proof]
        bad[at] = bad[at][:-1] + bytes([bad[at][-1] ^ 128])
        assert refused(verify_consistency, *good[:4], bad)


@given(st.integers(2, 1 << 63), st.data())
def test_wrong_forms_of_huge_trees_are_refused_before_hashing(size, data):
    """Lengths follow from index and size, so no size makes a verifier work for long."""
    index = data.draw(st.integers(0, size - 1))
    length = len(inclusion_plan(index, size))
    assert length <= 63
    with pytest.raises(ProofError, match="proof has"):
        verify_inclusion(bytes(32), index, size, [bytes(32)] * (length + 1), bytes(32))
    with pytest.raises(ProofError, match="root is"):
        verify_inclusion(bytes(32), index, size, [bytes(32)] * length, bytes(32))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: verify_inclusion(bytes(31), 0, 1, [], bytes(32)), "leaf"),
        (lambda: verify_inclusion(bytes(32), 1, 1, [], bytes(32)), "index"),
        (lambda: verify_inclusion(bytes(32), -1, 1, [], bytes(32)), "index"),
        (lambda: verify_inclusion(bytes(32), 0, 0, [], EMPTY_ROOT), "size"),
        (lambda: verify_inclusion(bytes(32), 0, 2, [b""], bytes(32)), "proof"),
        (lambda: verify_inclusion(bytes(32), 0, 2, [], bytes(32)), "proof"),
        (lambda: verify_inclusion(bytes(32), 0, 1, [], bytes(31)), "root"),
        (lambda: verify_consistency(0, EMPTY_ROOT, 1, bytes(32), []), "size1"),
        (lambda: verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, []), "size1"),
        (lambda: verify_consistency(2, bytes(32), 1, bytes(32), []), "size1"),
        (lambda: verify_consistency(1, bytes(32), 2, bytes(31), [bytes(32)]), "root2"),
        (lambda: verify_consistency(1, bytes(32), 1, bytes(31), []), "root1"),
        (lambda: inclusion_plan(3, 3), "index"),
        (lambda: consistency_plan(0, 3), "size1"),
    ],
)
def test_errors_name_the_argument(call, argument):
    with pytest.raises(ProofError, match=argument):
        call()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(7),
        bytes(7) + b"\x01",
        bytes(8) + bytes(32),
        bytes(7) + b"\x01" + bytes(31),
        bytes(7) + b"\x03" + bytes(32),
        b"\xff" * 8 + bytes(64 * 32),
    ],
)
def test_compact_range_reads_only_what_it_wrote(data):
    with pytest.raises(ValueError, match=r"size|range|hashes"):
        CompactRange.from_bytes(data)


def test_a_subtree_must_fit():
    tree = CompactRange(1, [bytes(32)])
    with pytest.raises(ValueError, match="level"):
        tree.append_subtree(1, bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        tree.append(bytes(31))
    tree.append(bytes(32))
    tree.append_subtree(1, bytes(32))
    assert (node_hash(node_hash(bytes(32), bytes(32)), bytes(32)),) == tree.hashes
    assert 4 == tree.size


def test_a_full_tree_takes_no_more():
    tree = CompactRange((1 << 63) - 1, [bytes(32)] * 63)
    with pytest.raises(ValueError, match="full"):
        tree.append(bytes(32))
