"""Child processes that answer in lines of JSON, and never outlive the benchmark.

The kernel ends a child when this process dies (the launcher of the embedded servers sees to it);
Ctrl-C is for this process alone, which then stops its children in order.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.ports import holds_port
from vault.embedded.process import Launch

ROOT = Path(__file__).parents[2]
_START_S = 60.0


class ChildError(Exception):
    """A child ended, or does not answer."""


class Child:
    """One Python module as a process of its own."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        """Starts `python -m ARGUMENTS`; its errors go to `NAME.log` in `folder`."""
        self.name = name
        self.log = folder / f"{name}.log"
        launch = Launch(name, ROOT, self.log, death_signal=signal.SIGKILL)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                launch.command(Path(sys.executable), ("-m", *arguments)),
                cwd=ROOT,
                # Unbuffered, Python loses what of a long line does not fit into the pipe at once.
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def ask(self, order: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Sends one line, waits for one.

        Raises:
            ChildError: no answer in time, or none at all.
        """
        self.tell(json.dumps(order))
        return self.hear(seconds)

    def tell(self, line: str) -> None:
        """Sends one line.

        Raises:
            ChildError: it has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._gone() from error

    def hear(self, seconds: float = _START_S) -> dict[str, Any]:
        """The next line that it prints.

        Raises:
            ChildError: as `ask`.
        """
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise self._gone()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def hear_port(self) -> int:
        """The port that it says it listens on, once it is sure that the child holds it.

        Raises:
            ChildError: as `ask`, or a stranger has the port.
        """
        port = int(self.hear()["port"])
        if not holds_port(self.pid, port):
            raise ChildError(f"{self.name} does not hold port {port}")
        return port

    def stop(self) -> None:
        """Ends it, gently first. Harmless when it has ended."""
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _gone(self) -> ChildError:
        tail = self.log.read_text(errors="replace")[-2000:]
        return ChildError(f"{self.name} gave no answer (exit {self._process.poll()})\n{tail}")
