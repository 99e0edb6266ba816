"""`pdvault restore --drill`: a backup restored for rehearsal, and what was found.

Guarantees: nothing but a folder of its own is written, and that goes; the ledger is read from a
copy; no value, token or key leaves: reports hold counts. What passes here is the same code that a
restore and a replay run.
"""

import asyncio
import contextlib
import datetime as dt
import secrets
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vault import __version__
from vault.app.backup_make import POLICIES
from vault.app.backup_tools import Progress, custody_transit, log_keys, operator, owner_database
from vault.app.checks import load_rules
from vault.app.drill_log import LogFound, verify_log
from vault.app.drill_sample import Opened, open_sample
from vault.app.restore import Filled, backup_key, fill, write_files
from vault.app.restored_log import read_witnessed
from vault.audit.note import VerifierKey
from vault.backup.read import BackupReader
from vault.clock import Clock
from vault.config import Config
from vault.crypto.transit_admin import TransitAdmin
from vault.embedded.postgres import OWNER, Postgres
from vault.errors import VaultError
from vault.keys.ledger import EraseLine
from vault.model import SubjectId
from vault.policy.faults import BundleError
from vault.service.ledger import Comparison, Ledger, Standing
from vault.service.replay import Replayer
from vault.store.backups import BackupStore
from vault.store.database import Database
from vault.store.erasures import ErasureStore
from vault.store.ledger_file import LedgerFile
from vault.store.restored import DrillReader, Remains, first_origin
from vault.store.tree import TreeReader

_MOST_ASKED = 5000
_PROBES = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str


@dataclass(slots=True)
class DrillReport:
    """What was found.

    Attributes:
        rto_seconds: from an empty server that runs to a database that may serve: restore, replay.
        rpo_seconds: how old the backup was, and so how much a loss now would cost.
        lost_entries: entries of the log that are in the witnessed log and not in the backup.
        phases: seconds of each.
        before: what the backup held of those who are erased by now; after: what is left.
        opened: values of the sample, by field type and root version.
    """

    began_at: dt.datetime
    operator: str
    pdvault: str
    file: str
    filled: Filled | None = None
    rto_seconds: float = 0.0
    rpo_seconds: float = 0.0
    lost_entries: int | None = None
    erased: int = 0
    replayed: int = 0
    before: Remains | None = None
    after: Remains | None = None
    log: LogFound | None = None
    opened: Counter[Opened] = field(default_factory=Counter)
    phases: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


async def drill(
    config: Config,
    *,
    backup: Path,
    sample: int,
    keys: Sequence[VerifierKey],
    clock: Clock,
    progress: Progress,
) -> DrillReport:
    """Rehearses.

    Args:
        config: of the service: Transit, ledger and witness file are its own.
        backup: the file.
        sample: how many subjects' values to open.
        keys: the log's public keys; none: those that Transit names.
        clock: the time.
        progress: how far it is.

    Raises:
        BackupError: the backup is not whole, or Transit does not open it.
        EmbeddedError: the scratch server does not start.
        VaultError: Transit, or the ledger, can't be asked.
        OSError: a file can't be read.
    """
    report = DrillReport(dt.datetime.now(dt.UTC), operator(), __version__, backup.name)
    reader = await asyncio.to_thread(BackupReader, backup)
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="pdvault-drill-"))
    try:
        async with custody_transit(config, clock) as admin:
            data_key = await backup_key(admin, reader)
            async with _scratch_server(folder, report) as owner_url:
                run = _Drill(config, report, admin, owner_url, folder, clock)
                await run.restore(reader, data_key, progress)
                async with owner_database(owner_url) as database:
                    await run.replay(database)
                    await run.look(database, sample, keys, progress)
    finally:
        reader.close()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return report


@contextlib.asynccontextmanager
async def _scratch_server(folder: Path, report: DrillReport) -> AsyncIterator[str]:
    """A PostgreSQL of our own with the logins and an empty database; the owner's URL."""
    server = Postgres(folder / "postgres")
    with _phase(report, "start a scratch PostgreSQL"):
        await asyncio.to_thread(server.start)
    try:
        yield server.url(OWNER)
    finally:
        await asyncio.to_thread(server.stop)


@contextlib.contextmanager
def _phase(report: DrillReport, name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        report.phases[name] = time.monotonic() - began


@dataclass(frozen=True, slots=True)
class _Drill:
    config: Config
    report: DrillReport
    admin: TransitAdmin
    owner_url: str
    folder: Path
    clock: Clock

    async def restore(self, reader: BackupReader, data_key: bytes, progress: Progress) -> None:
        report = self.report
        with _phase(report, "restore"):
            filled = await fill(reader, data_key, self.owner_url, progress=progress)
        report.filled = filled
        report.rpo_seconds = (report.began_at - filled.manifest.taken_at).total_seconds()
        self._check(
            "The backup is whole and unchanged",
            True,
            f"{filled.size:,} bytes, {filled.rows:,} rows; every byte is authenticated, and "
            "nothing was committed before the last one was",
        )

    async def replay(self, database: Database) -> None:
        """As `pdvault erasures replay`, from a copy of the ledger."""
        report, path = self.report, self.config.custody.ledger_file
        copy = self.folder / "ledger.jsonl"
        if path is None or not path.exists():
            self._check("The ledger of erasures is there", False, "there is no ledger file")
            return
        await asyncio.to_thread(shutil.copyfile, path, copy)
        origin = await first_origin(database, self.config.audit.origin)
        ledger = Ledger(LedgerFile(copy, origin=origin), clock=self.clock)
        replayer = Replayer(
            store=ErasureStore(database),
            backups=BackupStore(database),
            ledger=ledger,
            clock=self.clock,
        )
        found = await replayer.compare()
        self._check(
            "Before the replay the database would not be served",
            found.standing is Standing.BEHIND,
            found.text or "database and ledger agree, though the ledger knows of this backup",
        )
        erased = await self._erased(ledger)
        report.erased = len(erased)
        reads = DrillReader(database)
        report.before = await _remains(reads, erased)
        with _phase(report, "replay erasures"):
            await replayer.replay()
        report.replayed = len(found.missing)
        report.rto_seconds = report.phases["restore"] + report.phases["replay erasures"]
        agrees: Comparison = await replayer.compare()
        self._check(
            "The ledger of erasures is replayed to its end",
            agrees.standing is Standing.AGREES,
            f"{report.replayed:,} entries applied to the restored database",
        )
        report.after = left = await _remains(reads, erased)
        self._check(
            "Nothing is left of the erased",
            not (left.keys or left.refs or left.values),
            f"{report.erased:,} consumers are erased in all; the backup still held "
            f"{report.before.keys:,} keys and {report.before.values:,} values of them, now it "
            f"holds {left.keys:,} and {left.values:,}",
        )

    async def _erased(self, ledger: Ledger) -> list[SubjectId]:
        async with ledger.hold(write=False) as held:
            lines = (await held.compare(None)).missing
        return [line.line.subject_id for line in lines if isinstance(line.line, EraseLine)]

    async def look(
        self, database: Database, sample: int, keys: Sequence[VerifierKey], progress: Progress
    ) -> None:
        """Log, keys, values, policies."""
        filled = self.report.filled
        if filled is None:
            raise TypeError("restore first")
        manifest = filled.manifest
        trusted = tuple(keys) or await log_keys(self.config, self.admin, manifest.origin)
        with _phase(self.report, "verify the audit log"):
            found = await verify_log(TreeReader(database), trusted, manifest.origin, progress)
        self.report.log = found
        self._check("The audit log is whole and signed", found.is_sound, found.text)
        with contextlib.suppress(VaultError):
            witnessed = await asyncio.to_thread(
                read_witnessed, self.config.audit.witness_file, trusted
            )
            if witnessed is not None:
                self.report.lost_entries = max(0, witnessed[0].size - manifest.leaves)
        await self._look_at_keys(filled)
        with _phase(self.report, "open a sample of values"):
            probes = [uuid.UUID(bytes=secrets.token_bytes(16)) for _ in range(_PROBES)]
            values = await DrillReader(database).sample(
                [uuid.UUID(int=0), *probes], max(1, sample // (_PROBES + 1))
            )
            self.report.opened = await open_sample(self.config, values, self.clock)
        opened = sum(n for one, n in self.report.opened.items() if one.is_open)
        total = self.report.opened.total()
        self._check(
            "A sample of values opens through Transit",
            opened == total,
            f"{opened:,} of {total:,} values opened; none was shown or kept"
            if total
            else "the backup holds no value",
        )
        await asyncio.to_thread(self._look_at_policies, filled)

    async def _look_at_keys(self, filled: Filled) -> None:
        """Whether Transit still opens each root version that the backup needs."""
        faults = []
        for root in filled.manifest.roots:
            name = self.admin.root_key(root.tenant)
            try:
                key = await self.admin.read_key(name)
            except VaultError as error:
                faults.append(f"{name}: {error.text}")
                continue
            if root.root_version not in key.versions:
                faults.append(f"{name} version {root.root_version} is retired or gone")
        roots = filled.manifest.roots
        self._check(
            "Transit has the root keys that the backup needs",
            not faults,
            "; ".join(sorted(set(faults)))
            or f"{len(roots)} versions of {len({root.tenant for root in roots})} keys",
        )

    def _look_at_policies(self, filled: Filled) -> None:
        folder = self.folder / "files"
        write_files(filled.files, filled.manifest, folder)
        try:
            bundle = load_rules(folder / POLICIES)
        except BundleError as error:
            self._check("The policies are sound", False, f"{len(error.faults)} faults")
            return
        self._check("The policies are sound", True, f"bundle {bundle.digest.hex()[:16]}…")

    def _check(self, name: str, passed: bool, detail: str) -> None:
        self.report.checks.append(Check(name, passed, detail))


async def _remains(reader: DrillReader, subjects: Sequence[SubjectId]) -> Remains:
    parts = [
        await reader.remains(subjects[at : at + _MOST_ASKED])
        for at in range(0, len(subjects), _MOST_ASKED)
    ]
    return Remains(
        sum(one.keys for one in parts),
        sum(one.refs for one in parts),
        sum(one.values for one in parts),
        sum(one.tokens for one in parts),
    )
