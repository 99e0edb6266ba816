"""Hostile texts in every text field: refused by name, or stored and returned as they came."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import calls
from tests.support.calls import RPCS
from tests.support.rpc_cases import Seeds, seed
from tests.support.service import VaultService
from vault.model import Verdict

_DATA: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("hostile_text.yaml").read_text(encoding="utf-8")
)
_MARK = "HOSTILE-TEXT"


@pytest.fixture(scope="module")
def seeds(service: VaultService) -> Seeds:
    return seed(service)


def _bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if "hex" in text:
        return bytes.fromhex(text["hex"])
    return (text["repeat"] * text["times"]).encode()


def _with_text(node: Any, text: str) -> Any:
    if isinstance(node, dict):
        return {name: _with_text(each, text) for name, each in node.items()}
    if isinstance(node, list):
        return [_with_text(each, text) for each in node]
    return text if node == "$text" else node


def _request(spec: dict[str, Any], text: bytes, seeds: Seeds) -> bytes:
    """The request's bytes; bytes that are no text replace a mark of the same length."""
    try:
        return calls.message(spec["rpc"], seeds.expand(_with_text(spec["request"], text.decode())))
    except UnicodeDecodeError:
        mark = "#" * len(text)
        made = calls.message(spec["rpc"], seeds.expand(_with_text(spec["request"], mark)))
        assert 1 == made.count(mark.encode())
        return made.replace(mark.encode(), text)


@pytest.mark.parametrize("field", _DATA["fields"])
@pytest.mark.parametrize("name", _DATA["texts"])
def test_text(service: VaultService, seeds: Seeds, field: str, name: str) -> None:
    spec, text = _DATA["fields"][field], _bytes(_DATA["texts"][name])
    data = _request(spec, text, seeds)
    before = service.database.counts()
    with service.recording() as entries:
        answer = calls.call(service.channel(spec["caller"]), RPCS[spec["rpc"]].path, data)

    (entry,) = entries
    if name in spec["takes"]:
        if field == "page_token":  # in form, but none of ours
            assert "PAGE_TOKEN_INVALID" == answer.reason
            return
        assert "OK" == answer.code, answer.text
        assert Verdict.ALLOWED == entry.verdict
        if field == "subjects[0].fields[0].value":
            token = answer.read("Tokenize").subjects[0].fields[0].token
            request = {"purpose": "delivery", "items": [{"token": token}]}
            (item,) = (
                service.call("Detokenize", request, caller="shipping").read("Detokenize").items
            )
            assert text.decode() == item.value
        if field == "subject_ref":
            about = {each.subject_id for each in answer.read("ListEntries").entries}
            assert about <= {entry.subject_id.hex if entry.subject_id else None}
        return
    path = field.rpartition(" ")[2]
    assert "INVALID_ARGUMENT" == answer.code
    # With all or nothing a value that its field type refuses is named by its item.
    assert answer.field in (path, path.removesuffix(".value"))
    assert (Verdict.INVALID, answer.field) == (entry.verdict, entry.field)
    assert answer.reason == entry.reason.name
    assert before == service.database.counts()
    # What came in is not said back, whole or in part.
    shown = text.decode("utf-8", "replace")
    assert len(shown) < 4 or shown not in answer.text
