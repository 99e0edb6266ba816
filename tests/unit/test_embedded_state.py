"""The state folder: private, ours, used by one process."""

import os
import signal
import subprocess
import sys

import pytest

from vault.embedded.state import EmbeddedError, StateFolder


def test_a_new_folder_is_private_and_incomplete(tmp_path):
    state = StateFolder.open(tmp_path / "a" / "b")

    assert state.root.stat().st_mode & 0o777 == 0o700
    assert {"lock", "pdvault-state"} == {path.name for path in state.root.iterdir()}
    assert {0o600} == {path.stat().st_mode & 0o777 for path in state.root.iterdir()}
    assert not state.is_complete
    state.close()


def test_completion_is_kept(tmp_path):
    state = StateFolder.open(tmp_path / "state")
    state.set_complete()
    state.close()

    again = StateFolder.open(tmp_path / "state")

    assert again.is_complete
    again.close()


def test_a_second_use_is_refused_and_names_the_process(tmp_path):
    state = StateFolder.open(tmp_path)

    with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"):
        StateFolder.open(tmp_path)

    state.close()
    StateFolder.open(tmp_path).close()


def test_a_dead_holder_with_living_servers_is_waited_for(tmp_path):
    """A server that inherited the lock holds it after its parent is gone."""
    state = StateFolder.open(tmp_path)
    os.pwrite(state.lock_fd, b"999999999\n", 0)
    server = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(state.lock_fd,)
    )
    os.close(state.lock_fd)

    with pytest.raises(EmbeddedError, match="still held by servers"):
        StateFolder.open(tmp_path, leftover_wait_s=0.2)

    server.send_signal(signal.SIGKILL)
    server.wait()
    StateFolder.open(tmp_path).close()


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "letters").write_text("dear")
    tmp_path.chmod(0o755)

    with pytest.raises(EmbeddedError, match="not empty and is not a state folder"):
        StateFolder.open(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["letters"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedError, match="is not a folder"):
        StateFolder.open(tmp_path / "file")


def test_a_start_that_was_cut_off_early_may_be_repeated(tmp_path):
    (tmp_path / "lock").write_text("")
    (tmp_path / ".0badcafe.new").write_text("{")

    StateFolder.open(tmp_path).close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": "x", "complete": true}', "is damaged"),
        ('{"format": 2, "complete": true}', "has layout 2"),
    ],
)
def test_a_marker_that_is_not_understood_is_refused(tmp_path, text, message):
    (tmp_path / "pdvault-state").write_text(text)

    with pytest.raises(EmbeddedError, match=message):
        StateFolder.open(tmp_path)


def test_a_folder_that_was_opened_up_is_closed_again(tmp_path):
    StateFolder.open(tmp_path / "state").close()
    (tmp_path / "state").chmod(0o755)

    StateFolder.open(tmp_path / "state").close()

    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
