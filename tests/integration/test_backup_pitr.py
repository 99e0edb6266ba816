"""Point-in-time recovery with PostgreSQL's own tools, and the same replay afterwards."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.backups import Commands, moved_to, rename_log
from tests.support.embedded import DatabaseUrls
from tests.support.erasures import VALUES, consumer, erased, reason, reveal
from tests.support.service import StartService, VaultService, start_service, wait_until
from vault.embedded.config_file import ORIGIN
from vault.embedded.postgres import LOGINS, SUPERUSER, Postgres
from vault.embedded.postgres_programs import ensure_system_user, programs
from vault.errors import Reason

__all__ = ["start_service"]
NEXT = "pdvault.example/audit/2"


@pytest.fixture
def own(start_service: StartService):
    with start_service() as started:
        yield started


def base_backup(server: Postgres, target: Path) -> None:
    subprocess.run(
        (
            *(str(programs(ensure_system_user()) / "pg_basebackup"), "--pgdata", str(target)),
            *("--wal-method=stream", "--checkpoint=fast"),
            *("--host=127.0.0.1", f"--port={server.port}", f"--username={SUPERUSER}"),
        ),
        check=True,
        env={**os.environ, "PGPASSWORD": server.password(SUPERUSER)},
        timeout=120,
    )


def recovered(server: Postgres, base: Path, folder: Path, moment: str) -> Postgres:
    """A server on the base backup and the log up to a moment, as an operator makes it."""
    data = folder / "server" / "data"
    (folder / "server").mkdir(parents=True)
    base.rename(data)
    archive = data / "archived"
    shutil.copytree(server.folder / "server" / "data" / "pg_wal", archive)
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            "restore_command = 'cp archived/%f %p'\n"
            f"recovery_target_time = '{moment}'\n"
            "recovery_target_action = 'promote'\n"
        )
    (data / "recovery.signal").touch()
    for path in (*server.folder.glob("*.password"), server.folder / "ready"):
        shutil.copy(path, folder / path.name)
    name = f"{SUPERUSER}.password"
    shutil.copy(server.folder / "server" / name, folder / "server" / name)
    user = ensure_system_user()
    if user is not None:
        for path in (folder / "server", *(folder / "server").rglob("*")):
            shutil.chown(path, user.uid, user.gid)
    data.chmod(0o700)
    return Postgres(folder)


def on_other_server(own: VaultService, old: Postgres, new: Postgres) -> None:
    """The operator puts the new server into the URL files."""
    text = own.config

    def config(port: int) -> str:
        written = text(port)
        for path in own.folder.glob("*.url"):
            path.write_text(path.read_text().replace(f":{old.port}/", f":{new.port}/"))
        return written

    own.config = config  # type: ignore[method-assign]


def test_recovered_to_a_moment_nobody_erased_comes_back(own, capsys, tmp_path):
    commands = Commands(own, capsys)
    server = own.instance.postgres
    declared = commands.run(
        *("backup", "declare", "--config", commands.config),
        *("--owner-url-file", commands.owner(), "--archive", "--until", "2099-01-01", "--json"),
    )
    assert 0 == declared.code, declared.err
    base_backup(server, tmp_path / "base")
    one, early = consumer(own), consumer(own)
    certificate = erased(own, subject_ref=early.ref)
    assert certificate.complete_at.ToDatetime().year == 2099
    moment = own.database.value("select clock_timestamp()::text")
    late = consumer(own)
    erased(own, subject_ref=one.ref)
    own.database.fetch("select pg_sleep(0.2)")
    server.execute("select pg_switch_wal();")
    own.stop()
    new = recovered(server, tmp_path / "base", tmp_path / "new", moment)
    new.start()
    try:
        name = own.urls.name
        urls = DatabaseUrls(name, *(new.url(login, name) for login in LOGINS))
        on_other_server(own, server, new)
        with moved_to(own, urls):
            wait_until(
                lambda: not own.database.value("select pg_is_in_recovery()"),
                seconds=30,
                text="not promoted",
            )
            log = own.log.stat().st_size
            assert own._try_start(own.port) is None
            assert "pdvault erasures replay" in own.log.read_text()[log:]
            adopted = commands.run(
                *("backup", "adopt", "--config", commands.config, "--json"),
                *("--owner-url-file", commands.owner(), "--next-log", NEXT),
            )
            assert (0, False) == (adopted.code, adopted.json["log"]["goes_on"]), adopted.err
            assert 1 == commands.replay().json["erasures"]
            rename_log(own, ORIGIN, NEXT)
            own.start()
            assert (Reason.ERASED, Reason.ERASED) == (
                reason(own, one.token),
                reason(own, early.token),
            )
            assert Reason.TOKEN_UNKNOWN == reason(own, late.token)
            fresh = consumer(own)
            assert VALUES["phone"] in reveal(own, fresh.token).value
    finally:
        new.stop()
