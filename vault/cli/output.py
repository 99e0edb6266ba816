"""What goes where. Every command obeys it.

- Results go to stdout, progress and errors to stderr; with `--json`, stdout holds JSON only.
- Colours only on a terminal, and never when NO_COLOR is set.
- An error is "pdvault: error: …", all lower case, and a hint where the mend is known.
- Text that came from elsewhere is shown without control characters.

Light on purpose: `--help` imports this and must be there at once.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class CommandError(Exception):
    """Ends a command.

    Attributes:
        text: what is wrong, for a person, without anything secret.
        details: further lines, one fault each.
        hint: what to do about it; empty when that is not known.
        code: the exit code.
    """

    def __init__(
        self, text: str, *, details: Sequence[str] = (), hint: str = "", code: int = FAILED
    ) -> None:
        super().__init__(text)
        self.text = text
        self.details = tuple(details)
        self.hint = hint
        self.code = code


def emit(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def emit_json(document: Mapping[str, object]) -> None:
    """One object on one line, at once."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def report(error: CommandError) -> None:
    """Says what is wrong, and what to do."""
    lines = [f"pdvault: error: {error.text}", *(f"  {line}" for line in error.details)]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    say("\n".join(printable(line) for line in lines))


def wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


def printable(text: str) -> str:
    """`text` as one line that can't steer a terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
