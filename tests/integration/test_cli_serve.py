"""`pdvault serve` and `pdvault migrate` on the servers of an embedded instance."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.pdvault_up import run, start, up
from vault.embedded.ports import free_port


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with up(tmp_path_factory.mktemp("serve") / "state") as started:
        yield started


@pytest.fixture
def config(running):
    """What `up` wrote, for another port; a file beside it, as its paths are relative."""
    written = Path(running.facts["config"])
    path = written.with_name("serve.toml")
    port = running.facts["address"].rpartition(":")[2]
    text = written.read_text().replace(f"port = {port}", f"port = {free_port()}", 1)
    path.write_text(text.replace('"spans.jsonl"', '"serve-spans.jsonl"'))
    yield path
    path.unlink()


def test_it_serves_reloads_and_drains(running, config):
    checked = run("serve", "--config", str(config), "--check")
    assert (0, "") == (checked.returncode, checked.stderr)
    assert ": sound; policies: sound, digest " in checked.stdout

    port = config.read_text().partition("port = ")[2].partition("\n")[0]
    remote = ("--address", f"127.0.0.1:{port}", "--client", f"{running.facts['certs']}/auditor")
    file = config.parent / "policies" / "purposes.yaml"
    sound = file.read_text()
    events = []

    def wait_for(event):
        for line in process.stderr:
            events.append(json.loads(line))
            if events[-1]["event"] == event:
                return events[-1]
        raise AssertionError(f"no {event} in {events}")

    with start("serve", "--config", str(config)) as process:
        try:
            wait_for("service.listening")
            assert "SERVING\n" == run("health", *remote).stdout
            file.write_text(sound + "broken: yes\n")
            process.send_signal(signal.SIGHUP)
            at = f"purposes.yaml:{sound.count(chr(10)) + 1}: "
            assert wait_for("bundle.refused")["file"].startswith(at)
            assert "SERVING\n" == run("health", *remote).stdout
        finally:
            file.write_text(sound)
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (0, "") == (process.returncode, out)
    for line in err.splitlines():
        json.loads(line)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('environment = "demo"', 'environment = "demo"\nspeed = 9', "server.speed"),
        ("[policy]", "[polices]", "is not a known section"),
        ("[policy]", "[policy", "is not TOML"),
        ('"https://', '"http://vault.example.org#', "transit.address"),
        ("secret_id_file", "#secret_id_file", "give either role_id_file and secret_id_file"),
        ("pdvault_audit_reader.url", "pdvault_service.url", "names the same user as url_file"),
        ("certs/service/tls.key", "certs/order/tls.key", "does not belong to the certificate"),
        ("certs/ca/ca.crt", "certs/order/tls.crt", "holds a certificate that is not a CA's"),
        ('client_ca = "', 'client_ca = "no-', "server.client_ca: no such file"),
        ('directory = "policies"', 'directory = "polices"', "policy.directory: no such directory"),
        ('"pdvault.example"', '"PDVAULT example"', "server.trust_domain"),
        ("[policy]", "[cache]\ngrace_seconds = 60\nmax_age_seconds = 30\n[policy]", "cache.grace"),
    ],
)
def test_an_unsafe_or_inconsistent_setting_is_refused(config, old, new, text):
    before = config.read_text()
    assert old in before
    config.write_text(before.replace(old, new))
    done = run("serve", "--config", str(config))
    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("pdvault: error: ")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_the_owners_login_is_too_mighty_for_the_service(config):
    config.write_text(config.read_text().replace("pdvault_service.url", "pdvault_owner.url"))
    done = run("serve", "--config", str(config))
    assert (1, "") == (done.returncode, done.stdout)
    assert "refused to start: the database is unsafe" in done.stderr
    assert "may create tables" in done.stderr


def test_a_secret_that_others_can_read_is_refused(config):
    copy = config.with_name("open.url")
    shutil.copy(config.parent / "postgres" / "pdvault_service.url", copy)
    copy.chmod(0o640)
    config.write_text(config.read_text().replace("postgres/pdvault_service.url", copy.name))
    done = run("serve", "--config", str(config), "--check")
    assert 1 == done.returncode
    assert "database.url_file: is open to group or others" in done.stderr
    assert "postgresql://" not in done.stderr


def test_a_key_store_that_is_not_there(config):
    address = config.read_text().partition('address = "https://')[2].partition('"')[0]
    config.write_text(config.read_text().replace(address, f"127.0.0.1:{free_port()}"))
    done = run("serve", "--config", str(config))
    assert 1 == done.returncode
    last = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert last[0].startswith("pdvault: error: KEY_STORE_UNAVAILABLE: ")
    assert last[1].startswith("hint: ")


def test_migrations_are_there_already(running):
    owner = running.facts["postgres_owner_url_file"]
    for options in (["--dry-run"], []):
        done = run("migrate", "--owner-url-file", owner, "--json", *options)
        assert (0, "") == (done.returncode, done.stderr)
        assert {"dry_run": bool(options), "migrations": []} == json.loads(done.stdout)
