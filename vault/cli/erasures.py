"""`pdvault erasures replay`."""

import argparse
import asyncio
import time

from vault.app.replay import replay_ledger
from vault.cli.output import DONE, CommandError, emit, emit_json, say
from vault.cli.progress import Progress
from vault.clock import SystemClock
from vault.config import load_config
from vault.keys.ledger import EraseLine
from vault.service.ledger import Standing


def replay(args: argparse.Namespace) -> int:
    """Raises CommandError, ConfigError, VaultError."""
    config = load_config(args.config)
    progress = Progress("replayed")
    began = time.monotonic()
    try:
        before = asyncio.run(
            replay_ledger(config, clock=SystemClock(), dry_run=args.dry_run, progress=progress)
        )
    finally:
        progress.end()
    if before.standing is Standing.LOST:
        raise CommandError(
            before.text,
            hint="bring back the ledger that belongs to this database; docs/erasure.md",
        )
    erasures = sum(isinstance(linked.line, EraseLine) for linked in before.missing)
    backups = len(before.missing) - erasures
    if args.json:
        emit_json(
            {
                "dry_run": args.dry_run,
                "was_behind": bool(before.missing),
                "erasures": erasures,
                "backups": backups,
                "applied": -1 if before.applied is None else before.applied.index,
                "ledger": before.missing[-1].head.index
                if before.missing
                else (0 if before.applied is None else before.applied.index),
            }
        )
        return DONE
    if not before.missing:
        emit("the database is up to its ledger; nothing to replay")
        return DONE
    done = "would be" if args.dry_run else "were"
    emit(f"{erasures} erasures and {backups} notes of backups {done} replayed")
    if not args.dry_run:
        say(f"{time.monotonic() - began:.1f} s; processes that wait serve within a second")
    return DONE
