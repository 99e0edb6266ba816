"""Spans and metrics reach a real receiver; one that is ill costs dropped spans and nothing else."""

import contextlib
import datetime as dt
import ipaddress
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.otlp_receiver import OtlpReceiver
from vault.embedded.ports import free_port
from vault.errors import Reason
from vault.model import Verdict
from vault.telemetry import Telemetry, names
from vault.telemetry.kinds import Vocabulary

WORDS = Vocabulary(purposes=frozenset({"delivery"}), policies=frozenset({"shipping-delivery"}))
STAGES = (names.STAGE_DECODE, names.STAGE_IDENTIFY, names.STAGE_LOAD, names.STAGE_REPLY)
CALLER = "00-" + "a1" * 16 + "-" + "b2" * 8 + "-00"
LONGEST_CALL_S = 0.2  # what a call's side may ever wait; a loaded machine included


def start(endpoint: str, **more) -> Telemetry:
    return Telemetry(
        version="1.2.3",
        words=lambda: WORDS,
        otlp_endpoint=endpoint,
        trip_attributes={
            names.TRIP_POSTGRES_LOAD: {
                names.DB_SYSTEM: "postgresql",
                names.SERVER_ADDRESS: "127.0.0.1",
                names.SERVER_PORT: 5432,
            }
        },
        **more,
    )


def play(telemetry: Telemetry) -> None:
    call = telemetry.tracer.call(names.RPC_DETOKENIZE)
    for stage in STAGES:
        call.mark(stage)
    call.finish(0)


def play_for(telemetry: Telemetry, seconds: float) -> tuple[int, float]:
    """(spans made, the longest that a call took)."""
    made, longest = 0, 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = time.perf_counter()
        play(telemetry)
        longest = max(longest, time.perf_counter() - before)
        made += 1 + len(STAGES)
        time.sleep(0.002)
    return made, longest


def timed_close(telemetry: Telemetry) -> float:
    before = time.monotonic()
    telemetry.close()
    return time.monotonic() - before


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 2
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.02)
    assert set() == set(threading.enumerate()) - before


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_one_tree_with_links_arrives():
    with OtlpReceiver() as receiver:
        telemetry = start(receiver.endpoint, strict=True)
        first = telemetry.tracer.call(names.RPC_DETOKENIZE, CALLER)
        other = telemetry.tracer.call(names.RPC_TOKENIZE)
        for call in (first, other):
            call.mark(names.STAGE_DECODE)
            call.mark(names.STAGE_LOAD)
        shared = telemetry.tracer.trip(names.TRIP_POSTGRES_LOAD, [first, other])
        shared.finish(attributes={names.TRIP_ITEMS: 7})
        first.mark(names.STAGE_UNWRAP)
        alone = telemetry.tracer.trip(names.TRIP_TRANSIT_UNWRAP, [first])
        alone.finish(error=Reason.KEY_STORE_SEALED)
        first.finish(14, {names.PURPOSE: "delivery", names.REASON: "KEY_STORE_SEALED"})
        other.finish(0, {names.POLICIES: ("shipping-delivery",)})

        spans = receiver.await_spans(9)
        telemetry.close()

    assert len(spans) == 9
    by_id = {span["span_id"]: span for span in spans}
    assert len(by_id) == 9
    (root,) = [span for span in spans if span["name"] == names.RPC_DETOKENIZE]
    assert (root["trace_id"], root["parent_id"]) == ("a1" * 16, "b2" * 8)
    assert root["flags"] == 0x301  # sampled whatever the caller said; its parent is remote
    assert root["error"] == 2
    assert root["attributes"] == {
        "rpc.system.name": "grpc",
        "rpc.method": "vault.v1.TokenService/Detokenize",
        "rpc.response.status_code": "UNAVAILABLE",
        "pdvault.purpose": "delivery",
        "pdvault.reason": "KEY_STORE_SEALED",
    }
    assert {"service.name": "pdvault", "service.version": "1.2.3"}.items() <= root[
        "resource"
    ].items()
    stages = {span["name"]: span for span in spans if span["parent_id"] == root["span_id"]}
    assert {"decode", "load", "unwrap"} == set(stages)

    (trip,) = [span for span in spans if span["name"] == "postgres.load"]
    assert [[trip["trace_id"], trip["span_id"]]] == stages["load"]["links"]
    assert trip["parent_id"] == ""
    assert {"load"} == {by_id[span_id]["name"] for _, span_id in trip["links"]}
    assert len(trip["links"]) == 2
    assert trip["attributes"] == {
        "db.system.name": "postgresql",
        "server.address": "127.0.0.1",
        "server.port": 5432,
        "pdvault.trip.calls": 2,
        "pdvault.trip.items": 7,
    }

    (unwrap,) = [span for span in spans if span["name"] == "transit.unwrap"]
    assert stages["unwrap"]["span_id"] == unwrap["parent_id"]
    assert unwrap["attributes"]["error.type"] == "KEY_STORE_SEALED"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """(key file, certificate file) for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(minutes=10))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "key.pem", folder / "certificate.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files[0].write_bytes(pem)
    files[1].write_bytes(certificate.public_bytes(Encoding.PEM))
    return files


def test_spans_go_to_the_collector_that_the_ca_file_vouches_for_and_no_other(tmp_path: Path):
    tls = self_signed(tmp_path)
    (tmp_path / "other").mkdir(parents=True)
    _, stranger = self_signed(tmp_path / "other")
    with OtlpReceiver(tls=tls) as receiver:
        trusting = start(receiver.endpoint, otlp_ca_file=tls[1])
        play(trusting)
        trusting.close()
        assert len(receiver.await_spans(5)) == 5
        wary = start(receiver.endpoint, otlp_ca_file=stranger)
        play(wary)
        assert timed_close(wary) < 5
        assert sum(wary.dropped().values()) == 5
        assert len(receiver.spans()) == 5


def test_metrics_arrive():
    with OtlpReceiver() as receiver:
        telemetry = start(receiver.endpoint, metrics_interval_s=0.2)
        play(telemetry)
        telemetry.metrics.count_items(
            names.RPC_DETOKENIZE, Verdict.REFUSED, Reason.FIELD_NOT_IN_PURPOSE, 3
        )
        time.sleep(0.5)
        telemetry.close()
        receiver.await_spans(5)
        found = receiver.metrics()
    rpc = {"rpc": names.RPC_DETOKENIZE}
    assert [[rpc | {"code": 0}, 1]] == found[names.CALLS.name]["points"]
    assert ("histogram", [[rpc, 1]]) == (
        found[names.CALL_DURATION.name]["form"],
        found[names.CALL_DURATION.name]["points"],
    )
    assert [[rpc | {"verdict": "REFUSED", "reason": "FIELD_NOT_IN_PURPOSE"}, 3]] == found[
        names.VERDICTS.name
    ]["points"]
    assert found[names.ATTRIBUTES_DROPPED.name]["points"] == [[{}, 0]]


@pytest.mark.parametrize("illness", ["down", "black hole", "slow"])
def test_an_ill_receiver_costs_dropped_spans_only(illness: str):
    with contextlib.ExitStack() as stack:
        if illness == "down":
            endpoint = f"http://127.0.0.1:{free_port()}"
        elif illness == "black hole":
            endpoint = stack.enter_context(black_hole())
        else:
            endpoint = stack.enter_context(OtlpReceiver(delay_s=30)).endpoint
        telemetry = start(endpoint, span_queue=500)

        made, longest = play_for(telemetry, 5)

        assert longest < LONGEST_CALL_S
        assert 0 < sum(telemetry.dropped().values()) <= made
        assert timed_close(telemetry) < 5
        assert made == sum(telemetry.dropped().values())
        assert names.DROP_DEADLINE in {cause for (cause,) in telemetry.dropped()}


def test_a_full_queue_drops_and_memory_stays_flat():
    with black_hole() as endpoint:
        telemetry = start(endpoint, span_queue=100)
        for _ in range(2_000):
            play(telemetry)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(50_000):
            play(telemetry)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 32 * 1024  # KiB
        assert telemetry.dropped()[names.DROP_QUEUE_FULL,] > 100_000
        assert timed_close(telemetry) < 5
        assert sum(telemetry.dropped().values()) == 52_000 * 5


def test_a_receiver_that_comes_back_gets_spans_again():
    port = free_port()
    telemetry = start(f"http://127.0.0.1:{port}")
    play_for(telemetry, 4)
    lost = sum(telemetry.dropped().values())
    assert lost > 0
    with OtlpReceiver(port=port) as receiver:
        assert receiver.await_spans(5, seconds=10)
        before = len(receiver.spans())
        made, _ = play_for(telemetry, 1)
        assert timed_close(telemetry) < 5
        assert before + made <= len(receiver.await_spans(before + made))


def test_a_short_restart_loses_nothing():
    with OtlpReceiver() as receiver:
        telemetry = start(receiver.endpoint)
        made, _ = play_for(telemetry, 0.5)
        assert made == len(receiver.await_spans(made))
        port = receiver.port
    later, _ = play_for(telemetry, 0.5)
    with OtlpReceiver(port=port) as receiver:
        assert later == len(receiver.await_spans(later))
        assert sum(telemetry.dropped().values()) == 0
        telemetry.close()
