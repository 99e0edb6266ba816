"""A server as a child process: started in the foreground, watched, stopped, never left behind.

On Linux the kernel signals the child when this process dies, whatever it dies
of. Elsewhere a killed parent leaves its servers running, and the lock that they
inherited keeps a second start away.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from vault.embedded.files import PRIVATE
from vault.embedded.state import EmbeddedError

_LAUNCHER = Path(__file__).with_name("launcher.py")
_LOG_KEPT_BYTES = 8 * 1024 * 1024
_BASE_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class SystemUser:
    """Whom a server runs as, where that is not whoever runs this process."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How to run one server.

    Attributes:
        name: for messages.
        folder: its working directory.
        log: where its output is appended.
        lock_fd: inherited, so that the state folder stays locked while the server runs;
            -1 for none.
        death_signal: sent by the kernel when this process dies.
    """

    name: str
    folder: Path
    log: Path
    lock_fd: int = -1
    user: SystemUser | None = None
    death_signal: signal.Signals = signal.SIGTERM

    @property
    def inherited(self) -> tuple[int, ...]:
        return () if self.lock_fd < 0 else (self.lock_fd,)

    def command(self, program: Path, arguments: Sequence[str]) -> list[str]:
        """The command line that runs `program` through the launcher."""
        user = self.user or SystemUser(-1, -1)
        return [
            *(sys.executable, "-I", "-S", str(_LAUNCHER)),
            *map(str, (os.getpid(), int(self.death_signal), user.uid, user.gid)),
            *(str(program), *arguments),
        ]


class ServerProcess:
    """One running server."""

    def __init__(self, launch: Launch, program: Path, arguments: Sequence[str]) -> None:
        """Start it.

        Raises:
            EmbeddedError: the program can't be run.
        """
        self.name = launch.name
        self.log = launch.log
        self._exited = threading.Event()
        self._started = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        # The kernel's death signal follows the *thread* that started the child. So this
        # thread lives exactly as long as the child; a pool's thread might end before.
        self._keeper = threading.Thread(
            target=self._keep, args=(launch, program, arguments), name=f"keep-{launch.name}"
        )
        self._keeper.daemon = True
        self._keeper.start()
        self._started.wait()
        if self._failure is not None:
            raise EmbeddedError(
                f"can't run {launch.name}: {self._failure.strerror}"
            ) from self._failure

    def _keep(self, launch: Launch, program: Path, arguments: Sequence[str]) -> None:
        try:
            with _open_log(launch.log) as log:
                self._child = subprocess.Popen(  # noqa: S603  our own programs, no shell
                    launch.command(program, arguments),
                    cwd=launch.folder,
                    env=_BASE_ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=launch.inherited,
                    # Ctrl-C is for us; we stop the servers, in order.
                    start_new_session=True,
                )
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        self._child.wait()
        self._exited.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return not self._exited.is_set()

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise EmbeddedError(f"{self.name} was not started")
        return self._child

    def send(self, number: signal.Signals) -> None:
        if self.is_running:
            self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`."""
        return self._exited.wait(seconds)

    def stop(self, *steps: tuple[signal.Signals, float]) -> None:
        """Send each signal in turn and wait its seconds, until the server ends; then kill it."""
        for number, seconds in steps:
            self.send(number)
            if self.wait(seconds):
                return
        self.kill()

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._exited.wait()


def package_folder(name: str) -> Path:
    """Where a wheel of the `embedded` extra is installed. Its code is not imported.

    Raises:
        EmbeddedError: it is not installed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{name} is not installed: pip install 'pdvault[embedded]'")
    return Path(spec.origin).parent


def run_once(
    launch: Launch,
    program: Path,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    text: str = "",
    timeout_s: float = 120,
) -> str:
    """Run a helper program to its end and return what it printed.

    Raises:
        EmbeddedError: it failed; its output is in the log, not in the error.
    """
    try:
        done = subprocess.run(  # noqa: S603  our own programs, no shell
            launch.command(program, arguments),
            cwd=launch.folder,
            env={**_BASE_ENVIRONMENT, **(environment or {})},
            input=text.encode(),
            capture_output=True,
            pass_fds=launch.inherited,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedError(f"{program.name} could not be run or did not end") from error
    if done.returncode != 0:
        with _open_log(launch.log) as log:
            log.write(done.stdout + done.stderr)
        raise EmbeddedError(f"{program.name} failed; see {launch.log}")
    return done.stdout.decode()


def _open_log(path: Path) -> BinaryIO:
    """The log, for appending; a long one is set aside first, one generation kept."""
    if path.exists() and path.stat().st_size > _LOG_KEPT_BYTES:
        shutil.move(path, path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
    return os.fdopen(descriptor, "ab")
