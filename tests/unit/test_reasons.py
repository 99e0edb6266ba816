"""One list of reasons: the proto, `vault.errors`, the status table and docs/reasons.md agree."""

import re
from pathlib import Path

import pytest

from vault.errors import Reason
from vault.rpc.status import STATUS
from vault.v1 import types_pb2

PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"
ROW = re.compile(
    r"^\| (?P<number>\d+) \| `(?P<name>\w+)` \| (?P<status>[A-Z_]+) \|"
    r" (?P<shows>[^|]+) \| (?P<meaning>[^|]+) \| (?P<who>[^|]+) \| (?P<again>[^|]+) \|$",
    re.MULTILINE,
)
ROWS = {row["name"]: row for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
REASONS = [reason for reason in Reason if reason is not Reason.NONE]
RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED", "CANCELLED")


def test_the_proto_has_the_same_names_and_numbers() -> None:
    proto = {
        name.removeprefix("REASON_"): number
        for name, number in types_pb2.Reason.items()
        if name != "REASON_UNSPECIFIED"
    }

    assert {reason.name: int(reason) for reason in REASONS} == proto


def test_every_reason_has_one_status() -> None:
    assert set(REASONS) == set(STATUS)


def test_the_page_has_every_reason_once_in_order() -> None:
    listed = [row["name"] for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))]

    assert [reason.name for reason in REASONS] == listed


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.name)
def test_a_row_of_the_page_says_what_the_code_does(reason: Reason) -> None:
    row = ROWS[reason.name]

    assert int(reason) == int(row["number"])
    assert STATUS[reason].name == row["status"]
    assert all(row[column].strip() for column in ("shows", "meaning", "who", "again"))
    assert (row["again"].strip() != "no") == (row["status"] in RETRIED)
