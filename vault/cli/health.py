"""`pdvault health`."""

import argparse

from vault.cli.connection import connect
from vault.cli.output import DONE, FAILED, emit, emit_json
from vault.client import Health


def run(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        health = vault.check_health()
    if args.json:
        emit_json({"health": health.name})
    else:
        emit(health.name)
    return DONE if health is Health.SERVING else FAILED
