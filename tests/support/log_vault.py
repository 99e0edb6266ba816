"""A vault's auditing side in memory, over a SmallLog: what commands are tested against."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Self

from tests.support.small_log import SmallLog
from vault.audit.export_format import steps
from vault.audit.merkle import build_proof, consistency_plan, inclusion_plan
from vault.audit.tiles import Tile, edge_tiles, tile_source
from vault.client import (
    Checkpoint,
    ConsistencyProof,
    ExportHead,
    ExportLeaf,
    ExportLeaves,
    ExportPiece,
    ExportTile,
    InclusionProof,
    InclusionProofs,
)

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


class LogVault:
    """Has the client's methods.

    Attributes:
        size: of the newest checkpoint.
        hidden: indexes of other tenants' leaves.
        asked: the ranges of the exports.
        cosigners: pairs of witness and time.
    """

    def __init__(self, log: SmallLog, *, size: int | None = None, hidden=(), cosigners=()) -> None:
        self.log = log
        self.size = len(log.entries) if size is None else size
        self.hidden = frozenset(hidden)
        self.asked: list[tuple[int, int, int]] = []
        self.cosigners = tuple(cosigners)
        self.hashes = log.hashes()
        self._tiles: dict[int, dict[Tile, bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tiles(self, size: int) -> dict[Tile, bytes]:
        if size not in self._tiles:
            self._tiles[size] = self.log.tiles(size)
        return self._tiles[size]

    def get_checkpoint(self, min_size: int = 0) -> Checkpoint:
        size = min_size or self.size
        return Checkpoint(
            note=bytes(self.log.note(size, self.cosigners)).decode(),
            size=size,
            root=self.log.checkpoint(size).root,
            signed_at=NOW,
            verifier_key=str(self.log.signer.key),
            successions=self.log.successions,
        )

    def prove_inclusion(self, entry_ids, tree_size: int = 0) -> InclusionProofs:
        """Entry ids are those of `entry_bytes`, which end in the entry's number."""
        size = tree_size or self.size
        source = tile_source(self.tiles(size).__getitem__, size)
        proofs = []
        for entry_id in entry_ids:
            index = int(entry_id[-12:], 16)
            if index >= size:
                proofs.append(InclusionProof(entry_id, is_included=False))
                continue
            path = tuple(build_proof(inclusion_plan(index, size), source))
            proofs.append(
                InclusionProof(
                    entry_id,
                    is_included=True,
                    leaf_index=index,
                    leaf_hash=self.hashes[index],
                    path=path,
                )
            )
        return InclusionProofs(tuple(proofs), self.get_checkpoint(size))

    def prove_consistency(self, first: int, second: int = 0) -> ConsistencyProof:
        second = second or self.size
        source = tile_source(self.tiles(second).__getitem__, second)
        path = tuple(build_proof(consistency_plan(first, second), source))
        return ConsistencyProof(first, second, path, self.get_checkpoint(second))

    def export_entries(
        self, begin: int = 0, end: int = 0, checkpoint_size: int = 0
    ) -> Iterator[ExportPiece]:
        self.asked.append((begin, end, checkpoint_size))
        size = checkpoint_size or self.size
        end = end or size
        tiles = self.tiles(size)
        edge = tuple(tiles[tile] for tile in edge_tiles(size))
        yield ExportHead(self.get_checkpoint(size), edge, begin, end)
        for step in steps(begin, end, size):
            if isinstance(step, Tile):
                yield ExportTile(step.level, step.index, tiles[step])
            else:
                yield ExportLeaves(tuple(self.leaf(index) for index in step))

    def leaf(self, index: int) -> ExportLeaf:
        entry = None if index in self.hidden else self.log.entries[index]
        return ExportLeaf(index, self.hashes[index], entry)


@contextlib.contextmanager
def in_place_of(monkeypatch, vault: LogVault, *modules: str) -> Iterator[LogVault]:
    """Commands of these modules meet `vault`."""
    with monkeypatch.context() as patch:
        for module in modules:
            patch.setattr(f"vault.cli.{module}.connect", lambda _args: vault)
        yield vault
