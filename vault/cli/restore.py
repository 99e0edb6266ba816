"""`pdvault restore`, with a drill or without."""

import argparse
import asyncio
import re
from pathlib import Path

from vault.app.backup_tools import custody_transit
from vault.app.restore import (
    Filled,
    Restored,
    adopt,
    backup_key,
    look_through,
    restore,
    write_files,
)
from vault.app.restored_log import LogFate
from vault.backup.read import BackupReader
from vault.cli.backup import BytesProgress, owner_url
from vault.cli.output import DONE, USAGE, CommandError, emit, emit_json, say
from vault.clock import SystemClock
from vault.config import Config, load_config

_ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}(/[A-Za-z0-9._-]{1,99}){0,4}")
_MB = 1_000_000


def run(args: argparse.Namespace) -> int:
    """Raises CommandError, BackupError, VaultError, OSError."""
    if args.drill:
        from vault.cli.drill import run_drill  # noqa: PLC0415 - with PostgreSQL's programs

        return run_drill(args)
    if args.html or args.key:
        raise CommandError("--html and --key go with --drill", code=USAGE)
    config = load_config(args.config)
    progress = BytesProgress()
    try:
        if args.dry_run:
            return _look(args, config, progress)
        if args.into_url_file is None:
            raise CommandError("--into-url-file, --dry-run or --drill is needed", code=USAGE)
        _check_next(args.next_log, config)
        if args.files_to is not None and args.files_to.exists():
            raise CommandError(f"{args.files_to} is there already", code=USAGE)
        done = asyncio.run(
            restore(
                config,
                backup=args.backup,
                owner_url=owner_url(args.into_url_file),
                next_origin=args.next_log,
                clock=SystemClock(),
                progress=progress,
            )
        )
    finally:
        progress.end()
    if args.files_to is not None:
        write_files(done.filled.files, done.filled.manifest, args.files_to)
    _tell(args, config, done)
    return DONE


def adopt_restored(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultError."""
    config = load_config(args.config)
    _check_next(args.next_log, config)
    fate, aside = asyncio.run(
        adopt(
            config,
            owner_url=owner_url(args.owner_url_file),
            next_origin=args.next_log,
            clock=SystemClock(),
        )
    )
    if args.json:
        emit_json({"adopted": True, "log": _log(fate)})
    else:
        _tell_fate(config, fate, aside)
        emit(f"before it may serve: pdvault erasures replay --config {args.config}")
    return DONE


def _check_next(next_log: str | None, config: Config) -> None:
    if next_log is not None and (
        _ORIGIN.fullmatch(next_log) is None or next_log == config.audit.origin
    ):
        raise CommandError(
            "--next-log takes a name of the form of audit.origin that no log had before",
            code=USAGE,
        )


def _look(args: argparse.Namespace, config: Config, progress: BytesProgress) -> int:
    reader = BackupReader(args.backup)
    try:
        filled = asyncio.run(_open_and_look(config, reader, progress))
    finally:
        reader.close()
    if args.files_to is not None:
        write_files(filled.files, filled.manifest, args.files_to)
    if args.json:
        emit_json(described(filled) | {"restored": False})
        return DONE
    _summary(filled)
    emit("whole and unchanged; nothing was restored")
    return DONE


async def _open_and_look(config: Config, reader: BackupReader, progress: BytesProgress) -> Filled:
    async with custody_transit(config, SystemClock()) as admin:
        data_key = await backup_key(admin, reader)
    return await asyncio.to_thread(look_through, reader, data_key, progress)


def described(filled: Filled) -> dict[str, object]:
    """What a backup holds, for `--json`."""
    manifest = filled.manifest
    return {
        "backup_id": manifest.backup_id.hex,
        "made_by": manifest.made_by,
        "taken_at": manifest.taken_at.isoformat(),
        "keep_until": manifest.keep_until.isoformat(),
        "pdvault": manifest.pdvault,
        "postgres": manifest.postgres,
        "origin": manifest.origin,
        "log_entries": manifest.leaves,
        "ledger_index": manifest.ledger_index,
        "transit_keys": [
            {"name": key.name, "type": key.type, "newest": key.newest}
            for key in manifest.transit_keys
        ],
        "bytes": filled.size,
        "rows": filled.rows,
        "tables": filled.tables,
        "seconds": round(filled.seconds, 3),
    }


def _tell(args: argparse.Namespace, config: Config, done: Restored) -> None:
    if args.json:
        emit_json(described(done.filled) | {"restored": True, "log": _log(done.fate)})
        return
    _summary(done.filled)
    _tell_fate(config, done.fate, done.aside)
    emit("")
    emit("before it may serve:")
    emit("  pdvault migrate --owner-url-file FILE      if this release is newer than the backup")
    emit(f"  pdvault erasures replay --config {args.config}")


def _log(fate: LogFate) -> dict[str, object]:
    return {
        "origin": fate.origin,
        "goes_on": fate.goes_on,
        "leaves": fate.leaves,
        "last_checkpoint": fate.last_size,
        "lost_entries": fate.lost,
    }


def _tell_fate(config: Config, fate: LogFate, aside: Path | None) -> None:
    if fate.goes_on:
        emit(f"the log {fate.origin} goes on from its {fate.leaves:,} entries")
        return
    emit(
        f"the log {config.audit.origin} has ended: {fate.leaves:,} entries were kept, "
        f"{fate.lost:,} are missing"
    )
    emit(f"it goes on as {fate.origin}: set audit.origin to that name")
    if aside is not None:
        emit(f"its newest checkpoint is kept in {aside}")


def _summary(filled: Filled) -> None:
    manifest = filled.manifest
    emit(
        f"backup {manifest.backup_id.hex} of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, made by "
        f"{manifest.made_by} with pdvault {manifest.pdvault}"
    )
    for table, rows in sorted(filled.tables.items()):
        if rows:
            emit(f"  {table:<24} {rows:>14,}")
    seconds = max(filled.seconds, 0.001)
    say(
        f"{filled.rows:,} rows, {filled.size / _MB:,.1f} MB in {filled.seconds:.1f} s "
        f"({filled.rows / seconds:,.0f} rows/s)"
    )
