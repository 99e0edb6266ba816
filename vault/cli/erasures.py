"""`pdvault erasures replay`."""

import argparse
import asyncio
import time

from vault.app.replay import replay_ledger
from vault.cli.output import DONE, CommandError, emit, emit_json, say
from vault.cli.progress import Progress
from vault.clock import SystemClock
from vault.config import load_config


def replay(args: argparse.Namespace) -> int:
    """Raises CommandError, ConfigError, VaultError."""
    config = load_config(args.config)
    progress = Progress("replayed")
    began = time.monotonic()
    try:
        done = asyncio.run(
            replay_ledger(config, clock=SystemClock(), dry_run=args.dry_run, progress=progress)
        )
    finally:
        progress.end()
    if done.obstacle:
        raise CommandError(
            done.obstacle, hint="bring back the ledger that belongs to this database"
        )
    if args.json:
        emit_json(
            {
                "dry_run": args.dry_run,
                "erasures": done.erasures,
                "backups": done.backups,
                "applied_before": done.applied,
                "ledger": done.ledger,
            }
        )
        return DONE
    if not done.erasures + done.backups:
        emit("the database is up to its ledger; nothing to replay")
        return DONE
    verb = "would be" if args.dry_run else "were"
    emit(f"{done.erasures} erasures and {done.backups} notes of backups {verb} replayed")
    if not args.dry_run:
        say(f"{time.monotonic() - began:.1f} s; processes that wait serve within a second")
    return DONE
