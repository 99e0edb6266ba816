"""Whatever happens to a file: a bundle or a list of faults, and no other end."""

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.policy import Bundle, BundleError, load_bundle
from vault.policy.document import read_document
from vault.policy.faults import Faults

PIECES = [
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "? ",
    "| ",
    "&a ",
    "*a ",
    "!!x ",
    "'",
    '"',
    "#",
    "\n",
    "  ",
    "a",
]
PIECES += [
    "  ",
    "a",
    "<<",
    "1e5",
    "0x1f",
    "~",
    "2024-02-30",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    ",",
    "\t",
]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=60))
@settings(deadline=None, max_examples=400)
def test_yaml_of_any_kind_is_read_or_refused(text: str) -> None:
    faults = Faults()
    document = read_document("f.yaml", text.encode("utf-8", "replace"), faults)
    assert (document is None) == bool(faults)


@pytest.mark.parametrize("seed", range(120))
def test_a_damaged_file_gives_a_bundle_or_faults(folder: Path, shipped: Bundle, seed: int) -> None:
    source = random.Random(seed)
    path = source.choice(sorted(each for each in folder.iterdir() if each.is_file()))
    content = bytearray(path.read_bytes())
    at, length = source.randrange(len(content)), source.choice([1, 1, 1, 5, 50])
    damage = source.choice(["flip", "drop", "repeat", "insert"])
    if damage == "flip":
        content[at] ^= 1 << source.randrange(8)
    elif damage == "drop":
        del content[at : at + length]
    elif damage == "repeat":
        content[at:at] = content[at : at + length]
    else:
        content[at:at] = source.choice([b";", b"{", b"}", b'"', b"//", b"\n", b"- ", b": ", b"\\"])
    path.write_bytes(content)
    with contextlib.suppress(BundleError):
        assert load_bundle(folder).digest != shipped.digest
