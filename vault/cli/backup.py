"""`pdvault backup`: make, list, declare."""

import argparse
import asyncio
import datetime as dt
import uuid
from pathlib import Path

from vault.app.backup_declare import declare_backup, declare_gone, list_backups
from vault.app.backup_make import Made, make_backup
from vault.app.backup_tools import LOG_VERIFIED
from vault.cli.output import DONE, USAGE, CommandError, emit, emit_json, printable, say
from vault.cli.progress import Progress
from vault.clock import SystemClock
from vault.config import load_config
from vault.config_files import FileError, read_database_url, read_secret

_MB = 1_000_000


class BytesProgress:
    """Megabytes done of those there are; of the log, entries."""

    def __init__(self) -> None:
        self._bars: dict[str, Progress] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        unit, size = ("entries", 1) if what == LOG_VERIFIED else ("MB", _MB)
        if what not in self._bars:
            self._bars[what] = Progress(f"{unit} {what}:")
        self._bars[what](done // size, max(1, total // size))

    def end(self) -> None:
        for bar in self._bars.values():
            bar.end()


def owner_url(path: Path) -> str:
    """The URL in a file.

    Raises:
        CommandError: it can't be used.
    """
    try:
        read_database_url(path)
        return read_secret(path).strip()
    except FileError as error:
        raise CommandError(f"{path}: {error}") from error


def make(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultError, OSError."""
    progress = BytesProgress()
    config, url = load_config(args.config), owner_url(args.owner_url_file)
    try:
        made = asyncio.run(
            make_backup(
                config,
                owner_url=url,
                out=args.out,
                keep=dt.timedelta(days=args.keep_days),
                clock=SystemClock(),
                progress=progress,
            )
        )
    finally:
        progress.end()
    if args.json:
        emit_json(_made(made))
        return DONE
    manifest = made.manifest
    emit(f"{made.path}: {made.size / _MB:,.1f} MB, {made.rows:,} rows")
    emit(f"  backup    {manifest.backup_id.hex}")
    emit(f"  snapshot  {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, {manifest.leaves:,} log entries")
    emit(f"  keep      until {manifest.keep_until:%Y-%m-%d}, then delete it everywhere")
    emit(f"  sha256    {made.sha256.hex()}")
    seconds = max(made.seconds, 0.001)
    say(f"{made.seconds:.1f} s, {made.size / _MB / seconds:,.0f} MB/s; now back up Transit as well")
    return DONE


def _made(made: Made) -> dict[str, object]:
    manifest = made.manifest
    return {
        "backup_id": manifest.backup_id.hex,
        "file": str(made.path),
        "bytes": made.size,
        "sha256": made.sha256.hex(),
        "rows": made.rows,
        "taken_at": manifest.taken_at.isoformat(),
        "keep_until": manifest.keep_until.isoformat(),
        "log_entries": manifest.leaves,
        "ledger_index": made.ledger_index,
        "seconds": round(made.seconds, 3),
        "roots": [
            {"tenant": one.tenant, "root_version": one.root_version, "keys": one.keys}
            for one in manifest.roots
        ],
    }


def list_all(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultError."""
    rows = asyncio.run(list_backups(owner_url(args.owner_url_file)))
    now = dt.datetime.now(dt.UTC)
    if args.json:
        for row in rows:
            emit_json(
                {
                    "backup_id": row.backup_id.hex,
                    "kind": row.kind,
                    "state": row.state,
                    "taken_at": row.taken_at.isoformat(),
                    "covers_until": None
                    if row.covers_until is None
                    else row.covers_until.isoformat(),
                    "keep_until": row.keep_until.isoformat(),
                    "counts": row.state in ("kept", "unfinished") and row.keep_until > now,
                    "bytes": row.size,
                    "sha256": None if row.sha256 is None else row.sha256.hex(),
                    "label": row.label,
                    "roots": [
                        {"tenant": r.tenant, "root_version": r.root_version, "keys": r.keys}
                        for r in row.roots
                    ],
                }
            )
        return DONE
    for row in rows:
        roots = ", ".join(f"{r.tenant} v{r.root_version} ({r.keys:,})" for r in row.roots)
        state = "over" if row.state == "kept" and row.keep_until <= now else row.state
        emit(
            f"{row.taken_at:%Y-%m-%d %H:%M}  {row.kind:<8}  {state:<10}  until "
            f"{row.keep_until:%Y-%m-%d}  {row.backup_id.hex}  {printable(row.label)}"
        )
        emit(f"    needs root keys: {roots or 'none'}")
    if not rows:
        say("no backup is on record")
    return DONE


def declare(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultError."""
    url = owner_url(args.owner_url_file)
    if args.gone is not None:
        try:
            backup_id = uuid.UUID(hex=args.gone)
        except ValueError:
            raise CommandError("--gone takes the id that backup list shows", code=USAGE) from None
        if not asyncio.run(declare_gone(url, backup_id)):
            raise CommandError("no such backup is on record, or it is off already")
        if args.json:
            emit_json({"backup_id": backup_id.hex, "state": "gone"})
        else:
            emit(f"{backup_id.hex}: gone; nothing waits for it any more")
        return DONE
    if args.until is None:
        raise CommandError("--until DATE or --gone ID is needed", code=USAGE)
    if len(args.label.encode()) > 200:  # noqa: PLR2004 - the column's limit
        raise CommandError("--label has at most 200 bytes", code=USAGE)
    row = asyncio.run(
        declare_backup(
            load_config(args.config),
            owner_url=url,
            until=args.until,
            begun=args.begun,
            is_archive=args.archive,
            label=args.label,
            clock=SystemClock(),
        )
    )
    if args.json:
        emit_json({"backup_id": row.backup_id.hex, "kind": row.kind, "state": row.state})
    else:
        emit(f"{row.backup_id.hex}: on record until {row.keep_until:%Y-%m-%d}")
    return DONE
