"""Only our own child counts as holding a port, whatever it does with its other files."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.ports import holds_port

_LISTEN = """
import socket, sys, threading
def churn():
    while True:
        files = [open("/dev/null") for _ in range(200)]
        for file in files:
            file.close()
for _ in range(2):
    threading.Thread(target=churn, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def _child(*before: str) -> Iterator[tuple[int, int]]:
    with subprocess.Popen(
        [*before, sys.executable, "-c", _LISTEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.communicate()


@pytest.fixture
def busy() -> Iterator[tuple[int, int]]:
    """Pid and port of a listener whose other files come and go all the time."""
    with _child() as found:
        yield found


def test_a_child_whose_files_come_and_go_holds_its_port(busy: tuple[int, int]) -> None:
    assert all(holds_port(*busy) for _ in range(100))


def test_a_child_of_the_child_counts() -> None:
    with _child("/bin/sh", "-c", '"$@"; true', "sh") as (pid, port):
        assert holds_port(pid, port)


def test_a_stranger_does_not(busy: tuple[int, int]) -> None:
    pid, _ = busy
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]

        assert holds_port(os.getpid(), port)
        assert not holds_port(pid, port)
    assert not holds_port(os.getpid(), port)
