"""`pdvault migrate`."""

import argparse
import asyncio
import time

from vault.cli.output import DONE, CommandError, emit, emit_json, say
from vault.config_files import FileError, read_database_url, read_secret
from vault.store.migrate import migrate


def run(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultError."""
    path = args.owner_url_file
    try:
        read_database_url(path)  # the same rules as for the service's own URLs
        url = read_secret(path)
    except FileError as error:
        raise CommandError(f"{path}: {error}") from error
    began = time.monotonic()
    names = asyncio.run(
        migrate(url, dry_run=args.dry_run, progress=lambda name: say(f"applying {name}"))
    )
    if args.json:
        emit_json({"dry_run": args.dry_run, "migrations": names})
        return DONE
    for name in names:
        emit(name)
    done = "missing" if args.dry_run else f"applied in {time.monotonic() - began:.1f} s"
    say(f"{len(names)} migration{'s' * (len(names) != 1)} {done}")
    return DONE
