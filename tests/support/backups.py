"""Backups in tests: the commands, run here, and a service moved to a restored database."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.database import DatabaseEyes
from tests.support.embedded import DatabaseUrls, fresh_database
from tests.support.service import VaultService
from vault.cli.main import main
from vault.embedded.files import write_file
from vault.embedded.ports import free_port

KEEP = ("--keep-days", "35")


@dataclass
class Ran:
    """A command's end."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Commands:
    """`pdvault` for one service, as its operator."""

    service: VaultService
    capsys: pytest.CaptureFixture[str]

    @property
    def config(self) -> Path:
        return self.service.folder / "pdvault.toml"

    def run(self, *argv: object) -> Ran:
        self.capsys.readouterr()
        code = main([str(each) for each in argv])
        out, err = self.capsys.readouterr()
        return Ran(code, out, err)

    def owner(self, urls: DatabaseUrls | None = None) -> Path:
        urls = urls or self.service.urls
        path = self.service.folder / f"owner-{urls.name}.url"
        path.unlink(missing_ok=True)
        write_file(path, urls.owner)
        return path

    def backup(self, out: Path, *more: object) -> Ran:
        return self.run(
            *("backup", "--config", self.config, "--owner-url-file", self.owner()),
            *("--out", out, *KEEP, "--json", *more),
        )

    def restore(self, backup: Path, urls: DatabaseUrls, *more: object) -> Ran:
        return self.run(
            *("restore", backup, "--config", self.config),
            *("--into-url-file", self.owner(urls), "--json", *more),
        )

    def drill(self, backup: Path, *more: object) -> Ran:
        return self.run("restore", "--drill", backup, "--config", self.config, "--json", *more)

    def replay(self) -> Ran:
        return self.run("erasures", "replay", "--config", self.config, "--json")


@contextlib.contextmanager
def moved_to(service: VaultService, urls: DatabaseUrls) -> Iterator[None]:
    """The service, which must be stopped, with its ledger on another database."""
    old, ledger = service.urls, service.ledger_file
    eyes = service.database
    service.urls = urls
    try:
        if service.ledger_file != ledger:
            shutil.copyfile(ledger, service.ledger_file)
        service.ledger_file.chmod(0o600)
        service.database = DatabaseEyes(urls.owner)
        path = service.folder / "pdvault.toml"
        path.unlink(missing_ok=True)
        write_file(path, service.config(free_port()))
        yield
    finally:
        service.stop()
        service.database.close()
        service.urls, service.database = old, eyes


@contextlib.contextmanager
def empty_database(service: VaultService) -> Iterator[DatabaseUrls]:
    with fresh_database(service.instance) as urls:
        yield urls


def rename_log(service: VaultService, old: str, new: str) -> None:
    """The operator sets audit.origin."""
    text = service.config

    def renamed(port: int) -> str:
        return text(port).replace(f'origin = "{old}"', f'origin = "{new}"')

    service.config = renamed  # type: ignore[method-assign]
