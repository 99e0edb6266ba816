"""`pdvault restore`: a backup into an empty database, all of it or nothing.

Guarantees: rows are committed only after the last byte of the backup was found good. A restored
database serves nobody before the ledger of erasures was replayed: it is behind the ledger, which
knows at least of this backup. Leaves the log's fate to `restored_log`.
"""

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vault.app.backup_tools import Progress, custody_transit, log_keys, operator
from vault.app.restored_log import LogFate, read_witnessed, set_witness_aside, settle_log
from vault.backup.contents import Data, File, Manifest, Record, Table, TableEnd
from vault.backup.read import BackupReader
from vault.backup.stream import BackupError
from vault.clock import Clock
from vault.config import Config
from vault.crypto.transit_admin import TransitAdmin, Unopenable
from vault.store.dump import DumpTable, Restorer
from vault.store.restored import RestoredLog

Settle = Callable[[Restorer, Manifest], Awaitable[None]]
"""Work in the restore's transaction, before its end."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What was in a backup.

    Attributes:
        tables: rows by table, partitions summed up.
        seconds: until it was committed (or read, where nothing was restored).
    """

    manifest: Manifest
    files: tuple[File, ...]
    tables: dict[str, int]
    size: int
    seconds: float

    @property
    def rows(self) -> int:
        return sum(self.tables.values())


async def backup_key(admin: TransitAdmin, reader: BackupReader) -> bytes:
    """The data key of a backup.

    Raises:
        BackupError: this Transit does not have the key that wrapped it.
        VaultError: KEY_STORE_*.
    """
    header = reader.header
    secret = await admin.unwrap_backup_key(header.transit_key, header.backup_id, header.wrapped)
    if isinstance(secret, Unopenable):
        raise BackupError(
            f"this Transit does not open the backup's key: key {header.transit_key} is missing, "
            "is another one, or has lost the version that wrapped it. Restore Transit's own "
            "snapshot first"
        )
    return secret


async def fill(
    reader: BackupReader,
    data_key: bytes,
    owner_url: str,
    *,
    progress: Progress,
    settle: Settle | None = None,
) -> Filled:
    """Restores into an empty database.

    Raises:
        BackupError: the backup was changed or cut; nothing was restored.
        VaultError: the database is not empty, or fails; nothing was restored.
    """
    began = time.monotonic()
    walk = _Walk(reader, data_key, progress)
    restorer = await Restorer.connect(owner_url)
    try:
        await restorer.begin(walk.manifest.migrations, walk.manifest.partitions)
        tables: dict[str, int] = {}
        for table in walk.tables():
            target = DumpTable(table.name, table.parent, table.columns)
            rows = await restorer.copy(target, walk.data())
            if rows != walk.rows:
                raise BackupError(f"table {table.name} has another number of rows")
            tables[table.parent] = tables.get(table.parent, 0) + rows
        await restorer.end()
        if settle is not None:
            await settle(restorer, walk.manifest)
        await restorer.commit()
    finally:
        await restorer.close()
    seconds = time.monotonic() - began
    return Filled(walk.manifest, tuple(walk.files), tables, reader.size, seconds)


def look_through(reader: BackupReader, data_key: bytes, progress: Progress) -> Filled:
    """Reads and verifies all of a backup, and restores nothing. Blocking.

    Raises:
        BackupError: it was changed or cut.
    """
    began = time.monotonic()
    walk = _Walk(reader, data_key, progress)
    tables: dict[str, int] = {}
    for table in walk.tables():
        for _ in walk.rows_of_table():
            pass
        tables[table.parent] = tables.get(table.parent, 0) + walk.rows
    seconds = time.monotonic() - began
    return Filled(walk.manifest, tuple(walk.files), tables, reader.size, seconds)


class _Walk:
    """Through the records: first the manifest, then files, then table by table."""

    def __init__(self, reader: BackupReader, data_key: bytes, progress: Progress) -> None:
        self._reader = reader
        self._progress = progress
        self._records: Iterator[Record] = reader.records(data_key)
        self.files: list[File] = []
        self.rows = 0
        first = next(self._records)
        if not isinstance(first, Manifest):
            raise BackupError("the backup has no manifest")
        if first.backup_id != reader.header.backup_id:
            raise BackupError("header and manifest are of two backups")
        self.manifest = first

    def tables(self) -> Iterator[Table]:
        """Each table; its rows are to be read before the next one. Ends with the file's end."""
        for record in self._records:
            if isinstance(record, File):
                self.files.append(record)
            elif isinstance(record, Table):
                yield record

    def rows_of_table(self) -> Iterator[bytes]:
        for record in self._records:
            self._progress("read", self._reader.done, self._reader.size)
            if isinstance(record, Data):
                yield record.data
            elif isinstance(record, TableEnd):
                self.rows = record.rows
                return

    async def data(self) -> AsyncIterator[bytes]:
        for data in self.rows_of_table():
            yield data


@dataclass(frozen=True, slots=True)
class Restored:
    """What `restore` did.

    Attributes:
        aside: where the witness file of a log that ended is now.
    """

    filled: Filled
    fate: LogFate
    aside: Path | None


async def restore(
    config: Config,
    *,
    backup: Path,
    owner_url: str,
    next_origin: str | None,
    clock: Clock,
    progress: Progress,
) -> Restored:
    """Restores.

    Args:
        config: of the service as it was; its Transit has the keys.
        backup: the file.
        owner_url: of the owner's login, to an empty database.
        next_origin: name of the log that follows if the old one can't go on.
        clock: the time.
        progress: how far it is, in bytes.

    Raises:
        BackupError: it is no whole backup of this log and key; nothing was restored.
        VaultError: the database or Transit fails, the database is not empty, or the log can't
            go on; nothing was restored.
        OSError: the file can't be read.
    """
    reader = await asyncio.to_thread(BackupReader, backup)
    fates: list[LogFate] = []
    try:
        async with custody_transit(config, clock) as admin:
            data_key = await backup_key(admin, reader)

            async def settle(restorer: Restorer, manifest: Manifest) -> None:
                keys = await log_keys(config, admin, manifest.origin)
                witnessed = await asyncio.to_thread(read_witnessed, config.audit.witness_file, keys)
                fates.append(
                    await settle_log(
                        RestoredLog(restorer),
                        origin=manifest.origin,
                        source=f"backup={manifest.backup_id.hex} taken={_stamp(manifest.taken_at)}",
                        witnessed=witnessed,
                        next_origin=next_origin,
                        operator=operator(),
                        clock=clock,
                    )
                )

            filled = await fill(reader, data_key, owner_url, progress=progress, settle=settle)
    finally:
        reader.close()
    fate, aside = fates[0], None
    if not fate.goes_on:
        aside = await set_witness_aside(config.audit.witness_file, fate.last_size)
    return Restored(filled, fate, aside)


async def adopt(
    config: Config, *, owner_url: str, next_origin: str | None, clock: Clock
) -> tuple[LogFate, Path | None]:
    """Settles the log of a database that other tools restored, where it is.

    Returns:
        What became of the log, and where the witness file of one that ended is now.

    Raises:
        VaultError: as `restore`; DATABASE_UNAVAILABLE also while a process serves it.
    """
    async with custody_transit(config, clock) as admin:
        origin = config.audit.origin
        keys = await log_keys(config, admin, origin)
        witnessed = await asyncio.to_thread(read_witnessed, config.audit.witness_file, keys)
        restorer = await Restorer.connect(owner_url)
        try:
            newest = await restorer.begin_adopted()
            fate = await settle_log(
                RestoredLog(restorer),
                origin=origin,
                source=f"adopted newest={_stamp(newest)}",
                witnessed=witnessed,
                next_origin=next_origin,
                operator=operator(),
                clock=clock,
            )
            await restorer.commit()
        finally:
            await restorer.close()
    if fate.goes_on:
        return fate, None
    return fate, await set_witness_aside(config.audit.witness_file, fate.last_size)


def _stamp(moment: dt.datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def write_files(files: tuple[File, ...], manifest: Manifest, folder: Path) -> int:
    """Writes the bundle, the Transit policies and the manifest into a new folder.

    Raises:
        FileExistsError: the folder is there.
        BackupError: a name leads out of the folder.
        OSError: as the file system says.
    """
    folder.mkdir(mode=0o700, parents=True)
    for file in files:
        name = PurePosixPath(file.path)
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise BackupError("a file's name leads out of its folder")
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(file.data)
    (folder / "manifest.json").write_bytes(manifest.encode() + b"\n")
    (folder / "audit.vkey").write_text("".join(f"{key}\n" for key in manifest.verifier_keys))
    return len(files)
