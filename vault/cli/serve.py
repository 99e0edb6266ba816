"""`pdvault serve`: the service on the user's own PostgreSQL and Vault or OpenBao."""

import argparse
import signal

import uvloop

from vault.app.checks import load_rules
from vault.app.service import Service
from vault.cli.output import DONE, emit
from vault.cli.running import run_service
from vault.cli.workers import supervise
from vault.config import load_config
from vault.telemetry.kinds import NO_WORDS
from vault.telemetry.logs import Logging


def run(args: argparse.Namespace) -> int:
    """Raises ConfigError, BundleError, UnsafeError, VaultError, OSError: it refuses to start."""
    # Until the event loop takes it over, a reload would be the end.
    signal.signal(signal.SIGHUP, lambda *_: None)
    config = load_config(args.config)
    if args.check:
        bundle = load_rules(config.policy.directory)
        emit(f"{args.config}: sound; policies: sound, digest {bundle.digest.hex()[:12]}")
        return DONE
    if config.server.workers > 1:
        with Logging(level=config.telemetry.log_level, words=lambda: NO_WORDS):
            return uvloop.run(supervise(args.config, config))
    service = Service(config)
    with Logging(level=config.telemetry.log_level, words=service.words):
        return uvloop.run(run_service(service, on_ready=lambda: None))
