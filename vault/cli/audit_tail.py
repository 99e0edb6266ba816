"""`pdvault audit tail`: the log as it grows."""

import argparse
import contextlib
import sys

from vault.cli.audit import as_json
from vault.cli.audit_filters import entry_filters
from vault.cli.audit_words import live_line
from vault.cli.connection import connect
from vault.cli.output import DONE, emit, emit_json, say


def tail(args: argparse.Namespace) -> int:
    """Until Ctrl-C, which is its proper end.

    Raises:
        CommandError, VaultCallError, CredentialFilesError.
    """
    count = 0
    with (
        connect(args) as vault,
        contextlib.closing(vault.tail_entries(**entry_filters(args))) as entries,
        contextlib.suppress(KeyboardInterrupt),
    ):
        say("following the log; Ctrl-C ends it")
        for entry in entries:
            count += 1
            if args.json:
                emit_json(as_json(entry))
            else:
                emit(live_line(entry))
                sys.stdout.flush()
    say(f"{count} entries")
    return DONE
