"""A log of its own for a test: a database, entries for it, sequencers, and its proof.

Real PostgreSQL and OpenBao; the sequencers run in the test's own event loop.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tests.support.embedded import DatabaseUrls
from vault.audit.account import Account, EntryIds
from vault.audit.alarms import Alarms
from vault.audit.entry import leaf_hash
from vault.audit.merkle import CompactRange
from vault.audit.patrol import Patrol
from vault.audit.sequencer import Sequencer
from vault.audit.signer import CheckpointSigner
from vault.audit.witnessed import WitnessFile
from vault.clock import SystemClock
from vault.crypto.transit import AppRole, Transit, TransitSettings
from vault.embedded import EmbeddedInstance
from vault.embedded.config_file import ORIGIN
from vault.errors import Reason
from vault.model import Verdict
from vault.rows import Commit, EntryRow
from vault.store.database import Database, PoolSettings
from vault.store.log import LogStore
from vault.store.successions import SuccessionStore
from vault.store.tree import TreeReader, TreeWriter

CLOCK = SystemClock()
PATROL_RATE = 20_000


@dataclass
class Running:
    """One sequencer that was started."""

    sequencer: Sequencer
    patrol: Patrol
    alarms: Alarms
    witness_file: Path


@dataclass(repr=False)
class AuditLog:
    """One database's log."""

    urls: DatabaseUrls
    folder: Path
    transit: Transit
    signer: CheckpointSigner
    store: LogStore
    tree: TreeReader
    owner: asyncpg.Connection
    _ids: EntryIds = field(default_factory=lambda: EntryIds(CLOCK))

    def entries(self, count: int) -> tuple[EntryRow, ...]:
        rows: list[EntryRow] = []
        for _ in range(count):
            account = Account(
                rpc="vault.v1.TokenService/Detokenize",
                call_id=self._ids.next()[0],
                trace_id=bytes(16),
                span_id=bytes(8),
            )
            rows += account.close_failed(self._ids, Reason.INTERNAL, Verdict.FAILED)
        return tuple(rows)

    async def record(self, count: int) -> None:
        await self.store.commit([Commit(entries=self.entries(count))])

    @contextlib.asynccontextmanager
    async def sequencing(
        self, *, witness: str = "checkpoint", patrol_rate: int = PATROL_RATE
    ) -> AsyncIterator[Running]:
        """A sequencer, stopped in order afterwards."""
        alarms = Alarms()
        path = self.folder / witness
        patrol = Patrol(
            stored=self.tree, signer=self.signer, alarms=alarms, leaves_per_second=patrol_rate
        )
        sequencer = Sequencer(
            connect=lambda: TreeWriter.connect(
                self.urls.sequencer, connect_timeout=5, statement_timeout=5
            ),
            patrol=patrol,
            signer=self.signer,
            witness=WitnessFile(path, signer=self.signer),
            alarms=alarms,
            clock=CLOCK,
            checkpoint_seconds=0.5,
        )
        sequencer.start()
        try:
            yield Running(sequencer, patrol, alarms, path)
        finally:
            await sequencer.stop()

    async def published(self) -> int:
        row = await self.tree.newest_checkpoint()
        return 0 if row is None else row.size

    async def wait_published(self, size: int, *, seconds: float = 15) -> None:
        async def holds() -> bool:
            return await self.published() >= size

        await until(holds, seconds=seconds)

    async def checkpoints(self) -> int:
        return await self.owner.fetchval("select count(*) from audit_checkpoints")

    async def execute(self, sql: str) -> None:
        await self.owner.execute(sql)

    async def prove(self) -> int:
        """Holds everything against everything; how many leaves there are.

        Indexes from 0 without gaps; every entry is a leaf once or pending once; every
        checkpoint is signed and has the root of its leaves; every tile is their hashes.
        """
        leaves = await self.owner.fetch(
            "select l.leaf_index, l.entry_id, l.leaf_hash, e.entry from audit_leaves l"
            " left join audit_entries e on e.entry_id = l.entry_id order by l.leaf_index"
        )
        pending = await self.owner.fetch("select entry_id from audit_pending")
        entries = await self.owner.fetch("select entry_id from audit_entries")
        assert list(range(len(leaves))) == [row["leaf_index"] for row in leaves]
        assert all(leaf_hash(row["entry"]) == row["leaf_hash"] for row in leaves)
        placed = [row["entry_id"] for row in (*leaves, *pending)]
        assert sorted(row["entry_id"] for row in entries) == sorted(placed)
        tree = CompactRange()
        tiles: dict[tuple[int, int], list[bytes]] = {}

        def visit(level: int, index: int, one: bytes) -> None:
            if level % 8 == 0:
                tiles.setdefault((level // 8, index // 256), []).append(one)

        roots = {}
        for row in leaves:
            tree.append(row["leaf_hash"], visit)
            roots[tree.size] = tree.root()
        checkpoints = await self.owner.fetch("select * from audit_checkpoints order by size")
        for row in checkpoints:
            checkpoint = self.signer.check(row["note"].encode())
            assert (row["size"], row["root"]) == (checkpoint.size, checkpoint.root)
            assert roots[checkpoint.size] == checkpoint.root
        covered = checkpoints[-1]["size"] if checkpoints else 0
        stored = {
            (row["level"], row["tile_index"]): row["hashes"]
            for row in await self.owner.fetch("select level, tile_index, hashes from audit_tiles")
        }
        full = {at: b"".join(found) for at, found in tiles.items() if len(found) == 256}
        assert stored.items() <= full.items()
        assert {at for at in full if (at[1] + 1) << 8 * (at[0] + 1) <= covered} <= stored.keys()
        return len(leaves)


async def until(holds: Callable[[], object], *, seconds: float = 10) -> float:
    """Waits until something holds, which may be asked with await; how long that took."""
    began = time.monotonic()
    while True:
        answer = holds()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return time.monotonic() - began
        assert time.monotonic() - began < seconds, "it did not come to hold"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def audit_log(
    instance: EmbeddedInstance,
    urls: DatabaseUrls,
    folder: Path,
    *,
    key_store: TransitSettings | None = None,
) -> AsyncIterator[AuditLog]:
    """The log of a database that was migrated; its key in the instance's Transit or another."""
    settings = instance.settings()
    transit = Transit(
        key_store
        or TransitSettings(
            address=settings.transit_address,
            auth=AppRole(settings.transit_role_id_file, settings.transit_secret_id_file),
            ca_file=settings.authority_file,
            probe_seconds=0.2,
        )
    )
    databases = [
        Database(PoolSettings(url=url, max_connections=2, connect_timeout=5, statement_timeout=10))
        for url in (urls.service, urls.audit_reader, urls.sequencer)
    ]
    service, reader, grower = databases
    signer = CheckpointSigner(
        origin=ORIGIN,
        key=settings.signing_key,
        keys=transit,
        chain=SuccessionStore(reader, grower),
        clock=SystemClock(),
    )
    owner = await asyncpg.connect(urls.owner)
    try:
        await transit.open(["demo-shop"])
        await signer.open()
        for database in databases:
            await database.open()
        yield AuditLog(urls, folder, transit, signer, LogStore(service), TreeReader(reader), owner)
    finally:
        for database in databases:
            await database.close()
        await owner.close()
        await transit.close()
