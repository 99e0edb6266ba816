"""The Merkle tree of RFC 6962 and 9162: growth, roots and proofs, over SHA-256.

Knows nothing of storage, time or signatures. Nodes are named (level, index): level 0
holds the leaf hashes, and node (l, i) is the root of the leaves [i * 2^l, (i + 1) * 2^l).
Only such *perfect* nodes are ever asked of a store; the ragged right edge is folded
here. A proof is planned first (`inclusion_plan`, `consistency_plan`) as leaf
ranges, so that a caller with an asynchronous store can fetch `plan_nodes` in one trip
and then build without waiting. docs/adr/0010-merkle-edges.md decides the edge cases.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Self

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of no leaves (RFC 9162, section 2.1.1)."""
MAX_SIZE = (1 << 63) - 1
"""Leaves; what PostgreSQL's bigint holds, and what C2SP asks verifiers to bear."""

_U64 = struct.Struct(">Q")

Node = tuple[int, int]
"""(level, index)."""
HashSource = Callable[[int, int], bytes]
"""Gives the hash of a perfect node by level and index; raises LookupError if it can't."""
Range = tuple[int, int]
"""Leaves [begin, end)."""


class ProofError(ValueError):
    """A proof, or what it is said to prove, is not acceptable; the text names the argument."""


class RootMismatchError(ProofError):
    """Everything has the right form, but the hashes give another root."""

    def __init__(self, argument: str, expected: bytes, computed: bytes) -> None:
        super().__init__(f"{argument} is {expected.hex()}, the proof gives {computed.hex()}")
        self.argument = argument
        self.expected = expected
        self.computed = computed


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 9162, section 2.1.1): SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root of these leaves, in order, all in memory; `EMPTY_ROOT` for none."""
    row = list(leaf_hashes)
    while len(row) > 1:
        # A last one without a partner rises as it is: the tree is full to its left.
        odd = row[-1:] if len(row) % 2 else []
        pairs = zip(row[::2], row[1::2], strict=False)
        row = [node_hash(left, right) for left, right in pairs] + odd
    return row[0] if row else EMPTY_ROOT


class CompactRange:
    """A tree that holds its right edge only: enough to grow it and to know its root.

    Attributes:
        size: leaves so far.
        hashes: the perfect subtrees that the leaves split into, the largest (leftmost)
            first; as many as `size` has set bits.
    """

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Takes up a tree where `size` and `hashes` of another range left it.

        Raises:
            ValueError: the size is out of range, or the hashes don't fit it.
        """
        if not 0 <= size <= MAX_SIZE:
            raise ValueError("size is out of range")
        if len(hashes) != size.bit_count():
            raise ValueError("hashes are not as many as the size asks for")
        if any(len(one) != HASH_SIZE for one in hashes):
            raise ValueError("hashes holds one that is not 32 bytes")
        self.size = size
        self._hashes = list(hashes)

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return tuple(self._hashes)

    def append(
        self, leaf_hash: bytes, visit: Callable[[int, int, bytes], None] | None = None
    ) -> None:
        """Adds one leaf.

        Args:
            leaf_hash: 32 bytes, see `vault.audit.entry.leaf_hash`.
            visit: called with (level, index, hash) of every node that is now complete,
                the leaf first.

        Raises:
            ValueError: not 32 bytes, or the tree is full.
        """
        self.append_subtree(0, leaf_hash, visit)

    def append_subtree(
        self, level: int, root: bytes, visit: Callable[[int, int, bytes], None] | None = None
    ) -> None:
        """Adds 2^level leaves at once by the root of their perfect subtree.

        Raises:
            ValueError: not 32 bytes, the size is not a multiple of 2^level, or the tree is full.
        """
        if len(root) != HASH_SIZE:
            raise ValueError("root is not 32 bytes")
        if level < 0 or self.size & ((1 << level) - 1):
            raise ValueError("level does not fit the size of the tree")
        if self.size + (1 << level) > MAX_SIZE:
            raise ValueError("the tree is full")
        index = self.size >> level
        if visit is not None:
            visit(level, index, root)
        while index & 1:
            root = node_hash(self._hashes.pop(), root)
            level, index = level + 1, index >> 1
            if visit is not None:
                visit(level, index, root)
        self._hashes.append(root)
        self.size = (index + 1) << level

    def root(self) -> bytes:
        return _fold(self._hashes) if self._hashes else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """The size as 8 bytes, big-endian, then the hashes, the largest subtree first."""
        return _U64.pack(self.size) + b"".join(self._hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` wrote.

        Raises:
            ValueError: anything else.
        """
        if len(data) < _U64.size or (len(data) - _U64.size) % HASH_SIZE:
            raise ValueError("data is not a compact range")
        (size,) = _U64.unpack_from(data)
        return cls(
            size, [data[at : at + HASH_SIZE] for at in range(_U64.size, len(data), HASH_SIZE)]
        )


def range_nodes(begin: int, end: int) -> list[Node]:
    """The fewest perfect nodes that cover the leaves [begin, end), from left to right."""
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def inclusion_plan(index: int, size: int) -> list[Range]:
    """The leaf ranges whose roots prove leaf `index` in a tree of `size` (RFC 9162, 2.1.3.1).

    Raises:
        ProofError: the index is not in the tree.
    """
    _check_index(index, size)
    plan = []
    begin, end = 0, size
    while end - begin > 1:
        middle = _split(begin, end)
        if index < middle:
            plan.append((middle, end))
            end = middle
        else:
            plan.append((begin, middle))
            begin = middle
    return plan[::-1]


def consistency_plan(size1: int, size2: int) -> list[Range]:
    """The leaf ranges whose roots prove a tree of `size1` a prefix of `size2` (RFC 9162, 2.1.4.1).

    Raises:
        ProofError: not 0 < size1 <= size2.
    """
    _check_sizes(size1, size2)
    plan = []
    begin, end = 0, size2
    while end != size1:
        middle = _split(begin, end)
        if size1 <= middle:
            plan.append((middle, end))
            end = middle
        else:
            plan.append((begin, middle))
            begin = middle
    if begin:
        plan.append((begin, end))
    return plan[::-1]


def plan_nodes(plan: Iterable[Range]) -> list[Node]:
    """The perfect nodes to fetch for a plan; no node twice."""
    return [node for begin, end in plan for node in range_nodes(begin, end)]


def build_proof(plan: Iterable[Range], source: HashSource) -> list[bytes]:
    """The proof's hashes, in the order of RFC 9162 (from the leaf towards the root)."""
    return [_fold([source(*node) for node in range_nodes(*leaves)]) for leaves in plan]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, section 2.1.3.2).

    Raises:
        ProofError: the index is not in the tree, or proof or leaf have a wrong length.
    """
    _check_index(index, size)
    if len(leaf) != HASH_SIZE:
        raise ProofError("leaf is not 32 bytes")
    # Siblings on both sides up to where the path joins the right edge, left ones from there.
    inner = (index ^ (size - 1)).bit_length()
    _check_proof(proof, inner + (index >> inner).bit_count())
    root = leaf
    for level, sibling in enumerate(proof):
        if level >= inner or index >> level & 1:
            root = node_hash(sibling, root)
        else:
            root = node_hash(root, sibling)
    return root


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Checks that the leaf hash stands at `index` of the tree with this size and root.

    Raises:
        RootMismatchError: the hashes give another root.
        ProofError: an argument has a wrong form; nothing was hashed.
    """
    computed = root_from_inclusion(leaf, index, size, proof)
    if computed != root:
        raise RootMismatchError("root", root, computed)


def verify_consistency(
    size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]
) -> None:
    """Checks that the tree (size1, root1) is a prefix of (size2, root2) (RFC 9162, 2.1.4.2).

    A `size1` of 0 is always refused: every tree has the empty one as its prefix, so
    there is nothing to prove. Of equal sizes the proof is empty and the roots are equal.

    Raises:
        RootMismatchError: the hashes give another root.
        ProofError: an argument has a wrong form; nothing was hashed.
    """
    _check_sizes(size1, size2)
    if size1 == size2:
        _check_proof(proof, 0)
        if root1 != root2:
            raise RootMismatchError("root1", root1, root2)
        return
    # The largest subtree that ends at size1 is where both trees meet. It is size1's
    # whole tree if size1 is a power of two, and then the proof leaves it out.
    shift = (size1 & -size1).bit_length() - 1
    index = (size1 - 1) >> shift
    inner = ((size1 - 1) ^ (size2 - 1)).bit_length() - shift
    start = 0 if index == 0 else 1
    _check_proof(proof, start + inner + (index >> inner).bit_count())
    if any(len(one) != HASH_SIZE for one in (root1, root2)):
        raise ProofError("root1 or root2 is not 32 bytes")
    old = new = proof[0] if start else root1
    for level, sibling in enumerate(proof[start:]):
        if level >= inner or index >> level & 1:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    if old != root1:
        raise RootMismatchError("root1", root1, old)
    if new != root2:
        raise RootMismatchError("root2", root2, new)


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees of falling size."""
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def _split(begin: int, end: int) -> int:
    """Where the tree over [begin, end) divides: after the largest power of two below its size."""
    return begin + (1 << ((end - begin - 1).bit_length() - 1))


def _check_index(index: int, size: int) -> None:
    if not 0 < size < 1 << 64:
        raise ProofError("size is out of range")
    if not 0 <= index < size:
        raise ProofError(f"index {index} is not in a tree of size {size}")


def _check_sizes(size1: int, size2: int) -> None:
    if not 0 < size1 <= size2 < 1 << 64:
        raise ProofError(f"size1 {size1} and size2 {size2} are not 0 < size1 <= size2")


def _check_proof(proof: Sequence[bytes], length: int) -> None:
    if len(proof) != length:
        raise ProofError(f"proof has {len(proof)} hashes, must have {length}")
    if any(len(one) != HASH_SIZE for one in proof):
        raise ProofError("proof holds a hash that is not 32 bytes")
