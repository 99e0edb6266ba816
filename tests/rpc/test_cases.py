"""Replays tests/rpc/cases/*.yaml over mutual TLS: request, answer, entries, and what is stored."""

import pytest

from tests.support import calls
from tests.support.calls import RPCS
from tests.support.rpc_cases import (
    Case,
    Seeds,
    call_id_of,
    load_cases,
    seed,
    shown_answer,
    shown_entry,
)
from tests.support.service import VaultService, spiffe_id
from vault.crypto.tokens import TokenForm, token_digest, token_form
from vault.model import Authentication
from vault.policy import load_bundle

_CASES = load_cases()


@pytest.fixture(scope="module")
def seeds(service: VaultService) -> Seeds:
    return seed(service)


def test_names_are_unique() -> None:
    names = [(case.file, case.case) for case in _CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", _CASES, ids=lambda case: f"{case.file}: {case.case}")
def test_case(service: VaultService, seeds: Seeds, case: Case) -> None:
    data = case.data(seeds)
    before = service.database.counts()
    with service.recording() as entries:
        answer = calls.call(service.channel(case.caller), RPCS[case.rpc].path, data)
    after = service.database.counts()

    expected = (case.status, case.reason)
    assert expected == (answer.code, answer.reason), (answer.text, answer.violations)
    if case.field is not None:
        assert case.field == answer.field
        assert case.field in answer.text
    if case.answer is not None:
        assert seeds.expand(case.answer) == shown_answer(case.rpc, answer)
    assert case.entries == [shown_entry(entry, seeds) for entry in entries]
    assert case.stored == after["tokens"] - before["tokens"]
    if case.status != "OK":
        assert before == after

    # Whatever became of the call, its entries say who it was.
    bundle = load_bundle(service.policies)
    caller = bundle.caller(spiffe_id(case.caller))
    for entry in entries:
        assert RPCS[case.rpc].name == entry.rpc
        assert call_id_of(case.rpc, answer) == entry.call_id.hex
        assert spiffe_id(case.caller) == entry.caller
        assert (caller.tenant, caller.roles) == (entry.tenant, entry.roles) if caller else True
        assert Authentication.MTLS == entry.authentication
        assert bundle.digest == entry.bundle_digest
        assert bytes(16) != entry.trace_id
    if case.rpc == "Detokenize" and case.raw is None:
        tokens = [
            item["token"] for item in seeds.expand(case.request).get("items", ()) if "token" in item
        ]
        known = {token_digest(token) for token in tokens if token_form(token) is TokenForm.GOOD}
        noted = {item.token_digest for entry in entries for item in entry.items} - {b""}
        if "$unknown" not in str(case.request):
            assert noted <= known
