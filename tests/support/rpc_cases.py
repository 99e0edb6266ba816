"""RPC cases as data: YAML to requests, answers and entries to what YAML can say.

In a request, `$key` is a fresh idempotency key, `$ref` a fresh subject reference, `$demo.phone`
a token of the seeded subject, `$unknown` and `$typo` tokens that do not exist or do not check.
`{$repeat: x, times: 3}` is `xxx`; `{$list: item, times: 3}` a list of three.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format

from tests.support import calls
from tests.support.calls import Answer
from tests.support.service import VaultService, new_key
from vault.audit.entry import Entry
from vault.crypto.tokens import new_token

CASES = Path(__file__).resolve().parents[1] / "rpc" / "cases"

VALUES = {
    "person_name": "欧阳小明",
    "phone": "13812345678",
    "postal_address": "江苏省苏州市虎丘区枫桥街道1号",
    "resident_id": "11010519491231002X",
    "bank_card": "4111111111111111",
    "email": "ming.ouyang@example.net",
    "birth_date": "1949-12-31",
    "free_text": "Please ring twice.",
}
"""One value of every field type, in canonical form."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """A subject of each tenant that is stored before the cases run: its tokens and its handle."""

    tokens: Mapping[str, Mapping[str, str]]
    subjects: Mapping[str, str]

    def expand(self, node: Any) -> Any:
        """The node of a case with every `$` replaced."""
        if isinstance(node, list):
            return [self.expand(each) for each in node]
        if isinstance(node, dict):
            if "$repeat" in node:
                return node["$repeat"] * node["times"]
            if "$list" in node:
                return [self.expand(node["$list"]) for _ in range(node["times"])]
            return {name: self.expand(each) for name, each in node.items()}
        if isinstance(node, str) and node.startswith("$"):
            return self._word(node[1:])
        return node

    def _word(self, word: str) -> str:
        match word.split("."):
            case ["key" | "ref"]:
                return new_key()
            case ["unknown"]:
                return new_token("pho", "demo")
            case ["typo"]:
                good = self.tokens["demo"]["phone"]
                return good[:-1] + ("0" if good[-1] != "0" else "1")
            case [tenant, "subject"]:
                return self.subjects[tenant]
            case [tenant, field_type]:
                return self.tokens[tenant][field_type]
        raise ValueError(word)


def seed(service: VaultService) -> Seeds:
    """Stores one subject of each tenant."""
    tokens: dict[str, Mapping[str, str]] = {}
    subjects: dict[str, str] = {}
    for tenant, caller in (("demo", "order"), ("other", "other-order")):
        with service.recording() as entries:
            tokens[tenant] = service.tokenize(VALUES, caller=caller, ref=f"seed-{tenant}")
        assert entries[0].subject_id is not None
        subjects[tenant] = entries[0].subject_id.hex
    return Seeds(tokens, subjects)


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `file` and `case` name it."""

    case: str
    rpc: str
    caller: str
    status: str
    file: str = ""
    request: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    raw: str | None = None
    append: str | None = None
    reason: str = ""
    field: str | None = None
    answer: Mapping[str, Any] | None = None
    entries: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)
    stored: int = 0

    def data(self, seeds: Seeds) -> bytes:
        """The request's bytes."""
        if self.raw is not None:
            return read_bytes(self.raw)
        made = calls.message(self.rpc, seeds.expand(self.request))
        return made + read_bytes(self.append or "")


def load_cases() -> list[Case]:
    """Every case of every file; unknown keys are an error."""
    return [
        Case(file=path.stem, **each)
        for path in sorted(CASES.glob("*.yaml"))
        for each in yaml.safe_load(path.read_text())
    ]


def read_bytes(text: str) -> bytes:
    """Hex in groups, `7b*17` for the group seventeen times."""
    parts = (part.partition("*") for part in text.split())
    return b"".join(bytes.fromhex(group) * int(times or 1) for group, _, times in parts)


def shown_answer(rpc: str, answer: Answer) -> dict[str, Any]:
    """A response without what differs from call to call; tokens are cut to their head."""
    document = json_format.MessageToDict(answer.read(rpc), preserving_proto_field_name=True)
    call_id = document.pop("call_id")
    assert len(call_id) == 32
    for subject in document.get("subjects", ()):
        for result in subject["fields"]:
            if "token" in result:
                result["token"] = result["token"].rpartition("_")[0]
    return document


def call_id_of(rpc: str, answer: Answer) -> str:
    return answer.read(rpc).call_id if answer.code == "OK" else answer.call_id


def shown_entry(entry: Entry, seeds: Seeds) -> dict[str, Any]:
    """What a case may expect of an entry; empty parts are left out."""
    subject = "" if entry.subject_id is None else entry.subject_id.hex
    known = {handle: name for name, handle in seeds.subjects.items()}
    shown = {
        "verdict": entry.verdict.name,
        "reason": entry.reason.name,
        "field": entry.field,
        "purpose": entry.purpose,
        "subject": known.get(subject, "new") if subject else "",
        "about": entry.case.partition(":")[0],
        "items": [
            " ".join(
                (
                    item.field_type or "-",
                    item.wanted.name,
                    item.view.name,
                    item.verdict.name,
                    item.reason.name,
                    *item.policies,
                )
            )
            for item in entry.items
        ],
    }
    return {name: part for name, part in shown.items() if part and part != "NONE"}
