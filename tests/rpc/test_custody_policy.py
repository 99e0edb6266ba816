"""Policy that lets more happen needs two custodians: by RPC, by signal, at start."""

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import Answer
from tests.support.custody import CustodyService, custody_service, second_process
from tests.support.service import wait_until
from vault.policy import load_bundle

_WIDE = (
    "      email: masked\n    retention_days: 365",
    "      email: full\n    retention_days: 365",
)
_TEXT = "may see email full for after_sales"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CustodyService]:
    with custody_service(tmp_path_factory.mktemp("custody")) as service:
        yield service


@pytest.fixture
def custody(servers: CustodyService) -> Iterator[CustodyService]:
    """The first bundle is accepted and in force; afterwards again."""
    kept = {path: path.read_bytes() for path in servers.policies.rglob("*") if path.is_file()}
    yield servers
    for path, content in kept.items():
        path.write_bytes(content)
    servers.database.execute("delete from policy_accepted")
    servers.database.execute("delete from custody_requests")
    if not servers.is_running():
        servers.start()
    assert "OK" == _reload(servers).code


def _reload(custody: CustodyService) -> Answer:
    return custody.call("ReloadBundle", b"", caller="policy-owner")


def _change(custody: CustodyService, old: str, new: str, name: str = "purposes.yaml") -> str:
    """Edits a file of the bundle; the digest of what the folder holds now."""
    path = custody.policies / name
    text = path.read_text()
    assert 1 == text.count(old)
    path.write_text(text.replace(old, new))
    return load_bundle(custody.policies).digest.hex()


def _in_force(custody: CustodyService) -> str:
    answer = custody.call("GetBundle", b"", caller="policy-owner")
    return str(answer.read("GetBundle").bundle.digest)


def _widen(digest: str) -> dict[str, Any]:
    return {"widen_policy": {"bundle_digest": digest}}


def _accepted(custody: CustodyService) -> list[str]:
    rows = custody.database.fetch("select digest from policy_accepted order by number")
    return [row["digest"].hex() for row in rows]


def _approved(custody: CustodyService, digest: str) -> Any:
    return custody.approved(_widen(digest), caller="policy-owner", cause="policy_change")


def test_the_first_bundle_is_accepted_as_it_is(custody: CustodyService) -> None:
    assert [_in_force(custody)] == _accepted(custody)[-1:]


def test_a_wider_bundle_is_refused_and_says_what_widens(custody: CustodyService) -> None:
    before = _in_force(custody)
    _change(custody, *_WIDE)
    with custody.recording() as entries:
        answer = _reload(custody)
    assert ("FAILED_PRECONDITION", "APPROVAL_MISSING") == (answer.code, answer.reason)
    [(file, text)] = answer.violations
    assert ("purposes.yaml", True) == (file, text.endswith(f"and 2 more {_TEXT}"))
    assert [("REFUSED", "APPROVAL_MISSING")] == [(e.verdict.name, e.reason.name) for e in entries]
    assert before == _in_force(custody)


def test_a_narrower_or_equal_bundle_needs_nobody_and_back_again_does(
    custody: CustodyService,
) -> None:
    first = _in_force(custody)
    old, new = "      email: masked\n    retention_days: 365", "    retention_days: 365"
    narrow = _change(custody, old, new)
    assert "OK" == _reload(custody).code
    assert narrow == _in_force(custody) == _accepted(custody)[-1]
    assert first == _change(
        custody,
        "      postal_address: coarse\n    retention_days: 365",
        "      postal_address: coarse\n" + old,
    )
    assert "APPROVAL_MISSING" == _reload(custody).reason
    assert narrow == _in_force(custody)


def test_an_approved_bundle_comes_into_force_once(custody: CustodyService) -> None:
    narrow = _in_force(custody)
    wide = _change(custody, *_WIDE)
    request = _approved(custody, wide)
    with custody.recording() as entries:
        assert "OK" == _reload(custody).code
    [entry] = entries
    assert entry.act is not None
    assert (request.request_id, request.digest) == (
        entry.act.request_id.hex,
        entry.act.digest.hex(),
    )
    assert wide == _in_force(custody) == _accepted(custody)[-1]
    assert custody.id_of("policy-owner") == custody.row(request)["done_by"]
    # Used: after a narrower one the same bundle needs a new request.
    _change(custody, _WIDE[1], _WIDE[0].replace("masked", "masked "))
    assert "OK" == _reload(custody).code
    assert narrow != _in_force(custody)
    _change(custody, _WIDE[0].replace("masked", "masked "), _WIDE[1])
    assert "APPROVAL_MISSING" == _reload(custody).reason
    assert "ACT_CLOSED" == custody.carry_out(request).reason


def test_a_custodian_carries_it_out_and_it_is_in_force(custody: CustodyService) -> None:
    wide = _change(custody, *_WIDE)
    request = _approved(custody, wide)
    dry = custody.carry_out(request, dry_run=True).read("CarryOutAct")
    assert ([], True) == (list(dry.obstacles), _TEXT in dry.effect)
    assert wide != _in_force(custody)
    assert "OK" == custody.carry_out(request).code
    assert wide == _in_force(custody) == _accepted(custody)[-1]
    answer = custody.act(
        "RequestAct",
        "custodian-1",
        act=_widen(wide),
        cause="policy_change",
        idempotency_key="k" * 16,
    )
    assert ("INVALID_ARGUMENT", "act.widen_policy.bundle_digest") == (answer.code, answer.field)


def test_the_approval_of_one_bundle_lets_no_other(custody: CustodyService) -> None:
    _approved(custody, hashlib.sha256(b"another").hexdigest())
    wide = _change(custody, *_WIDE)
    assert "APPROVAL_MISSING" == _reload(custody).reason
    request = _approved(custody, wide)
    _change(custody, "Answer questions", "Reply to questions")
    assert "APPROVAL_MISSING" == _reload(custody).reason
    answer = custody.carry_out(request)
    assert ("FAILED_PRECONDITION", "APPROVAL_MISMATCH") == (answer.code, answer.reason)
    assert custody.row(request)["done_at"] is None


@pytest.mark.parametrize(
    "change",
    [
        "approved_by = 'spiffe://pdvault.example/vault/custodian-1'",
        "expires_at = expires_at + interval '1 day'",
        "approval = sha512('x')",
        "withdrawn_at = now(), withdrawn_by = 'x'",
    ],
)
def test_a_request_that_was_tampered_with_lets_nothing(
    custody: CustodyService, change: str
) -> None:
    wide = _change(custody, *_WIDE)
    custody.edit(_approved(custody, wide), change)
    assert "APPROVAL_MISSING" == _reload(custody).reason


def test_a_policy_owner_can_ask_but_neither_approve_nor_carry_out(custody: CustodyService) -> None:
    wide = _change(custody, *_WIDE)
    request = custody.ask(_widen(wide), "policy-owner", cause="policy_change")
    assert "POLICY_DENIED" == custody.approve(request, "policy-owner").reason
    assert "POLICY_DENIED" == custody.carry_out(request, "policy-owner").reason
    answer = custody.act(
        "RequestAct",
        "policy-owner",
        act={"retire": {"min_decryption_version": 2}},
        cause="rotation",
        idempotency_key="k" * 17,
    )
    assert "POLICY_DENIED" == answer.reason
    assert "OK" == custody.act("WithdrawAct", "policy-owner", request_id=request.request_id).code


def test_a_signal_is_held_to_the_same(custody: CustodyService) -> None:
    before = _in_force(custody)
    wide = _change(custody, *_WIDE)
    custody.signal(signal.SIGHUP)
    wait_until(lambda: _TEXT in custody.log.read_text(), seconds=10, text="no line in the log")
    assert before == _in_force(custody)
    request = _approved(custody, wide)
    with custody.recording() as entries:
        custody.signal(signal.SIGHUP)
        wait_until(lambda: wide == _in_force(custody), seconds=10, text="not in force")
    [entry] = [each for each in entries if each.act is not None]
    assert ("demo-shop", "", request.request_id) == (
        entry.tenant,
        entry.caller,
        entry.act.request_id.hex if entry.act else "",
    )


def test_a_start_is_held_to_the_same(custody: CustodyService) -> None:
    custody.stop()
    wide = _change(custody, *_WIDE)
    with pytest.raises(AssertionError, match="may see email full for after_sales"):
        custody.start()
    (custody.policies / "purposes.yaml").write_text(
        (custody.policies / "purposes.yaml").read_text().replace(_WIDE[1], _WIDE[0])
    )
    custody.start()
    request = _approved(custody, wide)
    custody.stop()
    assert wide == _change(custody, *_WIDE)
    custody.start()
    assert wide == _in_force(custody)
    assert "pdvault" == custody.row(request)["done_by"]


def test_a_host_that_lags_behind_takes_nothing_back(
    custody: CustodyService, tmp_path: Path
) -> None:
    """It serves its older, narrower bundle; what was accepted stays so."""
    with second_process(custody, tmp_path / "second") as second:
        old = _in_force(second)
        wide = _change(custody, *_WIDE)
        _approved(custody, wide)
        assert "OK" == _reload(custody).code
        assert old == _in_force(second)
        _change(custody, _WIDE[1], _WIDE[0])
        assert "OK" == _reload(second).code
        assert wide == _accepted(custody)[-1]
        assert wide == _change(custody, *_WIDE)
        # Accepted is accepted: the second process needs nobody any more.
        assert "OK" == _reload(second).code
        assert wide == _in_force(second)
