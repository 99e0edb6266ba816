"""The witness protocol: wire format against the specification's examples, every status, HTTP."""

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.small_log import Signer, SmallLog
from tests.support.witness import SIZE_TYPE, Ledger
from vault.audit import witness_client
from vault.audit.checkpoint import open_checkpoint
from vault.audit.merkle import build_proof, consistency_plan
from vault.audit.note import KeyType, Note, parse_note
from vault.audit.tiles import tile_source
from vault.audit.witness import (
    MAX_ANSWER,
    Answer,
    Conflict,
    Cosigned,
    Fault,
    WitnessError,
    add_checkpoint_body,
    read_answer,
)
from vault.audit.witness_client import WitnessAddress, WitnessClient
from vault.telemetry import names

LOG = SmallLog.of(20)
WITNESS = Signer("witness.example/w1", KeyType.COSIGNATURE, seed=7)
OTHER = Signer("witness.example/w2", KeyType.COSIGNATURE, seed=8)

# C2SP tlog-witness, "add-checkpoint".
EXAMPLE = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""  # noqa: E501


def answer(status=200, body="", kind=""):
    return Answer(status, kind, body.encode())


def lines(*cosigners, text=None, time=1_700_000_000):
    body = LOG.note(20).text if text is None else text
    return "".join(str(one.sign(body, time)) for one in cosigners)


def fault(said: Answer) -> Fault:
    with pytest.raises(WitnessError) as caught:
        read_answer(said, LOG.note(20), WITNESS.key)
    return caught.value.fault


def prove(old, size):
    return build_proof(consistency_plan(old, size), tile_source(LOG.tiles(size).__getitem__, size))


async def prover(old, size):
    return prove(old, size)


def test_a_request_is_written_as_the_specification_shows():
    head, _, note = EXAMPLE.partition("\n\n")
    proof = [base64.b64decode(line) for line in head.split("\n")[1:]]
    assert EXAMPLE.encode() == add_checkpoint_body(20852014, proof, parse_note(note.encode()))


def test_a_first_request_has_no_proof():
    note = LOG.note(20)
    assert b"old 0\n\n" + bytes(note) == add_checkpoint_body(0, (), note)


@pytest.mark.parametrize("proof", [[bytes(32)] * 64, [bytes(31)]])
def test_what_is_no_proof_is_not_sent(proof):
    with pytest.raises(ValueError, match="not a consistency proof"):
        add_checkpoint_body(1, proof, LOG.note(20))


def test_the_cosignature_is_found_among_others():
    said = answer(body=lines(OTHER, WITNESS))
    found = read_answer(said, LOG.note(20), WITNESS.key)
    assert isinstance(found, Cosigned)
    assert 1_700_000_000 == found.timestamp
    note = Note(LOG.note(20).text, (*LOG.note(20).signatures, found.line))
    opened = open_checkpoint(bytes(note), LOG.keys, witnesses=[WITNESS.key], quorum=1)
    assert WITNESS.key == opened.witnesses[0].key


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(body=lines(OTHER)), Fault.BAD_SIGNATURE),
        (answer(body=lines(WITNESS, text="another\n")), Fault.BAD_SIGNATURE),
        (answer(body=lines(WITNESS) + lines(WITNESS, text="x\n")), Fault.BAD_SIGNATURE),
        (answer(body=lines(WITNESS, time=0)), Fault.BAD_SIGNATURE),
        (answer(body=""), Fault.MALFORMED),
        (answer(body="good\n"), Fault.MALFORMED),
        (answer(body=lines(WITNESS).rstrip()), Fault.MALFORMED),
        (answer(body="more text\n\n" + lines(WITNESS)), Fault.MALFORMED),
        (answer(body=lines(WITNESS) * 65), Fault.MALFORMED),
        (answer(400), Fault.MALFORMED),
        (answer(403), Fault.FORBIDDEN),
        (answer(404), Fault.UNKNOWN_LOG),
        (answer(422), Fault.INCONSISTENT),
        (answer(301), Fault.MALFORMED),
        (answer(204), Fault.MALFORMED),
        (answer(429), Fault.UNREACHABLE),
        (answer(500), Fault.UNREACHABLE),
        (answer(503), Fault.UNREACHABLE),
    ],
)
def test_every_other_answer_has_its_fault(said, expected):
    assert expected is fault(said)


@pytest.mark.parametrize("kind", [SIZE_TYPE, f"{SIZE_TYPE}; charset=utf-8", SIZE_TYPE.upper()])
def test_a_conflict_tells_the_size(kind):
    assert Conflict(0) == read_answer(answer(409, "0\n", kind), LOG.note(20), WITNESS.key)
    assert Conflict(17) == read_answer(answer(409, "17\n", kind), LOG.note(20), WITNESS.key)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("17\n", "text/plain"),
        ("17\n", ""),
        ("17", SIZE_TYPE),
        ("017\n", SIZE_TYPE),
        ("-1\n", SIZE_TYPE),
        ("+1\n", SIZE_TYPE),
        ("1\n\n", SIZE_TYPE),
        ("\n", SIZE_TYPE),
        ("²\n", SIZE_TYPE),
        ("9" * 19 + "\n", SIZE_TYPE),
        ("9" * 5000 + "\n", SIZE_TYPE),
    ],
)
def test_what_is_no_size_is_malformed(body, kind):
    assert Fault.MALFORMED is fault(answer(409, body, kind))


def test_telemetry_has_the_same_words():
    assert names.WITNESS_OUTCOMES == {"cosigned", *(each.value for each in Fault)}


# --- The test witness keeps the specification's rules ---------------------------------------


def test_the_rules_of_the_test_witness():
    ledger = Ledger(WITNESS, {LOG.origin: LOG.keys})

    def add(old, size, proof=(), note=None):
        return ledger.add_checkpoint(add_checkpoint_body(old, proof, note or LOG.note(size)))

    assert 400 == ledger.add_checkpoint(b"nonsense")[0]
    assert 409 == add(3, 10)[0]
    assert 422 == add(0, 10, [bytes(32)])[0]
    assert 200 == add(0, 10)[0]
    assert (409, SIZE_TYPE, b"10\n") == add(0, 20)
    assert 422 == add(10, 20, [bytes(32)] * len(prove(10, 20)))[0]
    assert 200 == add(10, 20, prove(10, 20))[0]
    assert 200 == add(20, 20)[0]
    assert 400 == add(20, 10)[0]
    assert 422 == add(20, 20, note=SmallLog.of(20, "marketing").note())[0]
    stranger = SmallLog(LOG.entries, origin="other.example/log")
    assert 404 == add(0, 5, note=stranger.note())[0]
    forger = SmallLog(LOG.entries, signer=Signer(seed=99))
    assert 403 == add(20, 20, note=forger.note())[0]


# --- Over HTTP ------------------------------------------------------------------------------


class Server:
    """HTTP on this machine; `reply` makes (status, content type, body) of a request's body."""

    def __init__(self, reply):
        self.reply = reply
        self.connections = 0
        self.paths = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                server.connections += 1

            def do_POST(self):
                server.paths.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, kind, data = server.reply(body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/prefix/"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def served(reply) -> Iterator[tuple[Server, WitnessClient]]:
    server = Server(reply)
    client = WitnessClient(WitnessAddress(server.url, WITNESS.key))
    try:
        yield server, client
    finally:
        client.close()
        client._thread.shutdown(wait=True)
        server.close()


async def test_it_learns_the_size_and_goes_on_over_one_connection(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    ledger = Ledger(WITNESS, {LOG.origin: LOG.keys})
    ledger.add_checkpoint(add_checkpoint_body(0, (), LOG.note(7)))
    with served(ledger.add_checkpoint) as (server, client):
        assert 7 == await client.probe(LOG.note(5), 5)
        for size in (9, 9, 20):
            await client.cosign(LOG.note(size), size, prover)
            assert size == client.size == ledger.latest[LOG.origin].size
        assert 1 == server.connections
        assert {"/prefix/add-checkpoint"} == set(server.paths)
        assert 4 == len(server.paths)


async def test_another_process_that_was_first_costs_one_more_request():
    ledger = Ledger(WITNESS, {LOG.origin: LOG.keys})
    with served(ledger.add_checkpoint) as (server, client):
        await client.cosign(LOG.note(5), 5, prover)
        ledger.add_checkpoint(add_checkpoint_body(5, prove(5, 9), LOG.note(9)))
        await client.cosign(LOG.note(20), 20, prover)
        assert 3 == len(server.paths)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (lambda _: (409, SIZE_TYPE, b"21\n"), Fault.AHEAD),
        (lambda _: (409, SIZE_TYPE, b"0\n"), Fault.MALFORMED),
        (lambda _: (422, "", b""), Fault.INCONSISTENT),
        (lambda _: (200, "", b"x" * (MAX_ANSWER + 1)), Fault.UNREACHABLE),
    ],
)
async def test_faults_over_http(reply, expected):
    with served(reply) as (_, client):
        with pytest.raises(WitnessError) as caught:
            await client.cosign(LOG.note(20), 20, prover)
        assert expected is caught.value.fault
        assert (21 if expected is Fault.AHEAD else 0) == caught.value.size


async def test_sizes_that_never_settle_end():
    sizes = iter(range(1, 20))
    with served(lambda _: (409, SIZE_TYPE, f"{next(sizes)}\n".encode())) as (server, client):
        with pytest.raises(WitnessError):
            await client.cosign(LOG.note(20), 20, prover)
        assert 3 == len(server.paths)


async def test_a_witness_that_is_slow_is_given_up_and_taken_up_again(monkeypatch):
    monkeypatch.setattr(witness_client, "_ANSWER_S", 0.3)
    ledger = Ledger(WITNESS, {LOG.origin: LOG.keys})
    released = threading.Event()

    def reply(body):
        released.wait(5)
        return ledger.add_checkpoint(body)

    with served(reply) as (_, client):
        began = time.monotonic()
        with pytest.raises(WitnessError) as caught:
            await client.cosign(LOG.note(20), 20, prover)
        assert Fault.UNREACHABLE is caught.value.fault
        assert time.monotonic() - began < 2
        released.set()
        await client.cosign(LOG.note(20), 20, prover)


async def test_a_witness_that_drips_is_given_up(monkeypatch):
    """One byte at a time never lets a socket's own timeout pass."""
    monkeypatch.setattr(witness_client, "_ANSWER_S", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while not stop.is_set():
                connection.sendall(b"H")
                time.sleep(0.05)

    thread = threading.Thread(target=drip)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = WitnessClient(WitnessAddress(url, WITNESS.key))
    try:
        began = time.monotonic()
        with pytest.raises(WitnessError):
            await client.cosign(LOG.note(20), 20, prover)
        assert time.monotonic() - began < 2
    finally:
        stop.set()
        client.close()
        client._thread.shutdown(wait=True)
        thread.join()
        listener.close()


async def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = WitnessClient(WitnessAddress(f"http://127.0.0.1:{port}", WITNESS.key))
    with pytest.raises(WitnessError) as caught:
        await client.probe(LOG.note(20), 20)
    assert Fault.UNREACHABLE is caught.value.fault
    client.close()
