"""ExportEntries: the log from one index to another, in bounded memory, under one checkpoint."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from vault.audit.archive_files import ArchiveError, EntryArchive
from vault.audit.entry import leaf_hash
from vault.audit.export_format import steps
from vault.audit.tiles import WIDTH, Tile
from vault.errors import Reason, VaultError, invalid
from vault.model import TenantId
from vault.rows import CheckpointRow
from vault.service.auditing import CheckpointReader, find_checkpoint, require_auditor
from vault.service.call import Call
from vault.service.recorder import Recorder
from vault.service.tree import TreeHashes
from vault.store.proofs import ExportLeaf
from vault.telemetry import names


@dataclass(frozen=True, slots=True)
class ExportHead:
    """What an export begins with; `end` is one past its last leaf."""

    checkpoint: CheckpointRow
    edge: Sequence[bytes]
    end: int


@dataclass(frozen=True, slots=True)
class ExportTile:
    """A full tile on the way."""

    tile: Tile
    hashes: bytes


Piece = ExportHead | ExportTile | Sequence[ExportLeaf]


class LeafReader(CheckpointReader, Protocol):
    async def export_leaves(self, start: int, end: int, tenant: TenantId) -> list[ExportLeaf]: ...


class Exporter:
    """The procedure.

    Args:
        archive: the folder of the months that went to files; without it their leaves are
            exported as hashes.
    """

    def __init__(
        self,
        *,
        log: LeafReader,
        hashes: TreeHashes,
        recorder: Recorder,
        archive: Path | None = None,
    ) -> None:
        self._log = log
        self._hashes = hashes
        self._recorder = recorder
        self._archive = None if archive is None else EntryArchive(archive)

    async def export(
        self,
        call: Call,
        begin: int,
        end: int,
        checkpoint_size: int,
        send: Callable[[Piece], Awaitable[None]],
    ) -> None:
        """Sends head, tiles and leaves in the order of the export file.

        Raises:
            VaultError: no auditor; NOT_PUBLISHED; FIELD_INVALID, the range is not within the
                checkpoint; DATA_CORRUPT, a leaf is missing, here or in the archive; or the
                machinery failed.
        """
        require_auditor(call)
        call.trace.mark(names.STAGE_LOAD)
        checkpoint = await find_checkpoint(self._log, checkpoint_size)
        end = end or checkpoint.size
        if not 0 <= begin < end <= checkpoint.size:
            raise invalid(Reason.FIELD_INVALID, "until_index", "is not within the checkpoint")
        edge = await self._hashes.edge(checkpoint.size)

        # The reading is recorded before anything of it leaves.
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)

        call.trace.mark(names.STAGE_REPLY)
        await send(ExportHead(checkpoint, edge, end))
        for step in steps(begin, end, checkpoint.size):
            if isinstance(step, Tile):
                await send(ExportTile(step, await self._hashes.tile(step)))
                continue
            leaves = await self._log.export_leaves(step.start, step.stop, call.tenant)
            if [leaf.index for leaf in leaves] != list(step):
                raise VaultError(Reason.DATA_CORRUPT, "a leaf of the audit log is missing")
            if self._archive is not None and any(leaf.is_archived for leaf in leaves):
                leaves = await asyncio.to_thread(_fill, self._archive, leaves)
            await send(leaves)


def _fill(archive: EntryArchive, leaves: Sequence[ExportLeaf]) -> list[ExportLeaf]:
    """The leaves of one block, with their entries out of the archive."""
    try:
        entries = archive.block(leaves[0].index // WIDTH)
    except (ArchiveError, OSError) as error:
        raise _unarchived() from error
    filled = []
    for leaf in leaves:
        one = leaf
        if leaf.is_archived:
            entry = entries[leaf.index % WIDTH] if leaf.index % WIDTH < len(entries) else b""
            if leaf_hash(entry) != leaf.leaf_hash:
                raise _unarchived()
            one = replace(leaf, entry=entry)
        filled.append(one)
    return filled


def _unarchived() -> VaultError:
    return VaultError(Reason.DATA_CORRUPT, "an archived entry is not in audit.archive_directory")
