"""Erasure on a real service: what goes, what answers, what is certified and recorded."""

import datetime as dt
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.erasures import (
    VALUES,
    consumer,
    erase,
    erased,
    found,
    reason,
    reveal,
    traces,
)
from tests.support.service import StartService, VaultService, start_service
from vault.errors import Reason
from vault.keys.ledger import EraseLine, Head
from vault.store.ledger_file import LedgerFile

__all__ = ["start_service"]


@pytest.fixture(scope="module")
def vault(start_service: StartService) -> Iterator[VaultService]:
    with start_service() as started:
        yield started


def ledger_view(service: VaultService) -> tuple[Head, list[EraseLine]]:
    """The ledger, read anew and whole."""
    opened = LedgerFile(service.ledger_file, origin="pdvault.example/audit").open(write=False)
    assert opened is not None
    view = opened.view(-1)
    opened.close()
    assert view is not None
    return view.head, [linked.line for linked in view.missing]


def test_tokens_answer_erased_and_nothing_is_left(vault: VaultService) -> None:
    one, other = consumer(vault), consumer(vault)
    assert VALUES["phone"] in reveal(vault, one.token).value
    old = traces(vault.database, one.token)
    assert (2, 1, 1) == (len(old.envelopes), len(old.wrapped), len(old.ref_digests))
    assert {"tokens.envelope", "subject_keys.wrapped", "subject_refs.ref_digest"} == set(
        found(vault.database, old)
    )
    answer = erase(vault, subject_ref=one.ref).read("EraseSubject")
    assert 2 == answer.tokens == answer.erasure.tokens
    assert [] == found(vault.database, old)
    for token in one.tokens.values():
        assert Reason.ERASED == reason(vault, token)
    assert Reason.NONE == reason(vault, other.token)


def test_certificate(vault: VaultService) -> None:
    one = consumer(vault)
    old = traces(vault.database, one.token)
    with vault.recording() as entries:
        answer = erase(vault, token=one.token).read("EraseSubject")
    certificate = answer.erasure
    head, lines = ledger_view(vault)
    assert (head.index, head.hash.hex()) == (certificate.ledger_index, certificate.ledger_hash)
    assert old.subject.hex == certificate.subject_id
    # Of one version of the root key, whichever it is: other tests of this session rotate it.
    assert 1 == len(certificate.root_versions)
    assert min(certificate.root_versions) >= 1
    assert not certificate.HasField("complete_at")
    kept = certificate.caches_empty_at.ToDatetime() - certificate.erased_at.ToDatetime()
    assert dt.timedelta(seconds=70) == kept
    (entry,) = entries
    assert entry.entry_id.hex == certificate.entry_id
    assert (old.subject, "ALLOWED") == (entry.subject_id, entry.verdict.name)
    assert entry.call_id.hex == answer.call_id
    again = vault.call("GetErasure", {"erasure_id": certificate.erasure_id}, caller="privacy")
    assert certificate == again.read("GetErasure").erasure
    assert lines[-1].erasure_id.hex == certificate.erasure_id


@pytest.mark.parametrize("by", ["ref", "token"])
def test_repetition_has_the_same_certificate(vault: VaultService, by: str) -> None:
    one = consumer(vault)
    request = {"subject_ref": one.ref} if by == "ref" else {"token": one.token}
    first = erased(vault, **request)
    size = ledger_view(vault)[0].index
    assert first == erased(vault, **request)
    assert first == erased(vault, token=one.tokens["person_name"])
    assert size == ledger_view(vault)[0].index


def test_same_reference_afterwards_is_another_consumer(vault: VaultService) -> None:
    one = consumer(vault)
    first = erased(vault, subject_ref=one.ref)
    new = consumer(vault, one.ref)
    assert (Reason.ERASED, Reason.NONE) == (reason(vault, one.token), reason(vault, new.token))
    second = erased(vault, subject_ref=one.ref)
    assert first.subject_id != second.subject_id
    assert Reason.ERASED == reason(vault, new.token)


def test_dry_run_erases_nothing(vault: VaultService) -> None:
    one = consumer(vault)
    before = vault.ledger_file.read_bytes()
    with vault.recording() as entries:
        answer = erase(vault, subject_ref=one.ref, dry_run=True).read("EraseSubject")
    assert (2, False) == (answer.tokens, answer.HasField("erasure"))
    assert (Reason.NONE, before) == (reason(vault, one.token), vault.ledger_file.read_bytes())
    assert [("dry_run", "ALLOWED")] == [(entry.field, entry.verdict.name) for entry in entries]


def test_whom_policy_refuses_does_not_learn_that_somebody_is_erased(vault: VaultService) -> None:
    one = consumer(vault)
    erased(vault, token=one.token)
    request = {"purpose": "delivery", "items": [{"token": one.token}]}
    (item,) = vault.call("Detokenize", request, caller="order").read("Detokenize").items
    assert Reason.PURPOSE_NOT_PERMITTED == item.reason


@pytest.mark.parametrize(
    ("request_", "expected", "field"),
    [
        ({"subject_ref": "nobody"}, "SUBJECT_UNKNOWN", ""),
        ({}, "FIELD_MISSING", "subject"),
        ({"token": "x"}, "FIELD_INVALID", "token"),
        ({"subject_ref": "a", "cause": "spite"}, "FIELD_INVALID", "cause"),
        ({"subject_ref": "a", "cause": ""}, "FIELD_MISSING", "cause"),
    ],
)
def test_refusals(vault: VaultService, request_: dict[str, str], expected: str, field: str) -> None:
    answer = erase(vault, **request_)
    assert (expected, field) == (answer.reason, answer.field)


def test_another_tenants_token_and_erasure_are_unknown(vault: VaultService) -> None:
    other = vault.tokenize({"phone": "13812345678"}, caller="other-order")["phone"]
    assert "TOKEN_UNKNOWN" == erase(vault, token=other).reason
    missing = vault.call("GetErasure", {"erasure_id": uuid.uuid4().hex}, caller="privacy")
    assert "ERASURE_UNKNOWN" == missing.reason


def test_erasing_at_once_gives_one_certificate(vault: VaultService) -> None:
    one = consumer(vault)
    size = ledger_view(vault)[0].index
    with ThreadPoolExecutor(8) as pool:
        requests = [{"subject_ref": one.ref}, {"token": one.token}] * 4
        answers = list(pool.map(lambda request: erased(vault, **request), requests))
    assert 1 == len({answer.SerializeToString() for answer in answers})
    assert size + 1 == ledger_view(vault)[0].index


def test_erasing_while_the_same_subject_is_written_and_read(vault: VaultService) -> None:
    """Each token of before answers ERASED; what is written opens, or is of somebody new."""
    for _ in range(10):
        one = consumer(vault)
        with ThreadPoolExecutor(6) as pool:
            writes = [pool.submit(vault.tokenize, VALUES, ref=one.ref) for _ in range(3)]
            reads = [pool.submit(reason, vault, one.token) for _ in range(3)]
            certificate = erased(vault, token=one.token)
            tokens = [write.result()["phone"] for write in writes]
            assert {read.result() for read in reads} <= {Reason.NONE, Reason.ERASED}
        assert Reason.ERASED == reason(vault, one.token)
        for token in tokens:
            subject = traces(vault.database, token).subject
            is_same = subject.hex == certificate.subject_id
            assert (Reason.ERASED if is_same else Reason.NONE) == reason(vault, token)


def test_the_ledger_holds_nothing_personal(vault: VaultService) -> None:
    one = consumer(vault)
    erased(vault, subject_ref=one.ref)
    text = vault.ledger_file.read_bytes().decode("ascii")
    assert one.ref not in text
    assert not [token for token in one.tokens.values() if token in text]
    assert not [value for value in VALUES.values() if value in text]
