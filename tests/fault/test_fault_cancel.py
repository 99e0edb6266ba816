"""Clients that leave, cancel or run out of time, at every point of a call: one account of each."""

import threading
import time
import uuid
from typing import Any

import grpc

from tests.support import calls
from tests.support.calls import RPCS
from tests.support.faults import World, check_once_per_subject, entries_by_call
from tests.support.service import new_key

_DELAYS_S = (0.0, 0.02, 0.1)


def test_one_account_of_each_call(world: World) -> None:
    """Each call has a trace id of its own, by which its entries are found whatever became of it."""
    tokens = list(world.seed(4))
    pending: dict[bytes, Any] = {}
    for delay in _DELAYS_S:
        world.postgres.delay_seconds = world.transit.delay_seconds = delay
        for number in range(40):
            trace = uuid.uuid4().bytes
            span = 0.002 + number * (0.004 + delay * 0.05)
            pending[trace] = _begin(world, trace, tokens, number)
            if number % 2:
                threading.Timer(span, pending[trace].cancel).start()
            time.sleep(0.01)
        for future in pending.values():
            calls.end(future)
    world.postgres.mend()
    world.transit.mend()
    world.wait_until_works()
    time.sleep(1)
    found: dict[bytes, list[Any]] = {}
    for entry in world.service.database.entries():
        found.setdefault(entry.trace_id, []).append(entry)
    reached = [trace for trace in pending if trace in found]
    for trace in reached:
        check_once_per_subject(found[trace])
        assert 1 == len({entry.call_id for entry in found[trace]})
    answered = {trace for trace, future in pending.items() if future.code() is grpc.StatusCode.OK}
    assert answered <= set(reached)
    reasons = {entry.reason.name for trace in reached for entry in found[trace]}
    assert {"NONE", "CANCELLED"} <= reasons
    # A call that was cancelled before it arrived is none; all others were seen.
    assert len(reached) > 0.8 * len(pending)


def _begin(world: World, trace: bytes, tokens: list[str], number: int) -> Any:
    request: dict[str, object]
    if number % 4 < 2:
        rpc, caller = "Detokenize", "shipping"
        request = {"purpose": "delivery", "items": [{"token": token} for token in tokens]}
    else:
        rpc, caller = "Tokenize", "order"
        fields = [{"field_type": "phone", "value": "13800000000"}]
        request = {
            "idempotency_key": new_key(),
            "subjects": [{"subject_ref": new_key(), "fields": fields} for _ in range(2)],
        }
    return calls.begin(
        world.service.channel(caller),
        RPCS[rpc].path,
        calls.message(rpc, request),
        metadata=(("traceparent", f"00-{trace.hex()}-{'1' * 16}-01"),),
        timeout=20 if number % 4 == 0 else 0.01 + number * 0.02,
    )


def test_client_disconnects(world: World) -> None:
    """A client process that dies in the middle leaves its entries, once."""
    world.postgres.delay_seconds = 0.05
    with world.load(writers=8, readers=8) as load:
        load.wait_for(10)
        load.kill9()
    world.postgres.mend()
    world.wait_until_works()
    time.sleep(1)
    by_call = entries_by_call(world.service.database.entries())
    for entries in by_call.values():
        check_once_per_subject(entries)
    assert "CANCELLED" in {e.reason.name for entries in by_call.values() for e in entries}
