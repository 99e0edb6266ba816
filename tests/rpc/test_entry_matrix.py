"""Every RPC, every way to prove who calls, every outcome: exactly one entry per subject concerned.

The cells are made from the protos and `tests.support.entry_matrix`. Each call has a trace id of
its own, by which its entries are found in the database whatever became of the call. Real
outages of what the service stands on are in `tests/fault`.
"""

import contextlib
import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf import json_format, message_factory
from grpc_health.v1 import health_pb2

from tests.support import bearer_tokens, calls
from tests.support.bearer_tokens import claims
from tests.support.calls import Answer
from tests.support.entry_matrix import (
    ENDED_JOB,
    PAUSED_JOB,
    ROWS,
    Expected,
    Outcome,
    Row,
    every_rpc,
)
from tests.support.erasures import erased
from tests.support.rpc_cases import VALUES, Seeds, seed
from tests.support.service import StartService, VaultService, new_key, spiffe_id, wait_until
from tests.support.service_bundle import CONSOLE, DOMAIN, person
from vault.audit.entry import Entry
from vault.model import Authentication
from vault.policy import Bundle, load_bundle

_RPCS = every_rpc()
_MTLS, _JWT, _NONE = Authentication.MTLS, Authentication.JWT, Authentication.NONE
_IN_FLIGHT = 4
"""Of one caller, at most: half of all places."""
_TAIL = "vault.v1.AuditService/TailEntries"
_DETOKENIZE = "vault.v1.TokenService/Detokenize"
_TOKENIZE = "vault.v1.TokenService/Tokenize"
_MALFORMED = b"\x0a\xff"
_UNKNOWN_FIELD = b"\xd0\x06\x01"
_TOO_LARGE = b"\x0a" * 3_000_000


@dataclass(slots=True)
class _World:
    """The service, and which entries the calls so far must have left."""

    service: VaultService
    seeds: Seeds
    nobody: grpc.Channel
    bundle: Bundle
    entries: Counter[str] = field(default_factory=Counter)

    def name(self, entry: Entry) -> str:
        known = {handle: name for name, handle in self.seeds.subjects.items()}
        return "" if entry.subject_id is None else known.get(entry.subject_id.hex, "new")

    def found(self, trace: str) -> list[Entry]:
        """Every entry of a trace."""
        return self.service.database.entries_of_trace(bytes.fromhex(trace))


@pytest.fixture(scope="module")
def world(start_service: StartService) -> Iterator[_World]:
    extra = f"\n[limits]\nin_flight_calls = {2 * _IN_FLIGHT}\n"
    with start_service(extra, prepare=_add_callers) as service:
        first = seed(service)
        with service.recording() as entries:
            second = service.tokenize(VALUES, ref="seed-second")
        handle = entries[0].subject_id
        assert handle is not None
        gone = service.tokenize(VALUES, ref="seed-gone")
        erasure = erased(service, token=gone["phone"])
        seeds = Seeds(
            first.tokens
            | {"second": second, "gone": gone | {"erasure": erasure.erasure_id}}
            | _add_acts(service),
            first.subjects | {"second": handle.hex, "gone": erasure.subject_id},
        )
        nobody = service.open_channel(service.certificate("", uris=()))
        world = _World(service, seeds, nobody, load_bundle(service.policies))
        wait_until(
            lambda: service.database.value("select count(*) from audit_checkpoints") > 0,
            seconds=20,
            text="no checkpoint was signed",
        )
        _add_jobs(service)
        world.entries += Counter(each.trace_id.hex() for each in service.database.entries())
        yield world
        nobody.close()


def _add_acts(service: VaultService) -> dict[str, dict[str, str]]:
    """Requests of custodian-2 and their digests, by name: `taken` is approved by the other's."""
    found: dict[str, dict[str, str]] = {}
    for name in ("act", "people_act", "open", "withdrawn", "taken"):
        asked = {
            "act": {"widen_policy": {"bundle_digest": "cd" * 32}},
            "cause": "policy_change",
            "idempotency_key": new_key(),
        }
        by = "policy-owner" if name == "taken" else "custodian-2"
        request = service.call("RequestAct", asked, caller=by).read("RequestAct").request
        found[name] = {"id": request.request_id, "digest": request.digest}
    taken = {"request_id": found["taken"]["id"], "request_digest": found["taken"]["digest"]}
    assert "OK" == service.call("ApproveAct", taken, caller="custodian-2").code
    gone = {"request_id": found["withdrawn"]["id"]}
    assert "OK" == service.call("WithdrawAct", gone, caller="custodian-2").code
    return found


def _add_callers(service: VaultService) -> None:
    """People with an auditor's and a policy owner's role, and callers whom only policy refuses."""
    path = service.policies / "callers.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    document["callers"] |= {
        person("dora"): {"tenant": "demo-shop", "roles": ["auditor"]},
        person("paul"): {"tenant": "demo-shop", "roles": ["policy_owner"]},
        person("kim"): {"tenant": "demo-shop", "roles": ["custodian"]},
    }
    for ids in document["services"].values():
        ids += [each for each in (CONSOLE,) if each not in ids]
    keepers = [person("dora"), person("paul")]
    document["services"]["vault.v1.AuditService"] += keepers
    document["services"]["vault.v1.KeyService"] += [
        person("kim"),
        person("paul"),
        person("bob"),
        f"{DOMAIN}/shop/order",
    ]
    document["callers"][person("nora")] = {"tenant": "demo-shop", "roles": ["privacy"]}
    document["services"]["vault.v1.SubjectService"] += [
        person("nora"),
        person("bob"),
        f"{DOMAIN}/shop/order",
    ]
    document["services"]["vault.v1.PolicyService"] += [
        *keepers,
        person("bob"),
        f"{DOMAIN}/shop/order",
    ]
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))


def _add_jobs(service: VaultService) -> None:
    """Two jobs that nobody works on."""
    for job_id, state in ((PAUSED_JOB, "paused"), (ENDED_JOB, "done")):
        service.database.execute(
            "insert into key_jobs (job_id, tenant, kind, key_name, from_version, to_version, cause,"
            " state, rows_per_second, started_by, ended_at) values ($1, 'demo-shop', 'subject',"
            " 'subjects', 1, 2, 'scheduled', $2::text, 0, 'test',"
            " case when $2::text = 'done' then now() end)",
            uuid.UUID(hex=job_id),
            state,
        )


# --- A cell -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who calls and what the entry says of it.

    Attributes:
        channel: the client's name; empty for a certificate without an identity.
        bearer: the person carried.
        shown: the identity in the entry.
    """

    channel: str
    authentication: Authentication
    shown: str
    bearer: str = ""


def _caller(name: str, authentication: Authentication) -> _Caller:
    if authentication is _JWT:
        return _Caller("console", _JWT, person(name), name)
    if authentication is _MTLS:
        return _Caller(name, _MTLS, spiffe_id(name))
    return _Caller("", _NONE, "")


def _begin(world: _World, rpc: str, data: bytes, caller: _Caller, **more: Any) -> tuple[str, Any]:
    """Sends a call; its trace id, and the call."""
    trace = uuid.uuid4().hex
    metadata = [("traceparent", f"00-{trace}-{'1' * 16}-00")]
    if caller.bearer:
        now = int(time.time())
        token = bearer_tokens.token(body=claims(sub=caller.bearer, iat=now - 5, exp=now + 300))
        metadata.append(("authorization", f"Bearer {token}"))
    channel = world.service.channel(caller.channel) if caller.channel else world.nobody
    if not _RPCS[rpc].server_streaming:
        return trace, calls.begin(channel, f"/{rpc}", data, metadata=metadata, **more)
    method = channel.unary_stream(f"/{rpc}", request_serializer=None, response_deserializer=None)
    more = {"timeout": 20.0} | more
    return trace, method(data, metadata=metadata, **more)


def _end(rpc: str, call: Any) -> Answer:
    """Waits for the end of a call, and reads a stream to it."""
    if _RPCS[rpc].server_streaming:
        with contextlib.suppress(grpc.RpcError):
            for _ in call:
                pass
        if call.code() is grpc.StatusCode.CANCELLED:
            return Answer("CANCELLED", "", b"", None, ())
    return calls.end(call)


def _data(world: _World, rpc: str, request: Any) -> bytes:
    kind = message_factory.GetMessageClass(_RPCS[rpc].input_type)
    return json_format.ParseDict(world.seeds.expand(request), kind()).SerializeToString()


def _call(world: _World, rpc: str, data: bytes, caller: _Caller) -> tuple[str, Answer]:
    """A call to its end; one that has none is left once its entry is there."""
    trace, call = _begin(world, rpc, data, caller)
    if rpc == _TAIL:
        wait_until(
            lambda: call.done() or bool(world.found(trace)), seconds=20, text="no entry came"
        )
        if [each.reason.name for each in world.found(trace)] == ["NONE"]:
            call.cancel()
    return trace, _end(rpc, call)


def _check(
    world: _World,
    rpc: str,
    trace: str,
    caller: _Caller,
    expected: Sequence[Expected],
    *,
    call_id: str = "",
) -> None:
    """The entries of a call are these, each of them complete."""
    found = world.found(trace)
    world.entries[trace] = len(found)
    shown = [
        Expected(
            verdict=entry.verdict.name,
            reason=entry.reason.name,
            subject=world.name(entry),
            items=tuple((i.field_type, i.verdict.name, i.reason.name) for i in entry.items),
            field=entry.field,
            purpose=entry.purpose,
        )
        for entry in found
    ]
    assert sorted(expected, key=repr) == sorted(shown, key=repr)
    assert len(found) == len({(entry.subject_id, entry.call_id) for entry in found})
    bundle = world.bundle
    known = bundle.caller(caller.shown)
    assert 1 == len({entry.call_id for entry in found})
    for entry in found:
        assert rpc == entry.rpc
        assert (caller.shown, caller.authentication) == (entry.caller, entry.authentication)
        # Whom the vault does not know is the concern of the tenant whose console carried the token.
        nobody = "demo-shop" if entry.authentication is _JWT else ""
        assert (known.tenant if known else nobody) == entry.tenant
        assert (known.roles if known else ()) == entry.roles
        assert bundle.digest == entry.bundle_digest
        assert any(entry.span_id)
        assert abs(entry.time_us / 1e6 - time.time()) < 60
        if call_id:
            assert call_id == entry.call_id.hex
        for item in entry.items:
            is_named = rpc.endswith("/Detokenize") or item.verdict.name == "ALLOWED"
            is_token = is_named and item.reason.name != "TOKEN_MALFORMED"
            assert (32 if is_token else 0) == len(item.token_digest)
            assert bool(item.policies) or item.verdict.name != "ALLOWED"


def _call_id(rpc: str, answer: Answer) -> str:
    if answer.code != "OK" or _RPCS[rpc].server_streaming:
        return answer.call_id
    kind = message_factory.GetMessageClass(_RPCS[rpc].output_type)
    return str(kind.FromString(answer.data).call_id)


def _run(
    world: _World,
    rpc: str,
    data: bytes,
    caller: _Caller,
    expected: Sequence[Expected],
    *,
    reason: str,
) -> None:
    trace, answer = _call(world, rpc, data, caller)
    if reason == "NONE":
        assert ("CANCELLED" if rpc == _TAIL else "OK") == answer.code, answer.text
    else:
        assert reason == answer.reason, answer.text
    _check(world, rpc, trace, caller, expected, call_id=_call_id(rpc, answer))


# --- The matrix ---------------------------------------------------------------------------


def test_every_rpc_has_a_row() -> None:
    """Whoever adds an RPC says here what the log must hold of it."""
    assert set(_RPCS) == set(ROWS)


def test_every_way_to_authenticate_is_in_the_matrix() -> None:
    assert {_NONE, _MTLS, _JWT} == set(Authentication)


_CELLS = [
    (rpc, authentication, name)
    for rpc, row in ROWS.items()
    for authentication in (_MTLS, _JWT)
    for name in sorted(row.outcomes(authentication))
]


@pytest.mark.parametrize(("rpc", "authentication", "name"), _CELLS)
def test_outcome(world: _World, rpc: str, authentication: Authentication, name: str) -> None:
    row = ROWS[rpc]
    outcome: Outcome = row.outcomes(authentication)[name]
    who = row.may_not if name == "refused" else row.may
    caller = _caller(who.name(authentication), authentication)
    if outcome.before is not None:
        trace, answer = _call(world, rpc, _data(world, rpc, outcome.before), caller)
        assert "OK" == answer.code
        world.entries[trace] = 1
    data = _data(world, rpc, outcome.request)
    _run(world, rpc, data, caller, outcome.entries, reason=outcome.reason)


_BYTES = {
    "malformed": ("REQUEST_MALFORMED", lambda _: _MALFORMED),
    "unknown field": ("FIELD_UNKNOWN", lambda good: good + _UNKNOWN_FIELD),
    "too large": ("REQUEST_TOO_LARGE", lambda _: _TOO_LARGE),
}


@pytest.mark.parametrize("kind", _BYTES)
@pytest.mark.parametrize("authentication", [_MTLS, _JWT])
@pytest.mark.parametrize("rpc", ROWS)
def test_bytes(world: _World, rpc: str, authentication: Authentication, kind: str) -> None:
    reason, make = _BYTES[kind]
    row = ROWS[rpc]
    caller = _caller(row.may.name(authentication), authentication)
    data = make(_data(world, rpc, row.outcomes(authentication)["good"].request))
    _run(world, rpc, data, caller, [Expected("INVALID", reason, field="request")], reason=reason)


_STRANGERS = {
    "unknown service": (_caller("stranger", _MTLS), "CALLER_UNKNOWN"),
    "service on no list": (_caller("unlisted", _MTLS), "SERVICE_NOT_PERMITTED"),
    "no identity": (_caller("", _NONE), "CERTIFICATE_INVALID"),
    # Whose token verifies is named, even if the vault does not know the person.
    "unknown person": (_Caller("console", _JWT, person("mallory"), "mallory"), "CALLER_UNKNOWN"),
    "person on no list": (
        _Caller("console", _JWT, person("carol"), "carol"),
        "SERVICE_NOT_PERMITTED",
    ),
    "over a service that carries nobody": (
        _Caller("order", _MTLS, spiffe_id("order"), "alice"),
        "",
    ),
}


@pytest.mark.parametrize("payload", ["good", "malformed", "too large"])
@pytest.mark.parametrize("who", _STRANGERS)
@pytest.mark.parametrize("rpc", ROWS)
def test_strangers(world: _World, rpc: str, who: str, payload: str) -> None:
    """Who is not let in leaves the same entry, whatever it sends."""
    caller, reason = _STRANGERS[who]
    if not reason:
        listed = world.bundle.permits_service(caller.shown, rpc.partition("/")[0])
        reason = "BEARER_INVALID" if listed else "SERVICE_NOT_PERMITTED"
    good = _data(world, rpc, ROWS[rpc].good.request)
    data = {"good": good, "malformed": _MALFORMED, "too large": _TOO_LARGE}[payload]
    _run(world, rpc, data, caller, [Expected("REFUSED", reason)], reason=reason)


# --- Calls that are cut short -------------------------------------------------------------


@contextlib.contextmanager
def _locked(world: _World, table: str) -> Iterator[None]:
    database = world.service.database
    database.execute(f"begin; lock table {table} in access exclusive mode")
    try:
        yield
    finally:
        database.execute("rollback")


def _waiting(world: _World) -> int:
    """Statements of the service (not of the sequencer) that wait for a lock."""
    database = world.service.database
    database.value("select pg_stat_clear_snapshot()")  # else the lock's transaction sees the first
    found = database.value(
        "select count(*) from pg_locks join pg_stat_activity using (pid)"
        " where not granted and usename not like '%sequencer%'"
    )
    return int(found)


def _check_arrived(world: _World, caller: _Caller) -> None:
    """What was sent before on the caller's connection has come; what waits may be housekeeping."""
    channel = world.service.channel(caller.channel) if caller.channel else world.nobody
    data = health_pb2.HealthCheckRequest().SerializeToString()
    assert calls.call(channel, "/grpc.health.v1.Health/Check", data).code == "OK"


def _cut(row: Row, entries: Sequence[Expected], reason: str) -> list[Expected]:
    """What the entries of a good call become when it is cut before it is recorded."""
    items = [item for entry in entries for item in entry.items]
    known = [name if row.knows_types else "" for name, _, _ in items]
    return [
        Expected(
            "FAILED",
            reason,
            items=tuple((name, "FAILED", reason) for name in known),
            purpose=entries[0].purpose,
        )
    ]


@pytest.mark.parametrize("how", ["CANCELLED", "DEADLINE_EXCEEDED"])
@pytest.mark.parametrize("authentication", [_MTLS, _JWT])
@pytest.mark.parametrize("rpc", ROWS)
def test_cut_short(world: _World, rpc: str, authentication: Authentication, how: str) -> None:
    row = ROWS[rpc]
    good = row.outcomes(authentication)["good"]
    caller = _caller(row.may.name(authentication), authentication)
    data = _data(world, rpc, good.request)
    with _locked(world, row.waits_at):
        timeout = 1.0 if how == "DEADLINE_EXCEEDED" else 20.0
        trace, call = _begin(world, rpc, data, caller, timeout=timeout)
        wait_until(lambda: _waiting(world) > 0, seconds=5, text="the call did not come to wait")
        _check_arrived(world, caller)
        if how == "CANCELLED":
            call.cancel()
        answer = _end(rpc, call)
        assert how == answer.code
        time.sleep(0.1)
    wait_until(lambda: bool(world.found(trace)), seconds=10, text="no entry came")
    # Which of them came first (the deadline, the caller's leaving, the log) is left to chance.
    reason = world.found(trace)[0].reason.name
    assert reason in {how, "CANCELLED"} | ({"NONE"} if row.is_recorded_first else set())
    expected = good.entries if reason == "NONE" else _cut(row, good.entries, reason)
    _check(world, rpc, trace, caller, expected)


@pytest.mark.parametrize("authentication", [_MTLS, _JWT])
@pytest.mark.parametrize("rpc", ROWS)
def test_overload(world: _World, rpc: str, authentication: Authentication) -> None:
    """With as many calls at work as may be, one more is turned away; all of them are recorded."""
    row = ROWS[rpc]
    caller = _caller(row.may.name(authentication), authentication)
    data = _data(world, rpc, row.outcomes(authentication)["good"].request)
    # Half of the places for one caller, a quarter for each of two others: then all are taken.
    holders = [
        *[(_DETOKENIZE, _MTLS)] * _IN_FLIGHT,
        *[(_DETOKENIZE, _JWT)] * (_IN_FLIGHT // 2),
        *[(_TOKENIZE, _MTLS)] * (_IN_FLIGHT // 2),
    ]
    at_work = []
    with _locked(world, "tokens"):
        for held, how in holders:
            good = ROWS[held].outcomes(how)["good"]
            holder = _caller(ROWS[held].may.name(how), how)
            at_work.append(
                (held, holder, good, *_begin(world, held, _data(world, held, good.request), holder))
            )
            time.sleep(0.02)
        wait_until(lambda: _waiting(world) > 0, seconds=5, text="the calls did not come to wait")
        time.sleep(0.2)
        trace, call = _begin(world, rpc, data, caller)
        answer = _end(rpc, call)
    assert "OVERLOADED" == answer.reason
    _check(world, rpc, trace, caller, [Expected("FAILED", "OVERLOADED")], call_id=answer.call_id)
    for held, holder, good, held_trace, held_call in at_work:
        assert "OK" == _end(held, held_call).code
        _check(world, held, held_trace, holder, good.entries)


def test_at_once(world: _World) -> None:
    """Calls that share trips to the database keep their entries apart."""
    cells = [("vault.v1.TokenService/Detokenize", "shipping")] * _IN_FLIGHT
    barrier = threading.Barrier(len(cells))
    done: list[tuple[str, str, _Caller, Answer]] = []

    def work(rpc: str, name: str) -> None:
        caller = _caller(name, _MTLS)
        data = _data(world, rpc, ROWS[rpc].others["two subjects"].request)
        barrier.wait()
        for _ in range(5):
            trace, call = _begin(world, rpc, data, caller)
            done.append((rpc, trace, caller, _end(rpc, call)))

    threads = [threading.Thread(target=work, args=cell) for cell in cells]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cells) * 5 == len(done)
    for rpc, trace, caller, answer in done:
        expected = ROWS[rpc].others["two subjects"].entries
        _check(world, rpc, trace, caller, expected, call_id=_call_id(rpc, answer))


def test_nothing_else_is_in_the_log(world: _World) -> None:
    """No cell above got another entry later, and there is none that no call explains."""
    time.sleep(0.5)
    found = Counter(each.trace_id.hex() for each in world.service.database.entries())
    assert {} == dict((found - world.entries) + (world.entries - found))
    ids = [each.entry_id for each in world.service.database.entries()]
    assert len(ids) == len(set(ids))
    assert all(a < b for a, b in itertools.pairwise(ids))
