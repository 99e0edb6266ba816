"""kill -9 of backup and restore at their turning points, and a second run."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from tests.support.backups import KEEP, Commands, empty_database
from tests.support.erasures import consumer
from tests.support.service import StartService, VaultService, start_service

__all__ = ["start_service"]
NEXT = "pdvault.example/audit/2"
_DIE = """
import os, sys
from importlib import import_module
module, cls, name, after = sys.argv[1:5]
holder = getattr(import_module(module), cls)
whole = getattr(holder, name)
def die(*args, **kwargs):
    if after == "after":
        whole(*args, **kwargs)
    os.kill(os.getpid(), 9)
setattr(holder, name, die)
from vault.cli.main import main
sys.exit(main(sys.argv[5:]))
"""


@pytest.fixture(scope="module")
def vault(start_service: StartService) -> Iterator[VaultService]:
    with start_service() as started:
        consumer(started)
        yield started


@pytest.fixture
def commands(vault, capsys) -> Commands:
    return Commands(vault, capsys)


def killed(where: str, *argv: object, after: bool = False) -> None:
    """Runs a command that kills itself in (or after) a method `MODULE:CLASS.NAME`."""
    module, _, rest = where.partition(":")
    ran = subprocess.run(
        (
            *(sys.executable, "-c", _DIE, module, *rest.split("."), "after" if after else "in"),
            *map(str, argv),
        ),
        check=False,
        timeout=120,
        capture_output=True,
    )
    assert -9 == ran.returncode, ran.stderr


@pytest.mark.parametrize(
    ("where", "after", "is_there"),
    [
        ("vault.store.dump:Dumper.begin", False, False),
        ("vault.backup.contents:Writer.table_end", False, False),
        ("vault.service.backup_ledger:BackupLedger.add", False, False),
        ("vault.backup.write:BackupFile.finish", False, False),
        ("vault.backup.write:BackupFile.finish", True, True),
    ],
)
def test_a_backup_that_was_killed_is_whole_or_not_there(commands, tmp_path, where, after, is_there):
    file = tmp_path / "b.pdb"
    where_to = ("--config", commands.config, "--owner-url-file", commands.owner(), "--out", file)
    killed(where, "backup", "make", *where_to, *KEEP, after=after)
    assert is_there == file.exists()
    newest = commands.service.database.value(
        "select state from backups order by taken_at desc limit 1"
    )
    assert "unfinished" == newest  # it counts until its window is over, or is declared gone
    if is_there:
        assert 0 == commands.run("restore", file, "--config", commands.config, "--dry-run").code
    else:
        for draft in tmp_path.iterdir():
            ran = commands.run("restore", draft, "--config", commands.config, "--dry-run")
            assert 1 == ran.code
        assert 0 == commands.backup(file).code


@pytest.mark.parametrize(
    "where",
    [
        "vault.store.dump:Restorer.begin",
        "vault.store.dump:Restorer.end",
        "vault.store.restored:RestoredLog.add_entry",
        "vault.store.dump:Restorer.commit",
    ],
)
def test_a_restore_that_was_killed_leaves_nothing_and_is_run_again(commands, tmp_path, where):
    file = tmp_path / "b.pdb"
    commands.service.stop()
    try:
        assert 0 == commands.backup(file).code
    finally:
        commands.service.start()
    with empty_database(commands.service) as urls:
        target = ("--config", commands.config, "--into-url-file", commands.owner(urls))
        killed(where, "restore", file, *target, "--next-log", NEXT)

        async def relations() -> int:
            connection = await asyncpg.connect(urls.owner)
            try:
                sql = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
                return int(await connection.fetchval(sql))
            finally:
                await connection.close()

        assert 0 == asyncio.run(relations())
        witness = commands.service.folder / "witness" / "checkpoint"
        assert witness.exists()
        witnessed = witness.read_bytes()
        assert 0 == commands.restore(file, urls, "--next-log", NEXT).code
        aside = list(witness.parent.glob("checkpoint.ended-*"))
        for path in aside:
            path.rename(witness)  # the service of this test goes on with its own log
        assert witnessed.split(b"\n")[0] == witness.read_bytes().split(b"\n")[0]
