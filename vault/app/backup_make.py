"""`pdvault backup`: one snapshot of everything, sealed into one file, while the service goes on.

Guarantees, in this order: the backup is on record before the snapshot is taken; the ledger knows of
it before the file is in its place; the file is whole or not there. Whatever fails on the
way leaves no file, and a record that says so.
"""

import asyncio
import datetime as dt
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from vault import __version__
from vault.app.backup_tools import (
    LedgerParts,
    Progress,
    custody_transit,
    ledger_parts,
    log_keys,
    operator,
    owner_database,
)
from vault.backup.contents import File, Manifest, Roots, Table, TransitKey, Writer
from vault.backup.stream import BackupSealer
from vault.backup.write import BackupFile
from vault.clock import Clock
from vault.config import Config
from vault.crypto.aead import new_data_key
from vault.crypto.transit_admin import TransitAdmin
from vault.embedded.bao_setup import policy_text
from vault.embedded.state import EmbeddedError
from vault.errors import Reason, VaultError
from vault.policy.faults import Faults
from vault.policy.files import read_bundle_files, read_tables
from vault.service.backup_ledger import BackupLedger
from vault.store.backups import FAILED, KEPT, MADE, BackupRow, RootCount
from vault.store.dump import Dumper, DumpFacts

POLICIES, TRANSIT = "policies/", "transit/"
"""Where the bundle's files and the texts of the Transit policies are, within a backup."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    manifest: Manifest
    path: Path
    size: int
    sha256: bytes
    rows: int
    seconds: float
    ledger_index: int


async def make_backup(
    config: Config,
    *,
    owner_url: str,
    out: Path,
    keep: dt.timedelta,
    clock: Clock,
    progress: Progress,
) -> Made:
    """Makes one.

    Args:
        config: of the service.
        owner_url: of the owner's login.
        out: the file; must not be there.
        keep: after this it is deleted everywhere: whoever calls promises that.
        clock: the time.
        progress: how far it is, in bytes.

    Raises:
        VaultError: the database, Transit or the ledger does not do its part.
        BundleError: the policies are broken.
        OSError: the file can't be written.
    """
    async with owner_database(owner_url) as database, custody_transit(config, clock) as admin:
        parts = await ledger_parts(config, database, clock)
        file = await asyncio.to_thread(BackupFile, out)
        try:
            return await _Maker(config, owner_url, file, keep, parts, admin, clock, progress).make()
        finally:
            await asyncio.to_thread(file.drop)


@dataclass(frozen=True, slots=True)
class _Maker:
    """One run."""

    config: Config
    owner_url: str
    file: BackupFile
    keep: dt.timedelta
    parts: LedgerParts
    admin: TransitAdmin
    clock: Clock
    progress: Progress

    async def make(self) -> Made:
        began = time.monotonic()
        begun_at = dt.datetime.now(dt.UTC)
        backups = self.parts.backups
        sealer = await self._sealer(begun_at)
        backup_id, keep_until = sealer.header.backup_id, begun_at + self.keep
        label = self.file.path.name[:100]
        await backups.begin(
            backup_id, kind=MADE, keep_until=keep_until, label=label, taken_at=begun_at
        )
        try:
            manifest, rows = await self._fill(sealer, keep_until)
            roots = tuple(RootCount(r.tenant, r.root_version, r.keys) for r in manifest.roots)
            recorder = BackupLedger(
                ledger=self.parts.ledger,
                replayer=self.parts.replayer,
                store=self.parts.erasures,
                clock=self.clock,
            )
            index = await recorder.add(
                BackupRow(
                    backup_id=backup_id,
                    kind=MADE,
                    state=KEPT,
                    taken_at=begun_at,
                    covers_until=manifest.taken_at,
                    keep_until=keep_until,
                    size=None,
                    sha256=None,
                    label=label,
                    roots=roots,
                )
            )
            sha256 = await asyncio.to_thread(self.file.finish)
        except BaseException:
            await asyncio.shield(backups.end(backup_id, FAILED))
            raise
        await backups.finish(
            backup_id,
            covers_until=manifest.taken_at,
            size=self.file.size,
            sha256=sha256,
            roots=roots,
        )
        seconds = time.monotonic() - began
        return Made(manifest, self.file.path, self.file.size, sha256, rows, seconds, index)

    async def _sealer(self, begun_at: dt.datetime) -> BackupSealer:
        backup_id, key = uuid.uuid4(), self.config.custody.backup_key
        data_key, key_salt = new_data_key()
        wrapped = await self.admin.wrap_backup_key(key, backup_id, data_key)
        return BackupSealer(
            backup_id=backup_id,
            begun_at=begun_at.replace(microsecond=0),
            transit_key=key,
            wrapped=wrapped.wrapped,
            data_key=data_key,
            key_salt=key_salt,
        )

    async def _fill(self, sealer: BackupSealer, keep_until: dt.datetime) -> tuple[Manifest, int]:
        """Writes everything but the file's place; the manifest, and how many rows."""
        file, writer = self.file, Writer()
        files = await asyncio.to_thread(_files, self.config)
        dumper = await Dumper.connect(self.owner_url)
        try:
            facts = await dumper.begin()
            manifest = await _manifest(self.config, sealer, facts, self.admin, keep_until)
            file.write(sealer.preamble)

            def put(data: bytes) -> None:
                for sealed in sealer.add(data):
                    file.write(sealed)

            async def put_rows(data: bytes) -> None:
                put(writer.data(data))
                self.progress("backed up", file.size, max(file.size, facts.about_bytes))

            put(writer.manifest(manifest))
            for one in files:
                put(writer.file(one))
            for number, table in enumerate(facts.tables):
                put(writer.table(number))
                put(writer.table_end(await dumper.copy(table, put_rows)))
            put(writer.end())
            file.write(sealer.finish())
        finally:
            await dumper.close()
        return manifest, writer.rows


async def _manifest(
    config: Config,
    sealer: BackupSealer,
    facts: DumpFacts,
    admin: TransitAdmin,
    keep_until: dt.datetime,
) -> Manifest:
    index, digest = facts.ledger or (-1, b"")
    keys = await log_keys(config, admin, config.audit.origin)
    return Manifest(
        backup_id=sealer.header.backup_id,
        pdvault=__version__,
        made_by=operator(),
        taken_at=facts.taken_at,
        keep_until=keep_until,
        postgres=facts.postgres,
        migrations=facts.migrations,
        tables=tuple(Table(one.name, one.parent, one.columns) for one in facts.tables),
        partitions=facts.partitions,
        origin=config.audit.origin,
        leaves=facts.leaves,
        checkpoint=facts.checkpoint,
        verifier_keys=tuple(str(key) for key in keys),
        ledger_index=index,
        ledger_hash=digest.hex(),
        transit_mount=config.transit.mount,
        transit_namespace=config.transit.namespace or "",
        transit_keys=await _transit_keys(config, facts, admin),
        roots=tuple(Roots(one.tenant, one.root_version, one.keys) for one in facts.roots),
    )


async def _transit_keys(
    config: Config, facts: DumpFacts, admin: TransitAdmin
) -> tuple[TransitKey, ...]:
    """What must be in Transit when the backup is restored; a key that is gone is left out."""
    tenants = sorted({root.tenant for root in facts.roots})
    custody = config.custody
    names = [admin.root_key(tenant) for tenant in tenants]
    names += [config.audit.signing_key, custody.approval_key, custody.backup_key]
    found = []
    for name in names:
        try:
            key = await admin.read_key(name)
        except VaultError as error:
            if error.reason is not Reason.KEY_STORE_FAULT:
                raise
            continue
        found.append(TransitKey(name, key.type, key.latest, key.min_decryption_version))
    return tuple(found)


def _files(config: Config) -> list[File]:
    faults = Faults()
    directory = config.policy.directory
    found = read_bundle_files(directory, faults) | read_tables(directory, faults)
    faults.check()
    files = [File(POLICIES + name, data) for name, data in sorted(found.items())]
    for name in ("service", "custodian"):
        try:
            files.append(File(f"{TRANSIT}{name}.hcl", policy_text(name).encode()))
        except EmbeddedError:
            continue  # an installation without the texts: they are in its release
    return files
