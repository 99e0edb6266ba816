"""The list of witnesses: what is refused, all at once."""

import datetime as dt
from pathlib import Path

import pytest

from tests.support.certificates import ca_pem
from tests.support.frozen_clock import NOW
from tests.support.small_log import Signer
from vault.audit.note import KeyType
from vault.config_files import FileError
from vault.config_witnesses import read_witnesses

AT = dt.datetime.fromtimestamp(NOW, dt.UTC)
KEY = str(Signer("witness.example/w1", KeyType.COSIGNATURE, 1).key)
SAME_NAME = str(Signer("witness.example/w1", KeyType.COSIGNATURE, 2).key)
SAME_KEY = str(Signer("witness.example/w2", KeyType.COSIGNATURE, 1).key)
LOG_KEY = str(Signer().key)
URL = "https://witness.example/submit"


def table(url=URL, key=KEY, more=""):
    return f"[[witness]]\nurl = '{url}'\nverifier_key = '{key}'\n{more}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(ca_pem())
    return tmp_path / "witnesses.toml"


def faults(path: Path, text: str) -> dict[str, str]:
    path.write_text(text)
    return {fault.field: fault.text for fault in read_witnesses(path, now=AT)[1]}


def test_what_is_permitted(path):
    other = str(Signer("w2", KeyType.COSIGNATURE, 2).key)
    path.write_text(table(more="ca_file = 'ca.pem'") + table("http://127.0.0.1:80/a/b/", other))
    found, wrong = read_witnesses(path, now=AT)
    assert [] == wrong
    assert (URL, path.parent / "ca.pem", KEY) == (found[0].url, found[0].ca_file, str(found[0].key))
    assert found[1].ca_file is None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (table("http://witness.example"), "witness 1.url"),
        (table("https://witness.example/a?b"), "witness 1.url"),
        (table("https://witness.example/a b"), "witness 1.url"),
        (table("https://witness.example/é"), "witness 1.url"),
        (table("https://u:p@witness.example/"), "witness 1.url"),
        (table("ftp://witness.example/"), "witness 1.url"),
        (table(key="nonsense"), "witness 1.verifier_key"),
        (table(key=LOG_KEY), "witness 1.verifier_key"),
        (table() + table(), "witness 2.verifier_key"),
        (table() + table(key=SAME_NAME), "witness 2.verifier_key"),
        (table() + table(key=SAME_KEY), "witness 2.verifier_key"),
        (table(more="ca_file = 'nowhere'"), "witness 1.ca_file"),
        (table("http://127.0.0.1", more="ca_file = 'ca.pem'"), "witness 1.ca_file"),
        (table(more="name = 'x'"), "witness 1.name"),
        ("[[witness]]\nurl = 1\n" + table(), "witness 1.url"),
    ],
)
def test_a_witness_that_is_refused(path, text, field):
    assert field in faults(path, text)


@pytest.mark.parametrize(
    "text",
    ["[witness]\nurl = 'x'", "witness = 1", "a = 1\n" + table(), "x", "witness = []", table() * 17],
)
def test_a_list_that_is_none(path, text):
    path.write_text(text)
    with pytest.raises(FileError):
        read_witnesses(path, now=AT)
