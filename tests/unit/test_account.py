"""A call's account: one entry for each subject, complete however the call ends."""

import uuid

import pytest

from tests.support.frozen_clock import FrozenClock
from vault.audit.account import Account, EntryIds, ItemNote
from vault.audit.entry import MAX_ENTRY, Entry, decode
from vault.errors import Reason
from vault.model import Authentication, Decision, Principal, SubjectId, TenantId, Verdict, View
from vault.rows import EntryRow

ONE, TWO = (SubjectId(uuid.UUID(int=number)) for number in (1, 2))
ALLOWED = Decision(View.FULL, Reason.NONE, ("reveal-full",))


@pytest.fixture
def ids() -> EntryIds:
    return EntryIds(FrozenClock())


def account_of(*notes: ItemNote) -> Account:
    account = Account(
        rpc="vault.v1.TokenService/Detokenize",
        call_id=uuid.uuid4(),
        trace_id=bytes(16),
        span_id=bytes(8),
    )
    account.principal = Principal(
        "spiffe://pdvault.example/shop/shipping",
        Authentication.MTLS,
        TenantId("demo-shop"),
        ("shipping",),
    )
    account.items = list(notes)
    return account


def note(subject: SubjectId | None, decision: Decision | Reason = ALLOWED) -> ItemNote:
    made = ItemNote(token_digest=bytes(32), field_type="phone", subject_id=subject)
    if isinstance(decision, Decision):
        made.allow(decision)
    else:
        made.refuse(decision)
    return made


def read(rows: tuple[EntryRow, ...]) -> list[Entry]:
    return [decode(row.entry) for row in rows]


def test_each_subject_gets_an_entry_with_its_own_items(ids):
    notes = [note(ONE), note(TWO), note(ONE, Reason.FIELD_NOT_IN_PURPOSE), note(None)]
    entries = read(account_of(*notes).close(ids))
    assert [(ONE, 2), (TWO, 1), (None, 1)] == [(e.subject_id, len(e.items)) for e in entries]
    assert 1 == len({entry.call_id for entry in entries})
    assert 3 == len({entry.entry_id for entry in entries})


def test_an_entry_whose_items_were_all_refused_says_so(ids):
    refused = note(ONE, Reason.PURPOSE_NOT_PERMITTED)
    (row,) = account_of(refused).close(ids)
    entry = decode(row.entry)
    assert (Verdict.REFUSED, Reason.PURPOSE_NOT_PERMITTED) == (entry.verdict, entry.reason)
    assert 1 << Verdict.REFUSED == row.verdicts


def test_the_row_finds_every_verdict_and_view_in_the_entry(ids):
    (row,) = account_of(note(ONE), note(ONE, Reason.TOKEN_UNKNOWN)).close(ids)
    assert 1 << Verdict.ALLOWED | 1 << Verdict.REFUSED == row.verdicts
    assert 1 << View.FULL | 1 << View.UNSPECIFIED == row.views
    assert (("phone",), ("reveal-full",)) == (row.field_types, row.policies)


def test_a_failed_call_granted_nothing(ids):
    refused = note(ONE, Reason.FIELD_NOT_IN_PURPOSE)
    account = account_of(note(ONE), refused)
    (entry,) = read(account.close_failed(ids, Reason.KEY_STORE_SEALED, Verdict.FAILED))
    assert (Verdict.FAILED, Reason.KEY_STORE_SEALED) == (entry.verdict, entry.reason)
    assert [(Verdict.FAILED, Reason.KEY_STORE_SEALED), (Verdict.REFUSED, refused.reason)] == [
        (item.verdict, item.reason) for item in entry.items
    ]
    assert View.UNSPECIFIED is entry.items[0].view


def test_a_call_that_knows_no_item_leaves_an_entry_too(ids):
    account = account_of()
    account.field = "items[0].token"
    (entry,) = read(account.close_failed(ids, Reason.FIELD_INVALID, Verdict.INVALID))
    assert (None, "items[0].token") == (entry.subject_id, entry.field)


def test_a_long_account_makes_several_entries_that_fit_a_tile_bundle(ids):
    many = Decision(View.FULL, Reason.NONE, tuple(f"policy-{n:050}" for n in range(4)))
    account = account_of(*(note(ONE, many) for _ in range(1000)))
    account.principal = Principal(
        "spiffe://" + "a" * 2039, Authentication.MTLS, TenantId("demo-shop"), ("r" * 64,) * 50
    )
    rows = account.close(ids)
    assert 1000 == sum(len(entry.items) for entry in read(rows))
    assert max(len(row.entry) for row in rows) <= MAX_ENTRY
    assert {ONE} == {entry.subject_id for entry in read(rows)}
    assert [row.entry_id for row in rows] == account.entry_ids


def test_ids_grow_even_when_the_clock_stands_still_or_goes_back():
    clock = FrozenClock()
    ids = EntryIds(clock)
    made = [ids.next()[0] for _ in range(5000)]
    clock.advance(-10)
    made += [ids.next()[0] for _ in range(10)]
    assert sorted(made) == made
    assert len(set(made)) == len(made)
    assert {(7, uuid.RFC_4122)} == {(each.version, each.variant) for each in made}
