"""SQL: named files, listed columns, nothing built from data."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.sources import files, modules, name, tree
from vault.store.queries import QUERIES

STATEMENT = re.compile(
    r"\s*(select|insert into|update|delete from|create|alter|drop|grant|revoke|copy"
    r"|with\s+\w+\s+as)\s",
    re.IGNORECASE,
)
STAR = re.compile(r"select\s+(\w+\.)?\*", re.IGNORECASE)
USED = re.compile(r'QUERIES\[\s*"(\w+)"\s*\]')
# Statements that take no parameters, each with its reason.
BUILT = {
    "vault/embedded/postgres.py": "logins and databases: names are checked, passwords are hex",
}


def texts(path: Path) -> list[str]:
    """Every constant text of a module but its docstrings' prose."""
    return [
        node.value
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


@pytest.mark.parametrize("path", [*files(".sql"), *modules()], ids=name)
def test_no_statement_selects_a_star(path: Path) -> None:
    whole = [path.read_text(encoding="utf-8")] if path.suffix == ".sql" else texts(path)

    assert [] == [text for text in whole if STAR.search(text)]


def is_built(node: ast.AST) -> bool:
    """Whether a text that begins like a statement is put together from parts."""
    if isinstance(node, ast.JoinedStr):
        first = node.values[0] if node.values else None
        return isinstance(first, ast.Constant) and bool(STATEMENT.match(str(first.value)))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        left = node.left
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "format"
    ):
        left = node.func.value
    else:
        return False
    return (
        isinstance(left, ast.Constant)
        and isinstance(left.value, str)
        and bool(STATEMENT.match(left.value))
    )


@pytest.mark.parametrize("path", modules(), ids=name)
def test_no_statement_is_built_from_data(path: Path) -> None:
    built = [node.lineno for node in ast.walk(tree(path)) if is_built(node)]

    assert [] == built or name(path) in BUILT


def test_the_finder_of_built_statements_finds_them() -> None:
    for text in ('f"select a from {t}"', '"delete from t where x = %s" % x', '"drop table " + t'):
        assert is_built(ast.parse(text, mode="eval").body)
    assert not is_built(ast.parse('f"with care: {x}"', mode="eval").body)


def test_every_named_query_is_used_and_every_used_one_exists() -> None:
    used = {found for path in modules() for found in USED.findall(path.read_text(encoding="utf-8"))}

    assert set(QUERIES) == used


@pytest.mark.parametrize("path", files(".sql"), ids=name)
def test_every_query_says_what_it_is_for(path: Path) -> None:
    if "queries" not in path.parts:
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("-- name: "):
            assert lines[number + 1].startswith("-- "), line
