"""`pdvault up`: embedded servers, migrations and the service, in the foreground."""

import argparse
import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop

from vault.app.service import Service
from vault.cli.output import (
    FAILED,
    INTERRUPTED,
    CommandError,
    emit,
    emit_json,
    printable,
    say,
    wants_colour,
)
from vault.cli.running import run_service
from vault.cli.state_policies import state_policies
from vault.config import load_config
from vault.embedded import EmbeddedInstance
from vault.embedded.config_file import Settings
from vault.errors import Violation
from vault.store.migrate import migrate
from vault.telemetry.logs import Logging

_STOP = "stop"
"""What the embedded instance calls its last phase; this command has its own words for it."""


def run(args: argparse.Namespace) -> int:
    """Runs until Ctrl-C.

    Raises:
        EmbeddedError: the folder can't be used, is in use, or a server does not start.
        ConfigError, BundleError, UnsafeError, VaultError, OSError: the service refuses to start.
    """
    _hold_signals()
    began = time.monotonic()
    policies = None if args.policies is None else Path(args.policies).absolute()
    if policies is not None and not policies.is_dir():
        raise CommandError(f"{policies}: no such folder", hint="--policies DIR")
    say(f"state: {args.state}")
    instance = EmbeddedInstance(args.state, progress=_on_phase)
    try:
        instance.start()
        times = ", ".join(f"{name} {took:.1f} s" for name, took in instance.timings.items())
        say(f"  servers run ({times})")
        return uvloop.run(_serve(instance, args, policies, began))
    except KeyboardInterrupt:
        say("interrupted before it was ready")
        return INTERRUPTED
    finally:
        # A second Ctrl-C must not leave the servers half-stopped.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        instance.stop()


async def _serve(
    instance: EmbeddedInstance, args: argparse.Namespace, policies: Path | None, began: float
) -> int:
    settings = instance.settings()
    folder = policies or state_policies(settings.state)
    config_file = instance.write_config(policies=folder, port=args.port)
    service = Service(load_config(config_file))
    form = "pretty" if wants_colour(sys.stderr) else "json"

    async def prepare() -> None:
        with _timed("migrations"):
            url = settings.owner_url_file.read_text().strip()
            await migrate(url, progress=lambda name: say(f"  applying {name}"))
        say("  service")

    def ready() -> None:
        say(f"ready after {time.monotonic() - began:.1f} s; Ctrl-C ends it")
        if args.json:
            emit_json(_facts(settings, service.port, config_file))
        else:
            emit(_welcome(settings, service.port, folder))
            sys.stdout.flush()

    def find_fault() -> str | None:
        dead = instance.dead_servers()
        if not dead:
            return None
        logs = ", ".join(str(settings.state / name.lower() / "server.log") for name in dead)
        return f"{' and '.join(dead)} ended by itself; see {logs}"

    with Logging(level="warning", form=form, words=service.words):
        code = await run_service(
            service, prepare=prepare, on_ready=ready, on_reload=_on_reload, find_fault=find_fault
        )
        # Here, while the loop still holds the signals.
        if code != FAILED:
            say("stopping")
        with _timed("stopped"):
            await asyncio.to_thread(instance.stop)
    return code


def _hold_signals() -> None:
    """SIGTERM is Ctrl-C; a reload before there is a service is nothing."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, lambda *_: None)


def _on_phase(name: str) -> None:
    if name != _STOP:
        say(f"  {name}")


def _on_reload(faults: Sequence[Violation]) -> None:
    if not faults:
        say("policies: read again")
        return
    say("policies: refused, the old ones keep deciding:")
    for fault in faults:
        say(f"  {printable(fault.field)}: {printable(fault.text)}")


@contextmanager
def _timed(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"  {name} ({time.monotonic() - began:.1f} s)")


def _facts(settings: Settings, port: int, config_file: Path) -> dict[str, object]:
    state = settings.state
    return {
        "address": f"127.0.0.1:{port}",
        "certs": str(settings.clients_folder),
        "config": str(config_file),
        "spans": str(state / "spans.jsonl"),
        "openbao": settings.transit_address,
        "postgres_owner_url_file": str(settings.owner_url_file),
        "audit_key": str(state / "audit.vkey"),
    }


def _welcome(settings: Settings, port: int, policies: Path) -> str:
    state, command = settings.state, _own_name()
    certs = _shown(settings.clients_folder)
    clients = " ".join(
        path.name
        for path in sorted(settings.clients_folder.iterdir())
        if path.name not in ("ca", "service", "openbao")
    )
    return f"""
vault       127.0.0.1:{port}   (gRPC, mutual TLS)
OpenBao     {settings.transit_address}
PostgreSQL  logins and addresses in {_shown(settings.owner_url_file.parent)}/*.url
log's key   {_shown(state / "audit.vkey")}   (to verify exports; hand it to auditors)
policies    {_shown(policies)}   (after a change: kill -HUP {os.getpid()})
clients     {certs}/NAME, one folder each:
            {clients}

In another terminal:
  export PDVAULT_ADDRESS=127.0.0.1:{port} PDVAULT_SPANS={_shown(state / "spans.jsonl")}
and then try:
  {command} tokenize --client {certs}/order --subject-ref m-1 person_name=张伟 phone=13812345678
  {command} detokenize --client {certs}/shipping --purpose delivery TOKEN TOKEN
  {command} audit list --client {certs}/auditor --since 1h
  {command} audit export --client {certs}/auditor log.jsonl
  {command} audit verify log.jsonl --key {_shown(state / "audit.vkey")}
"""


def _shown(path: Path) -> str:
    """As short as can be typed here, quoted for a shell."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _own_name() -> str:
    """How this command was called, so that what is printed can be copied."""
    own = Path(sys.argv[0]).absolute()
    found = shutil.which("pdvault")
    if own.name != "pdvault" or (found and Path(found).absolute() == own):
        return "pdvault"
    return _shown(own)
