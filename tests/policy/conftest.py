import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.policies import POLICIES
from vault.policy import Bundle, load_bundle


@pytest.fixture(scope="session")
def shipped() -> Bundle:
    """The bundle that the project ships. Its memo is shared, so tests only read it."""
    return load_bundle(POLICIES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped folder, to be broken."""
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


@pytest.fixture
def edit(folder: Path) -> Callable[[str, str, str], None]:
    """Replaces a text that stands just once in a file of the copy; an empty one appends."""

    def replace(name: str, old: str, new: str) -> None:
        path = folder / name
        text = path.read_text()
        assert old == "" or text.count(old) == 1
        path.write_text(text.replace(old, new) if old else text + new)

    return replace
