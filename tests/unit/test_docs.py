"""What the pages quote from the code is what the code says."""

import re
import textwrap
from pathlib import Path

import pytest

import vault.client

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\s+# (\d)\. (.+)$", re.MULTILINE)
TARGET = re.compile(r"\bmake ([a-z]+)\b")
SECTIONS = {
    "vault/rpc/boundary.py": "Every call",
    "vault/service/detokenize.py": "Detokenize",
    "vault/service/tokenize.py": "Tokenize",
    "vault/service/list_entries.py": "ListEntries",
    "vault/service/bundles.py": "ReloadBundle",
    "vault/service/rotate.py": "RotateKey",
    "vault/service/erase.py": "EraseSubject",
}


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_ten_lines_of_the_readme_are_those_that_the_client_shows() -> None:
    """Those run in tests/unit/test_client_calls.py."""
    shown = vault.client.__doc__ or ""
    example = "\n".join(line for line in shown.splitlines() if line.startswith("    ") or not line)

    assert [textwrap.dedent(example).strip()] == [
        code.strip() for code in PYTHON.findall(page("README.md"))
    ]


@pytest.mark.parametrize("module", SECTIONS)
def test_the_steps_of_the_request_path_are_those_of_the_code(module: str) -> None:
    section = page("docs/request-path.md").split(f"\n## {SECTIONS[module]}\n")[1].split("\n## ")[0]
    in_code = [
        (number, text.split(". ")[0].rstrip(".")) for number, text in STEP.findall(page(module))
    ]

    assert in_code
    assert [
        (number, text) for number, text in in_code if f"\n{number}. **{text}." not in section
    ] == []
    assert [number for number, _ in in_code] == re.findall(r"^(\d)\. \*\*", section, re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "deploy/README.md"])
def test_make_targets_that_a_page_names_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))

    assert set() == set(TARGET.findall(page(name))) - targets


def test_the_readme_says_what_the_version_is_for() -> None:
    assert f"## [{vault.__version__}]" in page("CHANGELOG.md")


def test_every_page_is_linked_from_the_readme() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}

    assert set() == {name for name in pages if f"({name})" not in page("README.md")}
