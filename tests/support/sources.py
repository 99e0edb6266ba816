"""The project's own files, for tests that read them as text."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FOLDERS = (".ci", "deploy", "docs", "policies", "protos", "tests", "vault")
_GENERATED = ROOT / "vault" / "v1"


def files(*suffixes: str) -> list[Path]:
    """Every file that belongs to the project, or those with one of these suffixes."""
    found = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    for folder in _FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(
        path
        for path in found
        if "__pycache__" not in path.parts and (not suffixes or path.suffix in suffixes)
    )


def modules(folder: str = "vault") -> list[Path]:
    """Python files below a folder, generated code left out."""
    return [
        path
        for path in files(".py")
        if path.is_relative_to(ROOT / folder) and not path.is_relative_to(_GENERATED)
    ]


def name(path: Path) -> str:
    """A file as failures name it, `vault/rpc/server.py`."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """The dotted names that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)
