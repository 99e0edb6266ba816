"""Small modules, explained exceptions, nothing of one machine, links that lead somewhere."""

import re
import statistics
from pathlib import Path

import pytest

from tests.support.sources import ROOT, files, modules, name

LONGEST = 450
MEDIAN = 150

# A code; in what is shipped, also a reason behind it.
IGNORE = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<rest>[^#\n]*)(?P<more>[^\n]*)")
CODED = re.compile(r"(:\s*[A-Z]+[0-9]+(\s*,\s*[A-Z]+[0-9]+)*|\[[a-z-]+(,\s*[a-z-]+)*\])")
REASON = re.compile(r"[A-Za-z]{2,}")

MACHINE = re.compile(r"(?<![\w.~-])/(home|root|work)/[\w.]")
REGISTRY = re.compile(r"(?i)\b(files\.pythonhosted\.org|pypi\.org|index-url|proxy\.golang)\b")
TEXT = (".cedar", ".cedarschema", ".hcl", ".json", ".lock", ".md", ".proto", ".py", ".pyi", ".sql")
TEXT += (".service", ".svg", ".toml", ".yaml", "")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"`((?:vault|tests|docs|deploy|policies|protos)/[\w./*-]*[\w*](?:\.\w+)?/?)`")
MADE_LATER = {"docs/demo.svg"}


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_modules_are_small() -> None:
    sizes = {name(path): lines(path) for path in modules() if lines(path)}

    assert {} == {path: size for path, size in sizes.items() if size > LONGEST}
    assert statistics.median(sizes.values()) <= MEDIAN


@pytest.mark.parametrize("path", [*modules(), *modules(".ci"), *modules("tests")], ids=name)
def test_an_exception_from_a_check_has_a_code_and_in_the_product_a_reason(path: Path) -> None:
    if path == Path(__file__):
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = IGNORE.search(line)
        if found is None:
            continue
        where = f"{name(path)}:{number}"
        coded = CODED.match(found["rest"].strip())
        assert coded, f"{where}: no code"
        if path.is_relative_to(ROOT / "vault"):
            reason = found["rest"].strip()[coded.end() :] + found["more"]
            assert REASON.search(reason), f"{where}: no reason"


@pytest.mark.parametrize("path", files(*TEXT), ids=name)
def test_nothing_of_one_machine_is_in_a_file(path: Path) -> None:
    if path == Path(__file__) or "tile" in path.parts:  # a log's tiles are no text
        return
    text = path.read_text(encoding="utf-8")

    assert [] == [found.group() for found in MACHINE.finditer(text)]
    assert [] == [found.group() for found in REGISTRY.finditer(text)] or name(path) == "Makefile"


def anchors(path: Path) -> set[str]:
    """The anchors that a page's headings get on GitHub."""
    text = CODE_BLOCK.sub("", path.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(text)
    }


PAGES = [path for path in files(".md") if not path.is_relative_to(ROOT / "tests")]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if path.relative_to(ROOT).as_posix() in MADE_LATER:
            continue
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    gone = [
        place
        for place in PLACE.findall(text)
        if "NNNN" not in place
        and place not in MADE_LATER
        and not list(ROOT.glob(place.rstrip("/")))
        and not list(ROOT.glob(f"policies/{place}"))  # what a page on bundles calls tests/
    ]

    assert [] == gone
