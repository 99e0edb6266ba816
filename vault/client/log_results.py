"""What the verifiable log answers: checkpoints, proofs, counts and exports. Pure.

Guarantees: an answer is used only if it fits its request: the ids, sizes and indexes asked
for, hashes of 32 bytes. Nothing here is *verified*: signatures and proofs are for whoever holds
the log's public key (`pdvault audit verify`, `prove`), since the vault's word proves nothing.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vault.client.errors import answer_unfit
from vault.client.results import read_time, read_verdict
from vault.model import Verdict
from vault.v1 import audit_pb2

_HASH = 32
_TILE = 256 * _HASH
"""Bytes of a full tile (C2SP tlog-tiles)."""
_UNFIT_PROOF = "a proof of the answer does not fit the request"
_UNFIT_EXPORT = "a piece of the export is not the one that is due"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement about the whole tree.

    Attributes:
        note: the signed note (C2SP tlog-checkpoint), text.
        size: leaves.
        root: 32 bytes.
        verifier_key: the key that signed, as the vault says. Compare it with the one that
            was handed to you otherwise.
        successions: notes in which each of the log's keys vouches for the next, the oldest first.
    """

    note: str
    size: int
    root: bytes
    signed_at: dt.datetime
    verifier_key: str
    successions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """Where an entry stands, and the hashes from its leaf to the root (RFC 9162, 2.1.3).

    Attributes:
        is_included: False: no such entry for this caller, or not yet under the checkpoint;
            the rest is then empty.
    """

    entry_id: str
    is_included: bool
    leaf_index: int = 0
    leaf_hash: bytes = b""
    path: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class InclusionProofs:
    """Proofs in the order of the request, all of them under one checkpoint."""

    proofs: tuple[InclusionProof, ...]
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the tree of `first_size` leaves is the beginning of `second_size`'s (2.1.4).

    Attributes:
        checkpoint: one that covers `second_size`.
    """

    first_size: int
    second_size: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class AccessCount:
    """Entries that share everything else here.

    Attributes:
        hour: its beginning, UTC.
        verdict: the most severe in the entry: FAILED, INVALID, REFUSED, ALLOWED.
    """

    hour: dt.datetime
    rpc: str
    caller: str
    purpose: str
    verdict: Verdict
    entries: int


@dataclass(frozen=True, slots=True)
class ExportHead:
    """What an export begins with.

    Attributes:
        edge: the partial tiles of the checkpoint's tree, level 0 first.
        begin: the first leaf.
        end: one past the last.
    """

    checkpoint: Checkpoint
    edge: tuple[bytes, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class ExportTile:
    """A full tile: 8,192 bytes."""

    level: int
    index: int
    hashes: bytes = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True)
class ExportLeaf:
    """A leaf; `entry` is None where it is another tenant's, or in an archive (`is_archived`)."""

    index: int
    leaf_hash: bytes
    entry: bytes | None = dataclasses.field(repr=False)
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class ExportLeaves:
    """Leaves without gap, in order; at least one."""

    leaves: tuple[ExportLeaf, ...]


ExportPiece: TypeAlias = ExportHead | ExportTile | ExportLeaves


class ExportReader:
    """Reads the messages of one export, over as many streams as it takes.

    Attributes:
        due: the leaf that comes next.
        head: None before the first message.
    """

    def __init__(self, begin: int, end: int, checkpoint_size: int) -> None:
        self.due = begin
        self.head: ExportHead | None = None
        self._end = end
        self._size = checkpoint_size
        self._tiles: dict[int, int] = {}  # per level, the tile that was given last
        self._is_fresh = True

    @property
    def is_complete(self) -> bool:
        return self.head is not None and self.due == self.head.end

    def request(self) -> audit_pb2.ExportEntriesRequest:
        """Asks for what is still due, under the same checkpoint."""
        self._is_fresh = True
        size, end = self._size, self._end
        if self.head is not None:
            size, end = self.head.checkpoint.size, self.head.end
        return audit_pb2.ExportEntriesRequest(
            from_index=self.due, until_index=end, checkpoint_size=size
        )

    def read(self, message: audit_pb2.ExportEntriesResponse) -> ExportPiece | None:
        """The piece; None if it was given before.

        Raises:
            VaultCallError: it is not what is due.
        """
        if self._is_fresh:
            self._is_fresh = False
            return self._read_head(message)
        if message.HasField("tile"):
            return self._read_tile(message.tile)
        return self._read_leaves(message)

    def _read_head(self, message: audit_pb2.ExportEntriesResponse) -> ExportHead | None:
        checkpoint = read_checkpoint(message.checkpoint)
        if self.head is not None:
            known = self.head.checkpoint
            if (known.size, known.root) != (checkpoint.size, checkpoint.root):
                raise answer_unfit("the export goes on under another checkpoint")
            return None
        end = self._end or checkpoint.size
        if not self.due < end <= checkpoint.size:
            raise answer_unfit(_UNFIT_EXPORT)
        self.head = ExportHead(checkpoint, tuple(message.edge), self.due, end)
        return self.head

    def _read_tile(self, tile: audit_pb2.ExportedTile) -> ExportTile | None:
        if len(tile.hashes) != _TILE or tile.index < 0:
            raise answer_unfit(_UNFIT_EXPORT)
        if tile.index <= self._tiles.get(tile.level, -1):
            return None  # on the way down to where the last stream ended
        self._tiles[tile.level] = tile.index
        return ExportTile(tile.level, tile.index, tile.hashes)

    def _read_leaves(self, message: audit_pb2.ExportEntriesResponse) -> ExportLeaves:
        leaves = tuple(
            ExportLeaf(self.due + at, leaf.leaf_hash, leaf.entry or None, leaf.is_archived)
            for at, leaf in enumerate(message.leaves)
        )
        end = 0 if self.head is None else self.head.end
        if (
            message.first_index != self.due
            or not 0 < len(leaves) <= end - self.due
            or any(len(leaf.leaf_hash) != _HASH for leaf in leaves)
        ):
            raise answer_unfit(_UNFIT_EXPORT)
        self.due += len(leaves)
        return ExportLeaves(leaves)


def read_checkpoint(message: audit_pb2.Checkpoint) -> Checkpoint:
    """Raises: VaultCallError: it is not one."""
    if not message.note or message.size < 0 or len(message.root) != _HASH:
        raise answer_unfit("the answer has no checkpoint")
    return Checkpoint(
        note=message.note,
        size=message.size,
        root=message.root,
        signed_at=read_time(message.signed_at),
        verifier_key=message.verifier_key,
        successions=tuple(message.successions),
    )


def read_inclusion(
    answer: audit_pb2.ProveInclusionResponse, asked: Sequence[str]
) -> list[InclusionProof]:
    """A proof for each entry.

    Raises:
        VaultCallError: the answer does not fit.
    """
    if [proof.entry_id for proof in answer.proofs] != list(asked):
        raise answer_unfit(_UNFIT_PROOF)
    return [_read_proof(proof, answer.checkpoint.size) for proof in answer.proofs]


def read_consistency(
    answer: audit_pb2.ProveConsistencyResponse, first: int, second: int
) -> ConsistencyProof:
    """Raises: VaultCallError: the answer does not fit."""
    checkpoint = read_checkpoint(answer.checkpoint)
    is_asked = answer.first_size == first and answer.second_size == (second or checkpoint.size)
    if not is_asked or not all(len(each) == _HASH for each in answer.path):
        raise answer_unfit(_UNFIT_PROOF)
    return ConsistencyProof(first, answer.second_size, tuple(answer.path), checkpoint)


def read_counts(answer: audit_pb2.GetStatsResponse) -> tuple[AccessCount, ...]:
    return tuple(
        AccessCount(
            hour=read_time(count.hour),
            rpc=count.rpc,
            caller=count.caller,
            purpose=count.purpose,
            verdict=read_verdict(count.verdict),
            entries=count.entries,
        )
        for count in answer.counts
    )


def _read_proof(proof: audit_pb2.InclusionProof, size: int) -> InclusionProof:
    if not proof.is_included:
        return InclusionProof(proof.entry_id, is_included=False)
    hashes = (proof.leaf_hash, *proof.path)
    if not 0 <= proof.leaf_index < size or any(len(each) != _HASH for each in hashes):
        raise answer_unfit(_UNFIT_PROOF)
    return InclusionProof(
        entry_id=proof.entry_id,
        is_included=True,
        leaf_index=proof.leaf_index,
        leaf_hash=proof.leaf_hash,
        path=tuple(proof.path),
    )
