"""Cutting Cedar text: lines, limits, and bounded time on hostile text."""

import time

import pytest

from vault.policy.statements import MAX_STATEMENTS, cut, measure


def test_statements_have_their_lines_and_texts() -> None:
    text = '// a; b\n@id("x;y")\npermit (a) // ; "\nwhen { "\\";" };\n\n  forbid(b);unfinished'
    assert [
        (2, '@id("x;y")\npermit (a) // ; "\nwhen { "\\";" };', ""),
        (6, "forbid(b);", ""),
        (6, "unfinished", ""),
    ] == [(each.line, each.text, each.problem) for each in cut("f", text)]


@pytest.mark.parametrize("text", ["", " \n", "// only; this\n"])
def test_nothing(text: str) -> None:
    assert [] == list(cut("f", text))


@pytest.mark.parametrize("opening", ["(", "[", "{", "<", "((", "[{"])
def test_nesting(opening: str) -> None:
    (statement,) = cut("f", opening * 25)
    assert "deeper" in statement.problem
    assert "deeper" in measure(opening * 25)
    assert measure('"' + opening * 25 + '"') == ""
    assert measure("// " + opening * 25) == ""


@pytest.mark.parametrize(
    "piece", [";", '"', '\\"', '"\\', "/", "//", "(", ")", "a", "\n", "@", "if ", "&", "\x00", "😀"]
)
def test_a_megabyte_of_anything_takes_little_time(piece: str) -> None:
    text = piece * (2**20 // len(piece))
    begun = time.monotonic()
    statements = list(cut("f", text))
    measure(text)
    assert len(statements) <= MAX_STATEMENTS + 1
    assert time.monotonic() - begun < 20
