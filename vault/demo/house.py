"""The house that the story plays in: `pdvault up` as a child process, and what it left behind.

Guarantees: the child gets its own session, so Ctrl-C is ours to handle; on Linux the kernel
ends it with us; `stop` tells which processes are still there.
"""

import json
import os
import signal
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

from vault.embedded.openbao import OpenBao
from vault.embedded.process import Launch, ServerProcess

PDVAULT = Path(sysconfig.get_path("scripts")) / "pdvault"
_START_S = 90.0
_STOP_S = 30.0
_POLL_S = 0.05
_SHOWN_LINES = 6


class DemoError(Exception):
    """Something did not go as told. The text is for the person who looks on."""


def expect(fault: str, told: bool) -> None:
    """Go on if it went as told.

    Raises:
        DemoError: it did not; `fault` says what happened in its place.
    """
    if not told:
        raise DemoError(fault)


@dataclass(frozen=True, slots=True)
class Addresses:
    """What `pdvault up --json` says when it is ready."""

    address: str
    certs: Path
    config: Path
    spans: Path
    openbao: str
    owner_url_file: Path


class House:
    """One `pdvault up` on one state folder."""

    def __init__(self, state: Path, scratch: Path) -> None:
        """Describe it; `start` starts it.

        Args:
            state: of `pdvault up --state`.
            scratch: an existing folder, for the output of the child.
        """
        self.state = state
        self._scratch = scratch
        self._child: ServerProcess | None = None
        self._pids: set[int] = set()
        self._openbao: OpenBao | None = None

    def start(self) -> Addresses:
        """Start, and wait until it is ready.

        Raises:
            DemoError: it did not get ready.
        """
        log = self._scratch / "up.log"
        self._child = ServerProcess(
            Launch("pdvault up", self._scratch, log),
            PDVAULT,
            ("up", "--state", str(self.state), "--json"),
        )
        deadline = time.monotonic() + _START_S
        while (found := _ready(log)) is None:
            if self._child.wait(_POLL_S) or time.monotonic() > deadline:
                raise DemoError("pdvault up did not get ready:\n" + _last_lines(log))
        self._pids = {self._child.pid, *_descendants(self._child.pid)}
        self._openbao = OpenBao(self.state / "openbao", certificate=found.certs / "openbao")
        self._openbao.port = int(found.openbao.rpartition(":")[2])
        return found

    def seal(self) -> None:
        """As OpenBao's operator."""
        self._bao().seal()

    def unseal(self) -> None:
        """With the recovery key; returns when OpenBao serves."""
        key = (self.state / "openbao" / "recovery.key").read_text().strip()
        api = self._bao().api()
        api.call("PUT", "sys/unseal", {"key": key})
        deadline = time.monotonic() + _STOP_S
        while not api.is_active():
            if time.monotonic() > deadline:
                raise DemoError("OpenBao does not serve again after the unseal")
            time.sleep(_POLL_S)

    def stop(self) -> list[int]:
        """Stop it. The process ids, of those seen while it ran, that are still there."""
        if self._child is None:
            return []
        if self._child.is_running:
            self._pids |= {self._child.pid, *_descendants(self._child.pid)}
        self._child.stop((signal.SIGTERM, _STOP_S))
        deadline = time.monotonic() + _STOP_S
        while (left := [pid for pid in self._pids if _is_alive(pid)]) and (
            time.monotonic() < deadline
        ):
            time.sleep(_POLL_S)
        return sorted(left)

    def _bao(self) -> OpenBao:
        if self._openbao is None:
            raise DemoError("the house was not started")
        return self._openbao


def _ready(log: Path) -> Addresses | None:
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        try:
            found = json.loads(line)
            return Addresses(
                address=found["address"],
                certs=Path(found["certs"]),
                config=Path(found["config"]),
                spans=Path(found["spans"]),
                openbao=found["openbao"],
                owner_url_file=Path(found["postgres_owner_url_file"]),
            )
        except (ValueError, KeyError, TypeError):
            continue  # a line of the log, or one half written
    return None


def _last_lines(log: Path) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-_SHOWN_LINES:]) or "it said nothing"


def _descendants(pid: int) -> list[int]:
    """All processes below `pid`. Linux only; elsewhere none are known."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        return []
    return [*children, *(below for child in children for below in _descendants(child))]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # A zombie has ended; who has to fetch it is not us.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self").exists()
