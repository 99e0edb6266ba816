"""GetCheckpoint, ProveInclusion, ProveConsistency: answers that need not be believed."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.audit.merkle import build_proof, consistency_plan, inclusion_plan, plan_nodes
from vault.errors import Reason, invalid
from vault.model import TenantId
from vault.rows import CheckpointRow
from vault.service.auditing import CheckpointReader, find_checkpoint, require_auditor
from vault.service.call import Call
from vault.service.recorder import Recorder
from vault.service.tree import TreeHashes
from vault.store.proofs import LeafPlace
from vault.telemetry import names


class PlaceReader(CheckpointReader, Protocol):
    async def find_leaves(
        self, entry_ids: Sequence[uuid.UUID], tenant: TenantId
    ) -> dict[uuid.UUID, LeafPlace]: ...


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A proof for one entry; `place` is None where it is not under the checkpoint."""

    entry_id: uuid.UUID
    place: LeafPlace | None
    path: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Consistency:
    """A proof that the tree of `first` leaves is the beginning of that of `second`."""

    first: int
    second: int
    path: Sequence[bytes]
    checkpoint: CheckpointRow


class Prover:
    """The procedures."""

    def __init__(self, *, log: PlaceReader, hashes: TreeHashes, recorder: Recorder) -> None:
        self._log = log
        self._hashes = hashes
        self._recorder = recorder

    async def get_checkpoint(self, call: Call, min_size: int) -> CheckpointRow:
        """The newest checkpoint, or the first that covers a size.

        Raises:
            VaultError: no auditor; NOT_PUBLISHED; or the machinery failed.
        """
        require_auditor(call)
        call.trace.mark(names.STAGE_LOAD)
        checkpoint = await find_checkpoint(self._log, min_size)
        await self._record(call)
        return checkpoint

    async def prove_inclusion(
        self, call: Call, entry_ids: Sequence[uuid.UUID], tree_size: int
    ) -> tuple[list[Inclusion], CheckpointRow]:
        """A proof for each entry, in order, against one checkpoint.

        Raises:
            VaultError: as `get_checkpoint`; FIELD_INVALID, `tree_size` is no checkpoint's.
        """
        require_auditor(call)
        call.trace.mark(names.STAGE_LOAD)
        checkpoint = await find_checkpoint(self._log, tree_size)
        if tree_size not in (0, checkpoint.size):
            raise invalid(Reason.FIELD_INVALID, "tree_size", "is not the size of a checkpoint")
        size = checkpoint.size
        places = await self._log.find_leaves(entry_ids, call.tenant)
        plans = {
            entry_id: inclusion_plan(place.index, size)
            for entry_id, place in places.items()
            if place.index < size
        }
        nodes = plan_nodes(node for plan in plans.values() for node in plan)
        source = await self._hashes.source(nodes, size)
        proofs = [
            Inclusion(entry_id, places[entry_id], build_proof(plans[entry_id], source))
            if entry_id in plans
            else Inclusion(entry_id, None, ())
            for entry_id in entry_ids
        ]
        await self._record(call)
        return proofs, checkpoint

    async def prove_consistency(self, call: Call, first: int, second: int) -> Consistency:
        """A proof between two sizes; `second` 0 is the newest checkpoint's.

        Raises:
            VaultError: as `get_checkpoint`; FIELD_INVALID, a size is out of range.
        """
        require_auditor(call)
        call.trace.mark(names.STAGE_LOAD)
        checkpoint = await find_checkpoint(self._log, second)
        second = second or checkpoint.size
        if not 1 <= first <= second:
            raise invalid(Reason.FIELD_INVALID, "first_size", "is not 1 to second_size")
        plan = consistency_plan(first, second)
        source = await self._hashes.source(plan_nodes(plan), second)
        path = build_proof(plan, source)
        await self._record(call)
        return Consistency(first, second, path, checkpoint)

    async def _record(self, call: Call) -> None:
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
