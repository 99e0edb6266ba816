"""Acts that take two custodians: golden bytes, strict reading, nothing left out of the digest."""

import datetime as dt
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vault.crypto.signature import is_signed
from vault.keys.acts import (
    Act,
    ActFormatError,
    ActState,
    Approval,
    Asked,
    Destroy,
    Retire,
    StoredAct,
    Trim,
    Widen,
    approval_statement,
    decode_act,
    encode_act,
    from_us,
    idempotency_digest,
    to_us,
)

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "acts.json").read_text()
)
ACTS: dict[str, Act] = {
    "retire": Retire(2),
    "trim": Trim(2_147_483_647),
    "destroy": Destroy("demo-shop"),
    "widen": Widen(bytes(range(32))),
}


def asked(name: str) -> Asked:
    return Asked(
        request_id=uuid.UUID(hex=GOLDEN["request_id"]),
        tenant=GOLDEN["tenant"],
        act=encode_act(ACTS[name]),
        cause=GOLDEN["cause"],
        requested_by=GOLDEN["requested_by"],
        requested_at_us=GOLDEN["requested_at_us"],
        expires_at_us=GOLDEN["expires_at_us"],
    )


def stored(**changes: Any) -> StoredAct:
    sound = StoredAct(
        asked=asked("retire"),
        digest=asked("retire").digest,
        approval=None,
        is_withdrawn=False,
        done_at_us=None,
        now_us=GOLDEN["approved_at_us"],
    )
    return replace(sound, **changes)


@pytest.mark.parametrize("name", ACTS)
def test_golden_bytes(name: str) -> None:
    golden = GOLDEN["acts"][name]
    assert golden["act"] == encode_act(ACTS[name]).hex()
    assert ACTS[name] == decode_act(bytes.fromhex(golden["act"]))
    assert golden["digest"] == asked(name).digest.hex()
    each = stored(asked=asked(name), digest=asked(name).digest)
    statement = each.statement(GOLDEN["approver"], GOLDEN["approved_at_us"])
    assert golden["statement"] == statement.hex()
    key, signature = bytes.fromhex(GOLDEN["public_key"]), bytes.fromhex(golden["signature"])
    assert is_signed(key, signature, statement)


def test_golden_idempotency_digest() -> None:
    found = idempotency_digest(caller=GOLDEN["requested_by"], key="k" * 16)
    assert GOLDEN["idempotency"] == found.hex()


@pytest.mark.parametrize("name", ACTS)
def test_every_flip_and_cut_of_an_act_is_refused_or_another_act(name: str) -> None:
    data = encode_act(ACTS[name])
    for length in range(len(data)):
        with pytest.raises(ActFormatError):
            decode_act(data[:length])
    with pytest.raises(ActFormatError):
        decode_act(data + b"\x00")
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            try:
                read = decode_act(bytes(changed))
            except ActFormatError:
                continue
            assert ACTS[name] != read
            assert bytes(changed) == encode_act(read)


@pytest.mark.parametrize(
    "act", [Retire(0), Retire(-1), Trim(2**31), Destroy(""), Destroy("x" * 4097), Widen(b"x")]
)
def test_parts_out_of_range_are_refused(act: Act) -> None:
    with pytest.raises(ActFormatError):
        encode_act(act)


def test_the_digest_binds_every_part() -> None:
    sound = asked("retire")
    others = [
        replace(sound, request_id=uuid.UUID(int=1)),
        replace(sound, tenant="demo-sho", cause="protation"),
        replace(sound, act=encode_act(Retire(3))),
        replace(sound, act=encode_act(Trim(2))),
        replace(sound, cause="compromise"),
        replace(sound, requested_by=GOLDEN["approver"]),
        replace(sound, requested_at_us=sound.requested_at_us + 1),
        replace(sound, expires_at_us=sound.expires_at_us + 1),
        replace(sound, requested_at_us=sound.expires_at_us, expires_at_us=sound.requested_at_us),
    ]
    assert len(others) + 1 == len({each.digest for each in (sound, *others)})


def test_a_statement_names_a_whole_digest_and_somebody() -> None:
    for digest, approver in ((b"x", "a"), (bytes(32), "")):
        with pytest.raises(ActFormatError):
            approval_statement(
                request_digest=digest, approver=approver, approved_at_us=1, expires_at_us=2
            )


def test_a_signature_is_good_or_not_whatever_it_is() -> None:
    golden = GOLDEN["acts"]["retire"]
    key, signature = bytes.fromhex(GOLDEN["public_key"]), bytes.fromhex(golden["signature"])
    data = bytes.fromhex(golden["statement"])
    assert is_signed(key, signature, data)
    for bad in (
        (bytes(32), signature, data),
        (b"", signature, data),
        (key, b"", data),
        (key, signature[:-1], data),
        (key, bytes(64), data),
        (key, signature, data + b"\x00"),
    ):
        assert not is_signed(*bad)


_YES = Approval("x", GOLDEN["approved_at_us"], 1, bytes(64))


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, ActState.OPEN),
        ({"approval": _YES}, ActState.APPROVED),
        ({"approval": _YES, "done_at_us": 1}, ActState.DONE),
        ({"is_withdrawn": True, "approval": _YES}, ActState.WITHDRAWN),
        ({"now_us": GOLDEN["expires_at_us"] - 1}, ActState.OPEN),
        ({"now_us": GOLDEN["expires_at_us"], "approval": _YES}, ActState.EXPIRED),
    ],
)
def test_states(changes: dict[str, Any], state: ActState) -> None:
    assert state is stored(**changes).state


def test_a_row_is_intact_only_with_the_digest_that_it_gives() -> None:
    assert stored().is_intact
    assert not stored(digest=bytes(32)).is_intact


def test_times_keep_their_microseconds() -> None:
    time_us = GOLDEN["approved_at_us"]
    assert time_us == to_us(from_us(time_us))
    assert dt.UTC is from_us(time_us).tzinfo
