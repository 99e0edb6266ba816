"""`pdvault up` as a person meets it: a process of its own, signals, restarts, servers that die."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support.pdvault_up import is_alive, run, start, up
from tests.support.trace_store import TraceStoreProcess

VALUES = {"person_name": "张伟", "phone": "13812345678"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One instance for the tests that leave it as it was."""
    with up(tmp_path_factory.mktemp("up") / "state") as started:
        yield started


def _remote(running, client):
    return (
        *("--address", running.facts["address"]),
        *("--client", f"{running.facts['certs']}/{client}"),
    )


def test_the_line_of_json_says_where_everything_is(running):
    assert {
        "address",
        "certs",
        "config",
        "spans",
        "openbao",
        "postgres_owner_url_file",
        "audit_key",
    } == set(running.facts)
    for name in ("certs", "config", "spans", "postgres_owner_url_file", "audit_key"):
        assert Path(running.facts[name]).exists(), name
    assert {"bao", "postgres"} == set(running.children())


def test_a_second_start_on_the_folder_is_refused(running):
    state = Path(running.facts["certs"]).parent
    second = run("up", "--state", str(state))
    assert (1, "") == (second.returncode, second.stdout)
    assert f"is in use by process {running.process.pid}" in second.stderr
    assert "hint: " in second.stderr
    assert "SERVING\n" == run("health", *_remote(running, "auditor")).stdout


def test_commands_play_together(running):
    """A value in, a view out, a refusal, and the auditor sees all three."""
    stored = run(
        *("tokenize", "--json", *_remote(running, "order"), "--subject-ref-file", "-"),
        *(f"{name}={value}" for name, value in VALUES.items()),
        text="m-1\n",
    )
    assert (0, "") == (stored.returncode, stored.stderr)
    tokens = [json.loads(line)["token"] for line in stored.stdout.splitlines()]

    full = run("detokenize", *_remote(running, "shipping"), "--purpose", "delivery", *tokens)
    assert 0 == full.returncode
    assert all(value in full.stdout for value in VALUES.values())

    masked = run(
        "detokenize", "--json", *_remote(running, "support"), "--purpose", "after_sales", *tokens
    )
    views = [json.loads(line)["view"] for line in masked.stdout.splitlines()]
    assert (0, ["masked", "masked"]) == (masked.returncode, views)

    refused = run("detokenize", *_remote(running, "marketing"), "--purpose", "marketing", *tokens)
    assert 1 == refused.returncode
    assert 2 == refused.stdout.count("CONSENT_MISSING")

    auditor = _remote(running, "auditor")
    listed = run("audit", "list", "--json", *auditor, "--subject-ref-file", "-", text="m-1")
    entries = [json.loads(line) for line in listed.stdout.splitlines()]
    assert ["marketing", "after_sales", "delivery", ""] == [each["purpose"] for each in entries]
    table = run("audit", "list", *auditor, "--purpose", "delivery", "--since", "1h").stdout
    assert "/shop/shipping" in table
    assert "phone full" in table
    assert not any(value in listed.stdout + table for value in VALUES.values())

    spans = ("--spans", running.facts["spans"])
    for wanted in (entries[2]["entry_id"], entries[2]["trace_id"]):
        shown = run("audit", "show", wanted, *auditor, *spans)
        assert 0 == shown.returncode
        assert entries[2]["entry_id"] in shown.stdout
        assert "reveal-full" in shown.stdout
        assert "vault.v1.TokenService/Detokenize " in shown.stdout
        assert "\x1b" not in shown.stdout
    with TraceStoreProcess("tempo", Path(running.facts["spans"])) as store:
        found = run(
            "audit", "show", entries[2]["trace_id"], *auditor, "--trace-store", store.address
        )
    # Once more, as a trip's span may have been on its way to the file.
    shown = run("audit", "show", entries[2]["trace_id"], *auditor, *spans)
    assert shown.stdout.splitlines() == found.stdout.splitlines()
    assert 1 == run("audit", "show", "0" * 32, *auditor).returncode


def test_a_caller_without_the_right_is_told_so_once(running):
    done = run("audit", "list", *_remote(running, "order"))
    assert (1, "") == (done.returncode, done.stdout)
    assert 1 == done.stderr.count("SERVICE_NOT_PERMITTED")
    assert "--client" in done.stderr


def test_a_broken_bundle_is_named_and_the_old_one_keeps_deciding(running):
    owner = _remote(running, "policy-owner")
    file = Path(running.facts["certs"]).parent / "policies" / "purposes.yaml"
    sound = file.read_text()
    before = json.loads(run("policy", "show", "--json", *owner).stdout)
    line = sound.count("\n") + 1
    try:
        file.write_text(sound + "broken: yes\n")
        running.process.send_signal(signal.SIGHUP)
        said = running.wait_for("policies: refused, the old ones keep deciding:")
        running.wait_for(f"  purposes.yaml:{line}: ")
        assert '"event":"bundle.refused"' in said

        refused = run("policy", "reload", *owner)
        assert (1, "") == (refused.returncode, refused.stdout)
        assert 1 == refused.stderr.count("BUNDLE_INVALID")
        assert f"  purposes.yaml:{line}: " in refused.stderr
        assert before == json.loads(run("policy", "show", "--json", *owner).stdout)

        file.write_text(sound + "# Another digest.\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("policies: read again")
        after = json.loads(run("policy", "show", "--json", *owner).stdout)
        assert before["digest"] != after["digest"]
    finally:
        file.write_text(sound)
    back = json.loads(run("policy", "reload", "--json", *owner).stdout)
    assert (before["digest"], True) == (back["digest"], back["changed"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_a_restart_finds_everything(tmp_path, number):
    state = tmp_path / "state"
    with up(state) as first:
        with first.client("order") as vault:
            tokens = vault.tokenize([("m-1", VALUES)]).subjects[0].tokens
        servers = first.children()
        assert 0 == first.end(number)
        assert {} == {name: pid for name, pid in servers.items() if is_alive(pid)}

    with up(state) as second:
        assert first.facts == second.facts
        with second.client("shipping") as vault:
            items = vault.detokenize("delivery", tokens.values()).items
        assert list(VALUES.values()) == [item.value for item in items]
        assert 0 == second.end(number)


@pytest.mark.parametrize(
    ("program", "name"), [("postgres", "PostgreSQL"), ("bao", "OpenBao")], ids=["postgres", "bao"]
)
def test_a_server_that_dies_ends_it_with_words(tmp_path, program, name):
    with up(tmp_path / "state") as started:
        servers = started.children()
        assert servers.keys() == {"postgres", "bao"}
        os.kill(servers[program], signal.SIGKILL)
        assert 1 == started.process.wait(60)
        started.end()
        assert f"pdvault: error: {name} ended by itself; see " in started.errors()
        assert {} == {each: pid for each, pid in servers.items() if is_alive(pid)}


def test_interrupted_before_it_is_ready(tmp_path):
    with start("up", "--state", str(tmp_path / "state")) as process:
        assert "state: " in process.stderr.readline()
        process.send_signal(signal.SIGHUP)  # a reload of nothing
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (130, "") == (process.returncode, out)
    assert "interrupted before it was ready" in err
    assert "Traceback" not in err


def test_a_port_that_is_taken_and_policies_of_ones_own(tmp_path):
    state = tmp_path / "state"
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        refused = run("up", "--state", str(state), "--port", str(port))
    assert 1 == refused.returncode
    assert f"pdvault: error: can't listen on 127.0.0.1:{port}" in refused.stderr
    assert "Traceback" not in refused.stderr

    (state / "policies").rename(tmp_path / "mine")
    with up(state, "--port", str(port), "--policies", str(tmp_path / "mine")) as started:
        assert f"127.0.0.1:{port}" == started.facts["address"]
        assert not (state / "policies").exists()
