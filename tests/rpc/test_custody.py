"""What takes two custodians: done as it should be, and every way in which it must be refused.

Real certificates over real gRPC, a PostgreSQL that tests may tamper with, a real Transit. After
a refusal Transit is looked at: nothing may have happened.
"""

import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.calls import Answer
from tests.support.custody import (
    KEY_SERVICE,
    QUICK,
    TENANT,
    CustodyService,
    custody_service,
    second_process,
)
from tests.support.service import new_key
from vault.keys.acts import Asked as AskedAct
from vault.keys.acts import Trim, approval_statement, decode_act, encode_act
from vault.v1 import keys_pb2

RETIRE: Mapping[str, Any] = {"retire": {"min_decryption_version": 2}}
TRIM: Mapping[str, Any] = {"trim": {"min_available_version": 2}}
OPEN, APPROVED, DONE = (
    keys_pb2.ACT_STATE_OPEN,
    keys_pb2.ACT_STATE_APPROVED,
    keys_pb2.ACT_STATE_DONE,
)


@pytest.fixture(scope="module")
def custody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CustodyService]:
    """Its root key has a second version; what is wrapped still needs the first."""
    with custody_service(tmp_path_factory.mktemp("custody")) as service:
        service.admin(lambda admin: admin.rotate(admin.root_key(TENANT)))
        yield service


@pytest.fixture
def untouched(custody: CustodyService) -> Iterator[None]:
    """Nothing is retired, trimmed or deleted by this test."""
    before = custody.root_key()
    yield
    assert before == custody.root_key()


def refused(answer: Answer) -> tuple[str, str]:
    return (answer.code, answer.reason)


# --- As it should be ----------------------------------------------------------------------


def test_each_step_leaves_an_entry_that_names_request_and_digest(custody: CustodyService) -> None:
    with custody.recording() as entries:
        request = custody.ask(RETIRE)
        assert (OPEN, "") == (request.state, request.approved_by)
        approved = custody.approve(request).read("ApproveAct").request
        assert (APPROVED, custody.id_of("custodian-2")) == (approved.state, approved.approved_by)
        withdrawn = custody.act("WithdrawAct", "custodian-2", request_id=request.request_id)
        assert keys_pb2.ACT_STATE_WITHDRAWN == withdrawn.read("WithdrawAct").request.state
    assert ["RequestAct", "ApproveAct", "WithdrawAct"] == [e.rpc.split("/")[1] for e in entries]
    named = {(e.act.request_id.hex, e.act.digest.hex()) for e in entries if e.act is not None}
    assert {(request.request_id, request.digest)} == named
    assert 3 == len(entries)


def test_a_request_that_is_repeated_is_the_same(custody: CustodyService) -> None:
    key = new_key()
    first, second = custody.ask(RETIRE, key=key), custody.ask(RETIRE, key=key)
    assert first == second
    # Another person's key is another key.
    assert first.request_id != custody.ask(RETIRE, "custodian-2", key=key).request_id
    for change in ({"act": {"retire": {"min_decryption_version": 3}}}, {"cause": "compromise"}):
        request = {"act": RETIRE, "cause": "rotation", "idempotency_key": key} | change
        answer = custody.call("RequestAct", request, caller="custodian-1")
        assert ("INVALID_ARGUMENT", "IDEMPOTENCY_KEY_REUSED") == refused(answer)


def test_one_request_however_many_ask_at_once(custody: CustodyService) -> None:
    key = new_key()
    found: list[str] = []

    def ask() -> None:
        found.append(custody.ask(RETIRE, key=key).request_id)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (6, 1) == (len(found), len(set(found)))


def test_an_approval_that_is_repeated_is_the_same(custody: CustodyService) -> None:
    request = custody.approved(RETIRE)
    assert request == custody.approve(request).read("ApproveAct").request
    another = custody.approve(request, "custodian-3")
    assert ("FAILED_PRECONDITION", "ACT_CLOSED") == refused(another)


def test_requests_are_listed_newest_first_and_only_open_ones_if_wanted(
    custody: CustodyService,
) -> None:
    first, second = custody.ask(RETIRE), custody.ask(RETIRE)
    custody.act("WithdrawAct", "custodian-1", request_id=second.request_id)
    listed = custody.act("ListActRequests", "operator", page_size=2).read("ListActRequests")
    assert [second.request_id, first.request_id] == [r.request_id for r in listed.requests]
    listed = custody.act("ListActRequests", "policy-owner", only_open=True)
    assert first.request_id == listed.read("ListActRequests").requests[0].request_id
    # Nothing of it is another tenant's.
    other = custody.act("ListActRequests", "other-custodian-1").read("ListActRequests")
    assert {custody.id_of("other-custodian-1")} >= {r.requested_by for r in other.requests}


def test_a_dry_run_tells_what_stands_against_it_and_changes_nothing(
    custody: CustodyService, untouched: None
) -> None:
    request = custody.ask(RETIRE)
    with custody.recording() as entries:
        answer = custody.carry_out(request, dry_run=True).read("CarryOutAct")
    assert [
        "it takes the approval of a second custodian",
        "1 rows need version 1",
    ] == list(answer.obstacles)
    assert "pdv-demo-shop below 2 open nothing" in answer.effect
    assert [(True, "ALLOWED")] == [(e.act.is_dry_run, e.verdict.name) for e in entries if e.act]
    assert OPEN == answer.request.state


# --- Refused ------------------------------------------------------------------------------


def test_who_asked_can_not_approve(custody: CustodyService, untouched: None) -> None:
    request = custody.ask(RETIRE)
    with custody.recording() as entries:
        answer = custody.approve(request, "custodian-1")
    assert ("PERMISSION_DENIED", "APPROVAL_BY_REQUESTER") == refused(answer)
    [entry] = entries
    assert ("REFUSED", "APPROVAL_BY_REQUESTER") == (entry.verdict.name, entry.reason.name)
    assert entry.act is not None
    assert request.request_id == entry.act.request_id.hex
    assert custody.row(request)["approved_by"] is None
    # Nor does the database take it, whoever writes it.
    approved = custody.approved(RETIRE)
    with pytest.raises(asyncpg.CheckViolationError):
        custody.edit(approved, "approved_by = requested_by")
    # And if it did, the approval would not be believed.
    drop = "alter table custody_requests drop constraint custody_requests_two_people"
    check = "add constraint custody_requests_two_people check (approved_by <> requested_by)"
    custody.database.execute(drop)
    custody.edit(approved, "approved_by = requested_by")
    answer = custody.carry_out(approved, "custodian-2")
    assert ("PERMISSION_DENIED", "APPROVAL_BY_REQUESTER") == refused(answer)
    custody.edit(approved, "approved_by = 'x'")
    custody.database.execute(f"alter table custody_requests {check}")


def test_without_an_approval_nothing_is_carried_out(
    custody: CustodyService, untouched: None
) -> None:
    answer = custody.carry_out(custody.ask(RETIRE))
    assert ("FAILED_PRECONDITION", "APPROVAL_MISSING") == refused(answer)


_EDITS = {
    "act": "act = '\\x010200000002'",
    "cause": "cause = 'compromise'",
    "requester": "requested_by = 'spiffe://pdvault.example/vault/custodian-3'",
    "time of asking": "requested_at = requested_at - interval '1 microsecond'",
    "expiry": "expires_at = expires_at + interval '30 days'",
    "digest": "digest = sha256('x')",
    "approver": "approved_by = 'spiffe://pdvault.example/vault/custodian-3'",
    "time of approval": "approved_at = approved_at + interval '1 microsecond'",
    "key version": "approval_key_version = approval_key_version + 1",
    "signature": "approval = set_byte(approval, 0, get_byte(approval, 0) # 1)",
    "no act at all": "act = '\\x0109ff'",
}


@pytest.mark.parametrize("what", _EDITS)
def test_an_edited_row_is_refused(custody: CustodyService, untouched: None, what: str) -> None:
    request = custody.approved(RETIRE)
    custody.edit(request, _EDITS[what])
    with custody.recording() as entries:
        answer = custody.carry_out(request)
    assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == refused(answer)
    assert ["APPROVAL_MISMATCH"] == [entry.reason.name for entry in entries]
    assert custody.row(request)["done_at"] is None
    # It can be listed, to be seen, and withdrawn.
    assert "OK" == custody.act("ListActRequests", "custodian-2").code
    withdrawn = custody.act("WithdrawAct", "custodian-2", request_id=request.request_id)
    assert "OK" == withdrawn.code


@pytest.mark.parametrize("what", ["act", "cause", "requester", "time of asking", "expiry"])
def test_an_edited_row_with_a_fresh_digest_is_refused(
    custody: CustodyService, untouched: None, what: str
) -> None:
    """Whoever can compute the digest still can't sign."""
    request = custody.approved(RETIRE)
    custody.edit(request, _EDITS[what])
    row = custody.row(request)
    digest = AskedAct(
        request_id=uuid.UUID(hex=request.request_id),
        tenant=row["tenant"],
        act=row["act"],
        cause=row["cause"],
        requested_by=row["requested_by"],
        requested_at_us=_us(row["requested_at"]),
        expires_at_us=_us(row["expires_at"]),
    ).digest
    custody.edit(request, "digest = $2", digest)
    assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == refused(custody.carry_out(request))
    # An approver is shown, and approves, what the row says now: its digest is another one.
    [shown] = [
        each
        for each in custody.act("ListActRequests", "custodian-2").read("ListActRequests").requests
        if each.request_id == request.request_id
    ]
    assert digest.hex() == shown.digest != request.digest


def _us(time: Any) -> int:
    return round(time.timestamp() * 1_000_000)


def test_an_edited_request_can_not_be_approved(custody: CustodyService) -> None:
    request = custody.ask(RETIRE)
    assert Trim(2) == decode_act(bytes.fromhex("010200000002"))
    custody.edit(request, _EDITS["act"])
    for digest in (request.digest, bytes(32).hex()):
        answer = custody.approve(request, digest=digest)
        assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == refused(answer)


def test_the_approval_of_another_request_is_refused(
    custody: CustodyService, untouched: None
) -> None:
    good, other = custody.approved(RETIRE), custody.ask(RETIRE)
    row = custody.row(good)
    custody.edit(
        other,
        "approved_by = $2, approved_at = $3, approval_key_version = $4, approval = $5",
        row["approved_by"],
        row["approved_at"],
        row["approval_key_version"],
        row["approval"],
    )
    assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == refused(custody.carry_out(other))
    # Nor does a copy of the whole row, under another id.
    copy = uuid.uuid4()
    custody.database.execute(
        "insert into custody_requests select $2, tenant, act, cause, requested_by, requested_at,"
        " expires_at, digest, approved_by, approved_at, approval_key_version, approval,"
        " null, null, null, null from custody_requests where request_id = $1",
        uuid.UUID(hex=good.request_id),
        copy,
    )
    answer = custody.act("CarryOutAct", "custodian-1", request_id=copy.hex)
    assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == refused(answer)


def test_an_approval_needs_the_digest_of_this_request(custody: CustodyService) -> None:
    first, second = custody.ask(RETIRE), custody.ask(RETIRE)
    answer = custody.approve(first, digest=second.digest)
    assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == refused(answer)
    answer = custody.approve(first, digest="00")
    assert ("INVALID_ARGUMENT", "FIELD_INVALID") == refused(answer)


def test_a_withdrawn_request_is_over(custody: CustodyService, untouched: None) -> None:
    approved, asked = custody.approved(RETIRE), custody.ask(RETIRE)
    for request in (approved, asked):
        answer = custody.act("WithdrawAct", "custodian-1", request_id=request.request_id)
        assert "OK" == answer.code
        again = custody.act("WithdrawAct", "custodian-1", request_id=request.request_id)
        assert ("FAILED_PRECONDITION", "ACT_CLOSED") == refused(again)
    assert ("FAILED_PRECONDITION", "ACT_CLOSED") == refused(custody.carry_out(approved))
    assert ("FAILED_PRECONDITION", "ACT_CLOSED") == refused(custody.approve(asked))


def test_another_tenants_custodians_have_no_say(custody: CustodyService, untouched: None) -> None:
    request = custody.approved(RETIRE)
    open_one = custody.ask(RETIRE)
    for answer in (
        custody.carry_out(request, "other-custodian-1"),
        custody.carry_out(request, "other-custodian-1", dry_run=True),
        custody.approve(open_one, "other-custodian-1"),
        custody.act("WithdrawAct", "other-custodian-1", request_id=open_one.request_id),
        custody.act("CarryOutAct", "custodian-1", request_id="0" * 32),
    ):
        assert ("NOT_FOUND", "ACT_UNKNOWN") == refused(answer)
    # A row that somebody moves to another tenant is worth nothing there.
    custody.edit(request, "tenant = 'other-shop'")
    answer = custody.carry_out(request, "other-custodian-1")
    assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == refused(answer)


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        ("operator", {"ListActRequests"}),
        ("policy-owner", {"ListActRequests"}),
        ("auditor", set()),
        ("order", set()),
        ("privacy", set()),
    ],
)
def test_other_roles_are_refused(
    custody: CustodyService, untouched: None, caller: str, may: set[str]
) -> None:
    approved, asked = custody.approved(RETIRE), custody.ask(RETIRE)
    requests: dict[str, dict[str, Any]] = {
        "RequestAct": {"act": RETIRE, "cause": "rotation", "idempotency_key": new_key()},
        "ListActRequests": {},
        "ApproveAct": {"request_id": asked.request_id, "request_digest": asked.digest},
        "WithdrawAct": {"request_id": asked.request_id},
        "CarryOutAct": {"request_id": approved.request_id},
    }
    for rpc, request in requests.items():
        answer = custody.act(rpc, caller, **request)
        if rpc in may:
            assert "OK" == answer.code
        else:
            assert "PERMISSION_DENIED" == answer.code
            assert answer.reason in {"POLICY_DENIED", "SERVICE_NOT_PERMITTED"}


@pytest.mark.parametrize(
    ("act", "path"),
    [
        ({}, "act"),
        ({"retire": {}}, "act.retire.min_decryption_version"),
        ({"retire": {"min_decryption_version": 1}}, "act.retire.min_decryption_version"),
        ({"retire": {"min_decryption_version": 3}}, "act.retire.min_decryption_version"),
        ({"retire": {"min_decryption_version": -1}}, "act.retire.min_decryption_version"),
        ({"trim": {"min_available_version": 1}}, "act.trim.min_available_version"),
        ({"trim": {"min_available_version": 9}}, "act.trim.min_available_version"),
        ({"destroy": {"tenant": "other-shop"}}, "act.destroy.tenant"),
        ({"destroy": {}}, "act.destroy.tenant"),
        ({"widen_policy": {"bundle_digest": "x"}}, "act.widen_policy.bundle_digest"),
        ({"widen_policy": {}}, "act.widen_policy.bundle_digest"),
    ],
)
def test_what_makes_no_sense_can_not_be_asked_for(
    custody: CustodyService, act: dict[str, Any], path: str
) -> None:
    request = {"act": act, "cause": "rotation", "idempotency_key": new_key()}
    answer = custody.call("RequestAct", request, caller="custodian-1")
    assert ("INVALID_ARGUMENT", path) == (answer.code, answer.field)


def test_a_cause_is_one_of_the_list(custody: CustodyService) -> None:
    request = {"act": RETIRE, "cause": "because", "idempotency_key": new_key()}
    answer = custody.call("RequestAct", request, caller="custodian-1")
    assert ("INVALID_ARGUMENT", "cause") == (answer.code, answer.field)


@pytest.mark.parametrize(
    ("act", "reason", "text"),
    [
        (RETIRE, "KEY_IN_USE", "1 rows need version 1"),
        (TRIM, "KEY_IN_USE", "versions below 2 are not retired yet"),
        ({"destroy": {"tenant": TENANT}}, "KEY_STORE_DENIED", "by hand"),
    ],
)
def test_what_stands_against_an_act_refuses_it(
    custody: CustodyService, untouched: None, act: dict[str, Any], reason: str, text: str
) -> None:
    request = custody.approved(act)
    answer = custody.carry_out(request)
    assert ("FAILED_PRECONDITION", reason) == refused(answer)
    assert text in answer.text
    assert custody.row(request)["done_at"] is None
    assert APPROVED == custody.carry_out(request, dry_run=True).read("CarryOutAct").request.state


def test_a_wrapping_that_can_not_be_read_stands_against_it(
    custody: CustodyService, untouched: None
) -> None:
    custody.database.execute(
        "insert into subject_keys (subject_id, key_version, tenant, wrapped, root_version,"
        " key_salt, commitment) values ($1, 1, $2, 'vault:v:x', 2, sha256('a'), sha256('b'))",
        uuid.UUID(int=2**128 - 1),
        TENANT,
    )
    try:
        answer = custody.carry_out(custody.approved(RETIRE))
        assert "1 rows do not say which version they need" in answer.text
    finally:
        custody.database.execute("delete from subject_keys where wrapped = 'vault:v:x'")


def test_a_request_expires_by_the_databases_clock(
    custody: CustodyService, untouched: None, tmp_path: Path
) -> None:
    with second_process(
        custody, tmp_path / "brief", QUICK + "\n[custody]\nrequest_seconds = 10\n"
    ) as brief:
        request, asked = brief.approved(RETIRE), brief.ask(RETIRE)
        brief.database.execute("select pg_sleep(10.1)")
        assert ("FAILED_PRECONDITION", "APPROVAL_EXPIRED") == refused(brief.carry_out(request))
        assert ("FAILED_PRECONDITION", "APPROVAL_EXPIRED") == refused(brief.approve(asked))
        # The other process has the same clock.
        assert ("FAILED_PRECONDITION", "APPROVAL_EXPIRED") == refused(custody.carry_out(request))


@pytest.mark.parametrize("lost", ["role", "tenant", "service", "entry"])
@pytest.mark.parametrize("who", ["approver", "requester"])
def test_who_is_no_custodian_any_more_counts_no_more(
    custody: CustodyService, untouched: None, who: str, lost: str
) -> None:
    """Between approval and use the bundle takes it away: a narrower one, that needs nobody."""
    gone = custody.id_of("custodian-3")
    if who == "approver":
        request = custody.ask(RETIRE)
        custody.approve(request, "custodian-3").read("ApproveAct")
        expected = "APPROVAL_MISSING"
    else:
        request = custody.approved(RETIRE, caller="custodian-3")
        expected = "ACT_CLOSED"
    kept = (custody.policies / "callers.yaml").read_text()
    with custody.callers() as document:
        match lost:
            case "role":
                document["callers"][gone]["roles"] = []
            case "tenant":
                document["callers"][gone]["tenant"] = "other-shop"
            case "service":
                document["services"][KEY_SERVICE].remove(gone)
            case "entry":
                del document["callers"][gone]
                document["services"][KEY_SERVICE].remove(gone)
    try:
        _reload(custody)
        assert ("FAILED_PRECONDITION", expected) == refused(custody.carry_out(request))
    finally:
        (custody.policies / "callers.yaml").write_text(kept)
        _reload(custody)


def _reload(custody: CustodyService) -> None:
    """As if this were the first bundle of the database."""
    custody.database.execute("delete from policy_accepted")
    assert "OK" == custody.call("ReloadBundle", b"", caller="policy-owner").code


def test_an_approval_key_that_is_not_transits_vouches_for_nothing(
    custody: CustodyService, untouched: None
) -> None:
    """A signature of the right form by somebody else's key."""
    request = custody.approved(RETIRE)
    row = custody.row(request)
    statement = approval_statement(
        request_digest=row["digest"],
        approver=row["approved_by"],
        approved_at_us=_us(row["approved_at"]),
        expires_at_us=_us(row["expires_at"]),
    )
    custody.edit(request, "approval = $2", Ed25519PrivateKey.generate().sign(statement))
    assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == refused(custody.carry_out(request))


def test_the_service_role_and_the_custodians_role_can_change_no_request(
    custody: CustodyService,
) -> None:
    request = custody.ask(RETIRE)
    for login in ("service", "custodian"):
        url = getattr(custody.urls, login)
        for change in ("act = ''", "requested_by = 'x'", "expires_at = now()", "digest = ''"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                custody.admin(lambda _, url=url, change=change: _execute(url, change))
    assert encode_act(decode_act(custody.row(request)["act"])) == custody.row(request)["act"]


async def _execute(url: str, change: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"update custody_requests set {change}")  # noqa: S608 a test's own
    finally:
        await connection.close()
