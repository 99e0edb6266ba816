"""Two services on one database; a stop, a certificate, a bundle and a collector under load."""

import contextlib
import signal
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults import LinkedService, StartWorld, World, prove
from tests.support.service import new_key, wait_until
from vault.client import TokenizeOutcome, VaultCallError
from vault.embedded import pki
from vault.embedded.certificates import issue
from vault.embedded.files import write_file


@contextlib.contextmanager
def second_service(world: World, folder: Path) -> Iterator[World]:
    """Another process of the same service, on the same database."""
    folder.chmod(0o700)
    second = LinkedService(world.instance, world.service.urls, folder, "")
    second.postgres_port = world.postgres.port
    second.changes = world.service.changes  # type: ignore[attr-defined]
    try:
        second.start()
        yield World(world.instance, second, world.postgres, world.transit)
    finally:
        second.stop()
        second.database.close()


def test_two_services_on_one_database(world: World, tmp_path: Path) -> None:
    """New subjects and idempotency keys that meet: one handle, one effect."""
    with second_service(world, tmp_path) as other:
        for _ in range(10):
            subjects = [(new_key(), {"phone": "13800000001"}) for _ in range(5)]
            key = new_key()
            same: list[TokenizeOutcome] = []
            apart: list[TokenizeOutcome] = []
            calls = [(at, subjects, key, same) for at in (world, other)] * 2
            calls += [(at, subjects, new_key(), apart) for at in (world, other)]
            threads = [threading.Thread(target=_write, args=call) for call in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert (4, 2) == (len(same), len(apart))
            assert 1 == len({str([each.tokens for each in one.subjects]) for one in same})
        database = world.service.database
        assert 50 == database.value("select count(*) from subjects")
        assert 50 == database.value("select count(*) from subject_refs")
        assert 10 * 3 * 5 == database.value("select count(*) from tokens")
        assert 10 * 3 == database.value("select count(*) from writes")
        prove(world, [])
        prove(other, [])


def _write(
    at: World, subjects: list[tuple[str, dict[str, str]]], key: str, found: list[TokenizeOutcome]
) -> None:
    with at.client("order") as order:
        found.append(order.tokenize(subjects, idempotency_key=key))


def test_graceful_stop_under_load(world: World) -> None:
    """Calls at work end well, the others are turned away, nothing is lost, the exit code is 0."""
    with world.load(timeout=5.0) as load:
        load.wait_for(50)
        began = time.monotonic()
        assert 0 == world.service.stop()
        assert time.monotonic() - began < 12
        world.service.start()
        load.wait_for(20, after=sum(each["ok"] for each in load.attempts()))
    prove(world, load.attempts())
    failed = [each for each in load.attempts() if not each["ok"]]
    # CANCELLED is the transport's own word for a call that it had not handed over yet.
    turned_away = [each for each in failed if each["status"] == "UNAVAILABLE"]
    dropped = [each for each in failed if each["status"] == "CANCELLED" and not each["call_id"]]
    assert len(failed) == len(turned_away) + len(dropped)
    assert {each["reason"] for each in turned_away} <= {"SHUTTING_DOWN", "NONE"}


class ImpatientService(LinkedService):
    """Gives the calls at work less time to end than they may take."""

    def config(self, port: int) -> str:
        return super().config(port).replace("[server]", "[server]\ndrain_seconds = 0.5")


def test_stop_cuts_off_what_does_not_end(start_world: StartWorld) -> None:
    """A call that hangs beyond the drain time is cut off, and its entry is written all the same."""
    with start_world(kind=ImpatientService) as world:
        tokens = list(world.seed(1))
        world.service.database.execute("begin; lock table tokens in access exclusive mode")
        traces = [f"{number:032x}" for number in range(1, 21)]
        errors: list[VaultCallError] = []

        def read(trace: str) -> None:
            with world.client("shipping", timeout=30) as shipping:
                try:
                    shipping.detokenize("delivery", tokens, traceparent=f"00-{trace}-{'1' * 16}-01")
                except VaultCallError as failure:
                    errors.append(failure)

        threads = [threading.Thread(target=read, args=(trace,)) for trace in traces]
        for thread in threads:
            thread.start()
        time.sleep(1)
        assert 0 == world.service.stop()
        for thread in threads:
            thread.join()
        world.service.database.execute("rollback")
        assert 20 == len(errors)
        found = [entry.trace_id.hex() for entry in world.service.database.entries()]
        assert traces == sorted(trace for trace in found if trace in traces)


def test_certificate_rotated_on_disk(world: World) -> None:
    """New connections get the new certificate by themselves; half a replacement does no harm."""
    authority = world.instance.pki
    files = authority.files(pki.SERVICE)
    before = _served(world)
    fresh = issue(authority.leaf(pki.SERVICE), authority.authority())
    with world.load() as load:
        load.wait_for(10)
        write_file(files.certificate, fresh.certificate_pem, mode=0o644)
        assert before == _served(world)  # certificate and key do not fit each other yet
        assert world.works()
        write_file(files.key, fresh.key_pem)
        wait_until(
            lambda: _served(world) == fresh.certificate_pem.decode(),
            seconds=5,
            text="the old certificate is served on",
        )
        write_file(files.key, b"-----BEGIN PRIVATE KEY-----\nhalf")
        assert world.works()
        write_file(files.key, fresh.key_pem)
        assert world.works()
        load.wait_for(10, after=sum(each["ok"] for each in load.attempts()))
    assert [] == [each for each in load.attempts() if not each["ok"]]


def _served(world: World) -> str:
    """The certificate that a new connection is shown, PEM."""
    context = ssl.create_default_context(cafile=str(world.instance.pki.authority_file))
    order = world.clients / "order"
    context.load_cert_chain(order / "tls.crt", order / "tls.key")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", world.service.port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")


def test_broken_bundle_under_load(world: World) -> None:
    """SIGHUP with rules that don't hold: the old ones decide on, and no call fails."""
    rules = world.service.policies / "reveal.cedar"
    good = rules.read_bytes()
    digest = _digest(world)
    with world.load() as load:
        load.wait_for(20)
        for broken in (b"permit (", b"", good[: len(good) // 2]):
            rules.write_bytes(broken)
            world.service.signal(signal.SIGHUP)
            time.sleep(0.5)
            assert digest == _digest(world)
        rules.write_bytes(good + b"\n// another comment\n")
        world.service.signal(signal.SIGHUP)
        wait_until(lambda: _digest(world) != digest, seconds=5, text="the bundle did not change")
        load.wait_for(20, after=sum(each["ok"] for each in load.attempts()))
    assert [] == [each for each in load.attempts() if not each["ok"]]
    assert b"bundle.refused" in world.service.log.read_bytes()


def _digest(world: World) -> str:
    with world.client("auditor") as auditor:
        return auditor.get_bundle().digest


@pytest.mark.parametrize("collector", ["down", "black hole"])
def test_collector_out_of_order(start_world: StartWorld, collector: str) -> None:
    """Calls are as quick as without one, and the service still ends within five seconds."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if collector == "black hole":
            listener.listen(1)  # accepts, and never answers
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"

        class TracedService(LinkedService):
            def config(self, port: int) -> str:
                line = f'[telemetry]\notlp_endpoint = "{endpoint}"'
                return super().config(port).replace("[telemetry]", line)

        with start_world() as plain, start_world(kind=TracedService) as world:
            for each in (plain, world):
                _median(each, 20)  # warm
            pairs = [(_median(plain, 50), _median(world, 50)) for _ in range(3)]
            without, with_collector = (min(side) for side in zip(*pairs, strict=True))
            assert with_collector < 1.5 * without + 0.002
            with world.load() as load:
                load.wait_for(200)
            assert [] == [each for each in load.attempts() if not each["ok"]]
            began = time.monotonic()
            assert 0 == world.service.stop()
            assert time.monotonic() - began < 5.5


def _median(world: World, count: int) -> float:
    tokens = list(world.seed(1))
    seconds = []
    with world.client("shipping") as shipping:
        for _ in range(count):
            began = time.monotonic()
            shipping.detokenize("delivery", tokens)
            seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def test_idle_connections_and_greedy_batches(world: World) -> None:
    """Two hundred idle connections and clients with huge batches starve nobody."""
    tokens = list(world.seed(100))
    alone = _median(world, 100)
    idle = []
    greedy = threading.Event()

    def devour() -> None:
        with world.client("shipping", timeout=30, attempts=10) as shipping:
            while not greedy.is_set():
                shipping.detokenize("delivery", tokens * 10)

    try:
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", world.service.port), timeout=5)
            idle.append(connection)
        assert world.works()
        eaters = [threading.Thread(target=devour) for _ in range(3)]
        for eater in eaters:
            eater.start()
        time.sleep(0.5)
        beside = _median(world, 30)
        greedy.set()
        for eater in eaters:
            eater.join()
    finally:
        greedy.set()
        for connection in idle:
            connection.close()
    assert beside < alone + 0.5
    assert world.works()
