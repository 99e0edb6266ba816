"""The bytes of a write's outcome (docs/formats.md, "write outcome") and of page tokens."""

import json
import uuid
from pathlib import Path

import pytest

from vault.errors import Reason, VaultError
from vault.model import Refusal, TenantId, Verdict
from vault.rows import EntryFilter
from vault.service.call import Issued
from vault.service.list_entries import read_page_token, write_page_token
from vault.service.outcome import pack_outcome, unpack_outcome

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "vectors" / "outcome.json").read_text(encoding="utf-8")
)
OUTCOMES = {
    "nothing": [],
    "one token": [[Issued("pho_demo_000000000000000000000000000000001")]],
    "two subjects": [
        [Issued("tok"), Refusal(Verdict.REFUSED, Reason.POLICY_DENIED)],
        [Refusal(Verdict.INVALID, Reason.VALUE_INVALID, "check digit")],
    ],
    "failed": [[Refusal(Verdict.FAILED, Reason.DATA_CORRUPT)]],
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_golden_bytes_never_change(name):
    assert GOLDEN[name] == pack_outcome(OUTCOMES[name]).hex()


@pytest.mark.parametrize("name", OUTCOMES)
def test_what_was_written_is_read_again(name):
    assert OUTCOMES[name] == unpack_outcome(bytes.fromhex(GOLDEN[name]))


@pytest.mark.parametrize("name", OUTCOMES)
def test_cut_or_longer_bytes_are_refused(name):
    data = bytes.fromhex(GOLDEN[name])
    for wrong in [data[:length] for length in range(len(data))] + [data + b"\x00"]:
        with pytest.raises(VaultError) as caught:
            unpack_outcome(wrong)
        assert Reason.INTERNAL is caught.value.reason


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_refused(version):
    with pytest.raises(VaultError, match="can't be read"):
        unpack_outcome(bytes([version]) + bytes.fromhex(GOLDEN["one token"])[1:])


LAST = uuid.UUID("019a0000-0000-7000-8000-000000000001")
QUERY = EntryFilter(tenant=TenantId("demo-shop"), purpose="delivery")


def test_a_page_token_leads_back_to_the_entry_and_names_nobody():
    token = write_page_token(LAST, QUERY)

    assert LAST == read_page_token(token, QUERY)
    assert 44 == len(token)


@pytest.mark.parametrize(
    "other",
    [
        EntryFilter(tenant=TenantId("other-shop"), purpose="delivery"),
        EntryFilter(tenant=TenantId("demo-shop")),
        EntryFilter(tenant=TenantId("demo-shop"), purpose="delivery", verdict_bit=2),
    ],
)
def test_a_page_token_of_another_query_or_tenant_is_refused(other):
    with pytest.raises(VaultError) as caught:
        read_page_token(write_page_token(LAST, QUERY), other)

    assert Reason.PAGE_TOKEN_INVALID is caught.value.reason


@pytest.mark.parametrize("token", ["", "A", "AAAA", "=" * 44, "A" * 43, "A" * 44, "A" * 88])
def test_what_is_no_page_token_is_refused(token):
    with pytest.raises(VaultError) as caught:
        read_page_token(token, QUERY)

    assert Reason.PAGE_TOKEN_INVALID is caught.value.reason
