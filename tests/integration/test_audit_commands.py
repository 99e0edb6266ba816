"""Auditors' commands against `pdvault up`: what they hold in their hands can be checked offline."""

import base64
import json
import select
import signal
import time
from pathlib import Path

import pytest

from tests.support.pdvault_up import run, start, up
from vault.audit.access_record import parse_record
from vault.audit.entry import decode

VALUES = {"person_name": "张伟", "phone": "13812345678"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Two tenants' accesses, among them two consumers of the first."""
    with up(tmp_path_factory.mktemp("audit") / "state") as started:
        with started.client("order") as order, started.client("shipping") as shipping:
            for ref in ("m-1", "m-2", "m-1"):
                tokens = order.tokenize([(ref, VALUES)]).subjects[0].tokens
                shipping.detokenize("delivery", tokens.values())
        with started.client("support") as support, started.client("marketing") as marketing:
            support.detokenize("after_sales", tokens.values())
            marketing.detokenize("marketing", tokens.values())
        with started.client("other-order") as other:
            other.tokenize([("m-1", VALUES)])
        with started.client("auditor") as auditor:
            newest = next(auditor.list_entries(page_size=1)).entry_id
            deadline = time.monotonic() + 20
            while not auditor.prove_inclusion([newest]).proofs[0].is_included:
                assert time.monotonic() < deadline, "nothing was published"
                time.sleep(0.1)
        yield started


@pytest.fixture
def auditor(running):
    return (
        *("--address", running.facts["address"]),
        *("--client", f"{running.facts['certs']}/auditor"),
    )


@pytest.fixture
def key(running):
    return ("--key", running.facts["audit_key"])


def _ok(done):
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_an_export_is_verified_without_the_vault(running, auditor, key, tmp_path):
    path = tmp_path / "log.jsonl"
    _ok(run("audit", "export", str(path), *auditor, *key))
    checkpoint = Path(running.facts["certs"]).parent / "witness" / "checkpoint"
    said = _ok(run("audit", "verify", str(path), *key))
    assert said.startswith("sound: ")
    lines = path.read_bytes().splitlines(keepends=True)
    entries = {}
    for line in lines[1:-1]:
        leaf = json.loads(line)
        if "e" in leaf:
            entries[leaf["i"]] = decode(base64.b64decode(leaf["e"]))
    assert {"demo-shop"} == {entry.tenant for entry in entries.values()} - {""}
    hidden = [json.loads(line)["i"] for line in lines[1:-1] if b'"h":' in line and b'"i":' in line]
    assert hidden  # the other tenant's
    assert not any(value.encode() in path.read_bytes() for value in VALUES.values())

    # One byte of one entry.
    at = next(i for i, line in enumerate(lines) if line.startswith(b'{"i":5,"e":"'))
    changed = bytearray(lines[at])
    changed[200] = ord("A") if changed[200] != ord("A") else ord("B")
    path.write_bytes(b"".join([*lines[:at], bytes(changed), *lines[at + 1 :]]))
    damaged = run("audit", "verify", str(path), *key)
    assert (1, True) == (damaged.returncode, "DAMAGED at index 5: edited" in damaged.stdout)

    # Cut in the middle, and continued under the same checkpoint though the log has grown.
    whole = b"".join(lines)
    path.write_bytes(whole[: len(whole) // 2])
    cut = run("audit", "verify", str(path), *key)
    assert (1, True) == (cut.returncode, "cut" in cut.stdout)
    _ok(run("audit", "export", str(path), "--resume", *auditor, *key))
    assert whole == path.read_bytes()

    kept = tmp_path / "kept"
    kept.write_text(json.loads(lines[0])["checkpoint"])
    _ok(run("audit", "prove", "--consistency", str(kept), *auditor, *key))
    later = tmp_path / "later.jsonl"
    _ok(run("audit", "export", str(later), *auditor))
    _ok(run("audit", "verify", str(later), *key, "--since-checkpoint", str(kept)))
    assert checkpoint.exists()


def test_other_formats(auditor, key, tmp_path):
    for form in ("csv", "ocsf", "tiles"):
        path = tmp_path / form
        done = run("audit", "export", str(path), "--format", form, "--json", *auditor, *key)
        assert json.loads(_ok(done))
    assert (tmp_path / "tiles" / "tile/0/000.p").is_dir() or (
        tmp_path / "tiles" / "tile/0/000"
    ).exists()
    assert "reveal-full" in (tmp_path / "csv").read_text()
    for line in (tmp_path / "ocsf").read_text().splitlines():
        assert "demo-shop" == json.loads(line)["metadata"]["tenant_uid"]


def test_one_consumers_record_holds_nothing_of_others(auditor, key, tmp_path):
    path = tmp_path / "record.json"
    told = run(
        *("audit", "subject", "--subject-ref-file", "-", "--proofs", str(path), *auditor, *key),
        text="m-1",
    )
    assert "saw person_name in full, phone in full (rule reveal-full), for delivery" in _ok(told)
    assert "/shop/marketing (role marketing) was not allowed to see" in told.stdout
    assert "consent missing" in told.stdout
    assert "sound: " in run("audit", "verify-record", str(path), *key).stderr
    record = parse_record(path.read_bytes())
    entries = [decode(each.entry) for each in record.entries]
    assert {record.subject_id} == {entry.subject_id for entry in entries}
    assert {"demo-shop"} == {entry.tenant for entry in entries}
    # Twice in and out, twice more looked at; perhaps auditors who read before.
    assert 6 == sum("TokenService" in entry.rpc for entry in entries)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"i":', b'"i": ', 1))
    assert 1 == run("audit", "verify-record", str(path), *key).returncode


def test_tail_shows_what_happens_and_ends_cleanly(running, auditor):
    with start("audit", "tail", *auditor, "--rpc-is-not-an-option") as wrong:
        wrong.communicate(timeout=30)
        assert 2 == wrong.returncode
    with start("audit", "tail", "--purpose", "after_sales", *auditor) as process:
        try:
            assert "following" in process.stderr.readline()
            with running.client("order") as order, running.client("support") as support:
                tokens = order.tokenize([("m-3", VALUES)]).subjects[0].tokens
                # The stream begins when the vault has it; until then nothing is to be seen.
                deadline = time.monotonic() + 20
                seen = []
                while not seen and time.monotonic() < deadline:
                    support.detokenize("after_sales", tokens.values())
                    seen = _readable(process.stdout, 1.0)
            assert seen
            assert "/shop/support  Detokenize  for after_sales" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert (0, False) == (process.returncode, "Traceback" in err)
        finally:
            process.kill()


def test_stats_and_callers(auditor, tmp_path):
    svg = tmp_path / "plot.svg"
    for by in ("caller", "purpose", "verdict", "hour"):
        _ok(run("audit", "stats", "--by", by, "--svg", str(svg), *auditor))
        assert svg.read_text().startswith("<svg ")
    said = _ok(run("audit", "caller", "spiffe://pdvault.example/shop/shipping", *auditor))
    assert "caller /shop/shipping, 2 consumers" in said
    listed = _ok(run("audit", "list", "--view", "masked", "--json", *auditor)).splitlines()
    assert {"reveal-masked"} == {
        policy
        for line in listed
        for item in json.loads(line)["items"]
        for policy in item["policies"]
    }
    assert "" == _ok(run("audit", "list", "--field-type", "bank_card", *auditor))
    entry = json.loads(listed[0])["entry_id"]
    assert "proved: entry" in _ok(run("audit", "prove", entry, *auditor))


def _readable(stream, seconds):
    return select.select([stream], [], [], seconds)[0]
