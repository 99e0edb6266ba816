"""`pdvault up` as a process of its own, as a person starts it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.ports import children
from vault.client import VaultClient

_ROOT = Path(__file__).parents[2]
READY_S = 60


class Up:
    """One running `pdvault up --json`.

    Attributes:
        process: the command.
        facts: what its line of JSON says.
    """

    def __init__(self, state: Path, *options: str) -> None:
        self.process = start("up", "--state", str(state), "--json", *options)
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(READY_S)
            self._reader.join(5)
            self.process.stdout.close()
            self.process.stderr.close()
            raise AssertionError(f"pdvault up ended: {self.errors()}")
        self.facts: dict[str, str] = json.loads(line)

    def client(self, name: str) -> VaultClient:
        return VaultClient.from_directory(Path(self.facts["certs"]) / name, self.facts["address"])

    def children(self) -> dict[str, int]:
        """The pids of its servers, by program."""
        pids = children(self.process.pid)
        return {Path(f"/proc/{pid}/comm").read_text().strip(): pid for pid in pids}

    def wait_for(self, text: str, seconds: float = 15) -> str:
        """stderr, once `text` is in it."""
        deadline = time.monotonic() + seconds
        while text not in self.errors():
            assert time.monotonic() < deadline, f"no {text!r} in: {self.errors()}"
            time.sleep(0.05)
        return self.errors()

    def errors(self) -> str:
        return "".join(self._lines)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Its exit code, and nothing more on stdout."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(5)
        assert "" == self.process.stdout.read()
        return code

    def _read(self) -> None:
        self._lines.extend(self.process.stderr)  # as they come


@contextlib.contextmanager
def up(state: Path, *options: str) -> Iterator[Up]:
    """Started, and ended whatever happens."""
    started = Up(state, *options)
    try:
        yield started
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
            started.end()
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait()
        for stream in (started.process.stdout, started.process.stderr):
            stream.close()


def start(*arguments: str) -> "subprocess.Popen[str]":
    """`pdvault ARGUMENTS`, both streams piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "vault", *arguments],
        cwd=_ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    """`pdvault ARGUMENTS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "vault", *arguments],
        cwd=_ROOT,
        env=_environment(),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("PDVAULT_")}
