"""New rules while calls run: a broken bundle changes nothing, a good one all at once."""

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import StartService, VaultService, wait_until
from vault.policy import load_bundle

_EXTRA = """
// A rule that changes nothing.
@id("forbid-nothing")
forbid (
  principal,
  action == Action::"list_entries",
  resource
)
when { false };
"""


@pytest.fixture(scope="module")
def own(start_service: StartService) -> Iterator[VaultService]:
    with start_service() as started:
        yield started


@pytest.fixture
def policies(own: VaultService, tmp_path: Path) -> Iterator[Path]:
    """The folder of the bundle; put back, and in force again, afterwards."""
    shutil.copytree(own.policies, tmp_path / "kept")
    yield own.policies
    shutil.rmtree(own.policies)
    shutil.copytree(tmp_path / "kept", own.policies)
    # It lets more happen than a narrower one of a test: as if it were the database's first.
    own.database.execute("delete from policy_accepted")
    assert "OK" == own.call("ReloadBundle", b"", caller="policy-owner").code


def _digest(service: VaultService) -> str:
    return service.call("GetBundle", b"", caller="auditor").read("GetBundle").bundle.digest


def _break(name: str, policies: Path) -> None:
    path = policies / "acts.cedar"
    match name:
        case "syntax":
            path.write_text(path.read_text() + "permit (principal, action, resource when {};\n")
        case "unknown attribute":
            text = path.read_text().replace("collected_by", "collected_bye")
            path.write_text(text)
        case "empty file":
            path.write_text("")
        case "half a file":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "unknown key":
            yaml = policies / "purposes.yaml"
            yaml.write_text(yaml.read_text().replace("needs_consent: true", "needs_konsent: true"))
        case "guardrails gone":
            (policies / "guardrails.cedar").unlink()
        case "issuer without keys":
            (policies / "issuers" / "staff.jwks.json").write_text('{"keys": []}\n')
        case "stranger":
            (policies / "acts.cedar.bak").write_text("")
        case "not text":
            (policies / "callers.yaml").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    "name",
    [
        "syntax",
        "unknown attribute",
        "empty file",
        "half a file",
        "unknown key",
        "guardrails gone",
        "issuer without keys",
        "stranger",
        "not text",
    ],
)
def test_a_broken_bundle_is_refused_and_the_old_one_serves(
    own: VaultService, policies: Path, name: str
) -> None:
    digest = _digest(own)
    token = own.tokenize({"phone": "13812345678"})["phone"]
    _break(name, policies)
    with own.recording() as entries:
        answer = own.call("ReloadBundle", b"", caller="policy-owner")
    assert ("FAILED_PRECONDITION", "BUNDLE_INVALID") == (answer.code, answer.reason)
    assert answer.violations
    for where, text in answer.violations:
        file, _, line = where.partition(":")
        assert file
        assert line.isdigit(), where
        assert text
    assert ["BUNDLE_INVALID"] == [entry.reason.name for entry in entries]
    # The signal does no harm either.
    own.signal(signal.SIGHUP)
    wait_until(lambda: "bundle.refused" in own.log.read_text(), seconds=5, text="a log line")
    assert digest == _digest(own)
    request = {"purpose": "delivery", "items": [{"token": token}]}
    with own.recording() as entries:
        answer = own.call("Detokenize", request, caller="shipping")
    assert "13812345678" == answer.read("Detokenize").items[0].value
    assert [digest] == [entry.bundle_digest.hex() for entry in entries]


def test_a_good_bundle_is_in_force_at_once(own: VaultService, policies: Path) -> None:
    before = _digest(own)
    path = policies / "acts.cedar"
    path.write_text(path.read_text() + _EXTRA)
    answer = own.call("ReloadBundle", b"", caller="policy-owner").read("ReloadBundle")
    assert answer.changed
    assert before != answer.bundle.digest
    assert load_bundle(policies).digest.hex() == answer.bundle.digest == _digest(own)
    with own.recording() as entries:
        own.tokenize({"phone": "13812345678"})
    assert [answer.bundle.digest] == [entry.bundle_digest.hex() for entry in entries]
    again = own.call("ReloadBundle", b"", caller="policy-owner").read("ReloadBundle")
    assert not again.changed


def test_a_right_taken_away_is_gone_with_the_reload(own: VaultService, policies: Path) -> None:
    token = own.tokenize({"phone": "13812345678"})["phone"]
    request = {"purpose": "delivery", "items": [{"token": token}]}
    assert "OK" == own.call("Detokenize", request, caller="shipping").code
    path = policies / "callers.yaml"
    text = path.read_text()
    services = text.index("services:")
    line = "  - spiffe://pdvault.example/shop/shipping\n"
    assert line in text[services:]
    path.write_text(text[:services] + text[services:].replace(line, ""))
    own.signal(signal.SIGHUP)
    digest = load_bundle(policies).digest.hex()
    wait_until(lambda: _digest(own) == digest, seconds=5, text="the new bundle")
    answer = own.call("Detokenize", request, caller="shipping")
    assert ("PERMISSION_DENIED", "SERVICE_NOT_PERMITTED") == (answer.code, answer.reason)


def test_running_calls_never_fail(own: VaultService, policies: Path) -> None:
    token = own.tokenize({"phone": "13812345678"})["phone"]
    request = {"purpose": "delivery", "items": [{"token": token}]}
    stop = threading.Event()
    seen: list[tuple[str, str]] = []

    def run() -> None:
        while not stop.is_set():
            answer = own.call("Detokenize", request, caller="shipping")
            value = answer.read("Detokenize").items[0].value if answer.code == "OK" else ""
            seen.append((answer.code, value))

    with own.recording() as entries:
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        digests = {_digest(own)}
        path = policies / "acts.cedar"
        good = path.read_text()
        for number in range(8):
            broken = number % 2
            extra = _EXTRA.replace("nothing", f"nothing-{number}")
            path.write_text("permit (" if broken else good + extra)
            answer = own.call("ReloadBundle", b"", caller="policy-owner")
            assert ("FAILED_PRECONDITION" if broken else "OK") == answer.code
            if not broken:
                digests.add(answer.read("ReloadBundle").bundle.digest)
            time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
    assert {("OK", "13812345678")} == set(seen)
    assert 50 < len(seen)
    told = {entry.bundle_digest.hex() for entry in entries if entry.rpc.endswith("/Detokenize")}
    assert told <= digests
    assert 3 <= len(told)
