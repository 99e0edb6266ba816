"""Sends actors on: each one a process of its own with its own certificates.

Guarantees: what they are told and what they answer goes through pipes, never through a command
line; none outlives `close`.
"""

import json
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from vault.demo.house import Addresses, DemoError
from vault.demo.messages import Answer, Detokenized, Entry, Loot, Request, Tokenized
from vault.demo.thief import Wanted

_ANSWER_S = 60.0


class Playing:
    """An actor at work."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], told: object) -> None:
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603  our own program, no shell
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._told = json.dumps(told)

    def answer(self) -> object:
        """What it printed, when it has ended.

        Raises:
            DemoError: it failed or takes too long.
        """
        try:
            out, errors = self._process.communicate(self._told, timeout=_ANSWER_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{self.name} takes too long") from None
        if self._process.returncode != 0:
            raise DemoError(f"{self.name} failed: " + "".join(errors.splitlines()[-1:]))
        return json.loads(out)

    def begin(self) -> None:
        """Tell it what to do, and let it go on; `line` reads what it says."""
        if self._process.stdin is not None:
            self._process.stdin.write(self._told)
            self._process.stdin.close()

    def line(self, seconds: float) -> object:
        """The next thing that it says, a line at a time.

        Raises:
            DemoError: it has ended, or says nothing for so long.
        """
        out = self._process.stdout
        if out is None or not select.select([out], [], [], seconds)[0]:
            raise DemoError(f"{self.name} sees no change for {seconds:g} s")
        text = out.readline()
        if not text:
            raise DemoError(f"{self.name} ended before it was to")
        return json.loads(text)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


class Cast:
    """All actors of one story."""

    def __init__(self, at: Addresses) -> None:
        self._at = at
        self._playing: list[Playing] = []

    def start(self, role: str, act: str, request: Request, *, certs: Path | None = None) -> Playing:
        """Send an actor on; `certs` are those of `role` unless given."""
        folder = certs or self._at.certs / role
        return self._add(
            Playing(role, "vault.demo.actor", (act, str(folder), self._at.address), request)
        )

    def tokenize(self, orders: Path, idempotency_key: str) -> Tokenized:
        """The order service, in a new process each time."""
        request: Request = {"orders": str(orders), "idempotency_key": idempotency_key}
        answer = read(self.start("order", "tokenize", request).answer())
        if "tokenized" not in answer:
            raise DemoError(f"order: {_why(answer)}")
        return answer["tokenized"]

    def detokenize(self, role: str, request: Request) -> Detokenized:
        return values(self.start(role, "detokenize", request))

    def list_entries(self, subject_ref: str) -> list[Entry]:
        request: Request = {"subject_ref": subject_ref}
        answer = read(self.start("auditor", "list_entries", request).answer())
        if "entries" not in answer:
            raise DemoError(f"auditor: {_why(answer)}")
        return answer["entries"]

    def steal(self, state: Path, wanted: Wanted) -> Loot:
        """The thief, who has the disk and the database owner's login and no certificate."""
        arguments = (str(state), str(self._at.owner_url_file))
        thief = self._add(Playing("thief", "vault.demo.thief", arguments, wanted))
        return cast("Loot", thief.answer())

    def close(self) -> None:
        for each in self._playing:
            each.end()

    def _add(self, playing: Playing) -> Playing:
        self._playing.append(playing)
        return playing


def read(said: object) -> Answer:
    return cast("Answer", said)


def values(playing: Playing) -> Detokenized:
    """An actor's answer to `detokenize`.

    Raises:
        DemoError: the call failed.
    """
    answer = read(playing.answer())
    if "detokenized" not in answer:
        raise DemoError(f"{playing.name}: {_why(answer)}")
    return answer["detokenized"]


def _why(answer: Answer) -> str:
    failure = answer["failure"]
    return f"{failure['reason']} ({failure['status']})"
