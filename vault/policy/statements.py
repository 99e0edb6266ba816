"""Cedar text cut into its statements, each with its line; within limits that Cedar lacks (pure).

Cedar's parser recurses on nesting and overflows the stack of the whole process at some
hundred levels (measured with cedarpy 4.12.2), and its errors name no line. So
text is cut and measured here before the engine sees it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_STATEMENTS = 2_000
"""Of one file."""
MAX_STATEMENT_CHARS = 8_192
MAX_NESTING = 24
MAX_OPERATORS = 400
"""Operators, member accesses and `if`s of one statement: each may nest without a bracket."""

_PIECE = re.compile(
    r"""(?P<comment>//[^\n]*)
      | (?P<string>"(?:\\.|[^"\\])*+(?:"|\\?\Z))
      | (?P<end>;)
      | (?P<open>[(\[{<](?!=))
      | (?P<close>[)\]}]|>(?!=))
      | (?P<operator>\bif\b|\bhas\b|\blike\b|\bin\b|\bis\b|&&|\|\||[=!<>]=|[-+*!.?:])
      | (?P<space>\s+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy, or one declaration of a schema.

    Attributes:
        file, line: where it begins.
        text: from its first character to its `;`, which is missing in an unfinished one.
        problem: why it must not be given to Cedar; empty when it may.
    """

    file: str
    line: int
    text: str
    problem: str


def cut(file: str, text: str) -> Iterator[Statement]:
    """The statements of a file, in order; comments between them are dropped.

    A `;` inside brackets ends a statement as well: Cedar has none there. (A schema may,
    inside `namespace { }`, so a schema is only measured, with `measure`.)

    After MAX_STATEMENTS comes one more, empty and with a problem.
    """
    begin: int | None = None
    size, count = _Size(), 0
    for piece in _PIECE.finditer(text):
        if piece.lastgroup in ("comment", "space"):
            continue
        if begin is None:
            begin, size, count = piece.start(), _Size(), count + 1
            if count > MAX_STATEMENTS:
                line = text.count("\n", 0, begin) + 1
                yield Statement(file, line, "", f"more than {MAX_STATEMENTS} policies in one file")
                return
        size.take(piece.lastgroup)
        if piece.lastgroup == "end":
            yield _statement(file, text, slice(begin, piece.end()), size)
            begin = None
    if begin is not None:
        yield _statement(file, text, slice(begin, len(text)), size)


def measure(text: str) -> str:
    """Why a whole text nests too deep for Cedar; empty when it does not."""
    size = _Size()
    for piece in _PIECE.finditer(text):
        size.take(piece.lastgroup)
    return f"nested deeper than {MAX_NESTING}" if size.deepest > MAX_NESTING else ""


class _Size:
    """How deep and how long an expression is."""

    def __init__(self) -> None:
        self.nesting = self.deepest = self.operators = 0

    def take(self, kind: str | None) -> None:
        if kind == "open":
            self.nesting += 1
            self.deepest = max(self.deepest, self.nesting)
        elif kind == "close":
            self.nesting -= 1
        elif kind == "operator":
            self.operators += 1


def _statement(file: str, text: str, where: slice, size: _Size) -> Statement:
    own = text[where]
    problem = ""
    if size.deepest > MAX_NESTING:
        problem = f"nested deeper than {MAX_NESTING}"
    elif len(own) > MAX_STATEMENT_CHARS:
        problem = f"longer than {MAX_STATEMENT_CHARS} characters"
    elif size.operators > MAX_OPERATORS:
        problem = f"more than {MAX_OPERATORS} operators"
    return Statement(file, text.count("\n", 0, where.start) + 1, own, problem)
