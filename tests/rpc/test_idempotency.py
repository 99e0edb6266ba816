"""One idempotency key, one effect: however often, however concurrently, whoever else uses it."""

from collections import Counter

import pytest

from tests.support import calls
from tests.support.calls import RPCS, Answer
from tests.support.service import VaultService, new_key
from vault.model import Verdict

_PHONE = "13812345678"


def _request(key: str, ref: str, *values: str, **more: object) -> dict[str, object]:
    fields = [{"field_type": "phone", "value": value} for value in values or (_PHONE,)]
    return {
        "idempotency_key": key,
        "subjects": [{"subject_ref": ref, "fields": fields}],
        **more,
    }


def _tokens(answer: Answer) -> list[str]:
    subjects = answer.read("Tokenize").subjects
    return [result.token for subject in subjects for result in subject.fields]


def test_retry_has_one_effect_and_the_same_tokens(service: VaultService) -> None:
    key, ref = new_key(), new_key()
    request = _request(key, ref, _PHONE, "not a phone", "13987654321")
    before = service.database.counts()
    with service.recording() as entries:
        answers = [service.call("Tokenize", request, caller="order") for _ in range(5)]
    after = service.database.counts()

    assert 1 == len({tuple(_tokens(answer)) for answer in answers})
    # What was refused the first time is refused alike.
    (first, *others) = [answer.read("Tokenize").subjects for answer in answers]
    assert all(list(first) == list(other) for other in others)
    grown = {table: after[table] - before[table] for table in after}
    assert grown == {
        "subjects": 1, "subject_refs": 1, "subject_keys": 1, "tokens": 2, "writes": 1
    }  # fmt: skip
    # Each attempt is a call of its own, with an entry of the same subject and tokens.
    assert 5 == len(entries)
    assert 1 == len({entry.subject_id for entry in entries})
    digests = {tuple(item.token_digest for item in entry.items) for entry in entries}
    assert 1 == len(digests)


@pytest.mark.parametrize("others", [0, 20, 40, 80], ids=str)
def test_twenty_at_once_have_one_effect(service: VaultService, others: int) -> None:
    """Other calls keep the log busy, so that the twenty also ride in one trip."""
    key, ref = new_key(), new_key()
    reading = calls.message(
        "Detokenize",
        {"purpose": "delivery", "items": [{"token": service.tokenize({"phone": _PHONE})["phone"]}]},
    )
    data = calls.message("Tokenize", _request(key, ref, _PHONE, "13987654321"))
    channel, other = service.channel("order"), service.channel("shipping")
    before = service.database.counts()
    with service.recording() as entries:
        load = [calls.begin(other, RPCS["Detokenize"].path, reading) for _ in range(others)]
        futures = [calls.begin(channel, RPCS["Tokenize"].path, data) for _ in range(20)]
        answers = [calls.end(future) for future in futures]
        assert {"OK"} >= {calls.end(future).code for future in load}
    after = service.database.counts()

    assert Counter({"OK": 20}) == Counter(answer.code for answer in answers)
    assert 1 == len({tuple(_tokens(answer)) for answer in answers})
    assert 2 == after["tokens"] - before["tokens"]
    assert 1 == after["writes"] - before["writes"]
    assert 1 == after["subject_refs"] - before["subject_refs"]
    entries = [entry for entry in entries if entry.rpc == RPCS["Tokenize"].name]
    assert 20 == len(entries)
    assert 20 == len({entry.call_id for entry in entries})
    issued = {item.token_digest for entry in entries for item in entry.items}
    assert 2 == len(issued)


def test_twenty_different_requests_with_one_key_at_once_have_one_winner(
    service: VaultService,
) -> None:
    key = new_key()
    before = service.database.counts()
    futures = [
        calls.begin(
            service.channel("order"),
            RPCS["Tokenize"].path,
            calls.message("Tokenize", _request(key, f"ref-{key}-{i}")),
        )
        for i in range(20)
    ]
    answers = [calls.end(future) for future in futures]
    after = service.database.counts()

    assert Counter({"": 1, "IDEMPOTENCY_KEY_REUSED": 19}) == Counter(a.reason for a in answers)
    assert 1 == after["tokens"] - before["tokens"]
    assert 1 == after["writes"] - before["writes"]


@pytest.mark.parametrize(
    "change",
    [
        {"values": ("13812345679",)},
        {"values": (_PHONE, _PHONE)},
        {"ref": "another"},
        {"more": {"all_or_nothing": True}},
    ],
    ids=str,
)
def test_key_reused_for_other_content_is_refused(
    service: VaultService, change: dict[str, object]
) -> None:
    key, ref = new_key(), new_key()
    tokens = _tokens(service.call("Tokenize", _request(key, ref), caller="order"))
    before = service.database.counts()
    other = _request(
        key,
        change.get("ref", ref),
        *change.get("values", (_PHONE,)),
        **change.get("more", {}),
    )
    with service.recording() as entries:
        answer = service.call("Tokenize", other, caller="order")

    assert ("INVALID_ARGUMENT", "IDEMPOTENCY_KEY_REUSED") == (answer.code, answer.reason)
    assert "idempotency_key" == answer.field
    assert before == service.database.counts()
    (entry,) = entries
    assert (Verdict.INVALID, "idempotency_key") == (entry.verdict, entry.field)
    # The first request is still what the key stands for.
    assert tokens == _tokens(service.call("Tokenize", _request(key, ref), caller="order"))


def test_the_same_key_of_another_caller_is_another_key(service: VaultService) -> None:
    key, ref = new_key(), new_key()
    mine = _tokens(service.call("Tokenize", _request(key, ref), caller="order"))
    theirs = _tokens(service.call("Tokenize", _request(key, ref), caller="other-order"))
    assert mine != theirs


def test_a_request_that_stored_nothing_leaves_its_key_free(service: VaultService) -> None:
    key = new_key()
    bad = _request(key, "", _PHONE)
    assert "FIELD_MISSING" == service.call("Tokenize", bad, caller="order").reason
    all_or_nothing = _request(key, new_key(), "no phone", all_or_nothing=True)
    assert "VALUE_INVALID" == service.call("Tokenize", all_or_nothing, caller="order").reason
    assert 1 == len(_tokens(service.call("Tokenize", _request(key, new_key()), caller="order")))


def test_all_or_nothing_tokenize_stores_nothing(service: VaultService) -> None:
    before = service.database.counts()
    request = _request(new_key(), new_key(), _PHONE, "no phone", _PHONE, all_or_nothing=True)
    with service.recording() as entries:
        answer = service.call("Tokenize", request, caller="order")

    assert ("INVALID_ARGUMENT", "VALUE_INVALID") == (answer.code, answer.reason)
    assert answer.field.startswith("subjects[0].fields[1]")
    assert before == service.database.counts()
    (entry,) = entries
    assert Verdict.INVALID == entry.verdict
    assert 3 == len(entry.items)
    assert Verdict.ALLOWED not in {item.verdict for item in entry.items}


def test_all_or_nothing_detokenize_reveals_nothing(service: VaultService) -> None:
    tokens = service.tokenize({"phone": _PHONE, "resident_id": "11010519491231002X"})
    items = [{"token": tokens["phone"]}, {"token": tokens["resident_id"]}]
    request = {"purpose": "delivery", "items": items, "all_or_nothing": True}
    with service.recording() as entries:
        answer = service.call("Detokenize", request, caller="shipping")

    assert ("PERMISSION_DENIED", "FIELD_NOT_IN_PURPOSE") == (answer.code, answer.reason)
    assert "items[1]" == answer.field
    assert b"" == answer.data
    assert _PHONE not in answer.text
    (entry,) = entries
    assert Verdict.REFUSED == entry.verdict
    assert [Verdict.REFUSED] * 2 == [item.verdict for item in entry.items]
    # Without the flag each item stands for itself.
    request["all_or_nothing"] = False
    answer = service.call("Detokenize", request, caller="shipping")
    assert [1, 2] == [item.verdict for item in answer.read("Detokenize").items]
