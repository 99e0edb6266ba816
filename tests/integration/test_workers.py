"""`pdvault serve` with two workers: one port, replaced without a failed call, never left behind."""

import json
import os
import secrets
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.pdvault_up import run, start, up
from tests.support.ports import children
from vault.client import VaultClient
from vault.embedded.ports import free_port
from vault.telemetry.span_file import read_spans

READY_S = 60


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with up(tmp_path_factory.mktemp("workers") / "state") as started:
        yield started


@pytest.fixture
def config(running):
    written = Path(running.facts["config"])
    path = written.with_name("workers.toml")
    port = running.facts["address"].rpartition(":")[2]
    path.write_text(
        written.read_text().replace(f"port = {port}", f"port = {free_port()}\nworkers = 2", 1)
    )
    yield path
    path.unlink()


class Served:
    """A running supervisor."""

    def __init__(self, process, config, certs):
        self.process = process
        self.address = f"127.0.0.1:{port_of(config)}"
        self._certs = certs
        self.events = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def client(self, name="auditor"):
        return VaultClient.from_directory(Path(self._certs) / name, self.address, timeout=20)

    def workers(self):
        return sorted(children(self.process.pid))

    def wait(self, holds, what):
        deadline = time.monotonic() + READY_S
        while not holds():
            assert self.process.poll() is None, self.events
            assert time.monotonic() < deadline, f"{what} in {self.events}"
            time.sleep(0.05)

    def count(self, event):
        return sum(each.get("event") == event for each in list(self.events))

    def _read(self):
        for line in self.process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.events.append({"text": line})


@contextmanager
def serve(config, running):
    process = start("serve", "--config", str(config))
    served = Served(process, config, running.facts["certs"])
    try:
        served.wait(lambda: served.count("service.listening") == 3, "two workers and the whole")
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_S)
        served._reader.join(5)
        process.stdout.close()
        process.stderr.close()


def port_of(config):
    return config.read_text().partition("port = ")[2].partition("\n")[0]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_workers_are_replaced_in_turn_and_no_call_fails(config, running):
    with serve(config, running) as served:
        before = served.workers()
        assert 2 == len(before)
        failed, done, stop = [], [], threading.Event()

        def call():
            while not stop.is_set():
                # A connection each, so that both workers get some.
                try:
                    with served.client() as vault:
                        vault.get_bundle()
                    done.append(1)
                except Exception as error:  # noqa: BLE001  all of them count
                    failed.append(error)

        callers = [threading.Thread(target=call) for _ in range(2)]
        for caller in callers:
            caller.start()
        served.process.send_signal(signal.SIGUSR2)
        served.wait(lambda: served.count("worker.replaced") == 2, "both replaced")
        stop.set()
        for caller in callers:
            caller.join(30)
        after = served.workers()
        assert ([], 2) == (failed, len(after))
        assert not set(before) & set(after)
        assert len(done) > 10
    assert 0 == served.process.returncode
    assert not any(is_alive(pid) for pid in after)


def test_every_worker_puts_its_spans_into_the_one_file(config, running):
    spans = Path(running.facts["config"]).with_name("spans.jsonl")
    with serve(config, running) as served:
        traces = [secrets.token_hex(16) for _ in range(12)]
        for trace in traces:  # a connection each, so that both workers get some
            with served.client() as vault:
                vault.get_bundle(traceparent=f"00-{trace}-{secrets.token_hex(8)}-01")
    assert all(read_spans(spans, trace) for trace in traces)


def test_a_worker_that_dies_is_started_again(config, running):
    with serve(config, running) as served:
        victim, other = served.workers()
        os.kill(victim, signal.SIGKILL)
        served.wait(
            lambda: len(served.workers()) == 2 and victim not in served.workers(), "a new worker"
        )
        served.wait(lambda: served.count("service.listening") == 4, "it listens")
        assert other in served.workers()
        with served.client() as vault:
            assert vault.get_bundle().digest


def test_the_policies_are_read_again_by_every_worker(config, running):
    with serve(config, running) as served:
        served.process.send_signal(signal.SIGHUP)
        served.wait(lambda: served.count("bundle.loaded") == 2, "both have read them")


def test_workers_end_with_a_supervisor_that_was_killed(config, running):
    with serve(config, running) as served:
        workers = served.workers()
        served.process.kill()
        deadline = time.monotonic() + 30
        while any(is_alive(pid) for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_port_that_somebody_has_is_refused(config, running):
    config.write_text(
        config.read_text().replace(port_of(config), running.facts["address"].rpartition(":")[2], 1)
    )
    done = run("serve", "--config", str(config))
    assert (1, "") == (done.returncode, done.stdout)
    assert "can't listen on 127.0.0.1:" in done.stderr


def test_what_one_worker_refuses_ends_all(config, running):
    config.write_text(config.read_text().replace("pdvault_service.url", "pdvault_owner.url"))
    done = run("serve", "--config", str(config))
    assert 1 == done.returncode
    assert "refused to start: the database is unsafe" in done.stderr
