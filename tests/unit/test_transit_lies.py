"""A Transit that answers wrongly is found out; nothing that it says gets into an error."""

import base64

import pytest

from tests.support.lying_transit import lying_transit
from vault.crypto.aead import DecryptError, SubjectKey, new_data_key
from vault.crypto.transit import (
    TokenFile,
    Transit,
    TransitSettings,
    Unopenable,
    UnwrapItem,
    Unwrapped,
    WrapItem,
    Wrapped,
)
from vault.errors import Reason, VaultError
from vault.telemetry import names
from vault.telemetry.trace import Tracer, trip_traceparent

CANARY = "canary-5e1f"


@pytest.fixture
def fake():
    with lying_transit() as fake:
        yield fake


@pytest.fixture
async def transit(fake, tmp_path):
    (tmp_path / "token").write_text("a-token\n")
    settings = TransitSettings(
        fake.address, TokenFile(tmp_path / "token"), probe_seconds=3600, grace_seconds=3600
    )
    transit = Transit(settings)
    await transit.open(["demo-shop"])
    yield transit
    await transit.close()


def items(count):
    return [WrapItem("demo-shop", bytes((at,)) * 32, b"context %d" % at) for at in range(count)]


async def wrapped_items(transit, count):
    wraps = items(count)
    answers = await transit.wrap(wraps)
    return [
        UnwrapItem("demo-shop", answer.wrapped, item.context)
        for item, answer in zip(wraps, answers, strict=True)
    ]


def only_reason(answers):
    assert all(isinstance(answer, VaultError) for answer in answers), answers
    [reason] = {answer.reason for answer in answers}
    return reason


async def test_an_honest_answer(transit):
    answers = await transit.unwrap(await wrapped_items(transit, 3))
    assert answers == [Unwrapped(bytes((at,)) * 32) for at in range(3)]


@pytest.mark.parametrize(
    "twist",
    [
        lambda results: results[:-1],
        lambda results: [*results, results[0]],
        lambda results: results[::-1],
        lambda results: [results[0]] * 3,
        lambda _: [],
        lambda _: {},
        lambda _: "vault:v1:",
        lambda _: [1, 2, 3],
    ],
    ids=["dropped", "added", "swapped", "repeated", "none", "object", "text", "numbers"],
)
async def test_an_answer_that_does_not_fit_the_question(fake, transit, twist):
    fake.twist = twist
    assert only_reason(await transit.wrap(items(3))) is Reason.KEY_STORE_FAULT


async def test_swapped_keys_without_references_are_found_by_commitment(fake, transit):
    keys = [new_data_key() for _ in range(2)]
    wraps = [WrapItem("demo-shop", data_key, b"c") for data_key, _ in keys]
    wrapped = await transit.wrap(wraps)
    fake.twist = lambda results: [{"plaintext": result["plaintext"]} for result in results[::-1]]
    opened = await transit.unwrap([UnwrapItem("demo-shop", w.wrapped, b"c") for w in wrapped])
    for answer, (data_key, key_salt) in zip(opened, keys, strict=True):
        commitment = SubjectKey(data_key, key_salt).commitment
        with pytest.raises(DecryptError):
            SubjectKey.check(answer.secret, key_salt=key_salt, commitment=commitment)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"ciphertext": ""},
        {"ciphertext": 7},
        {"ciphertext": "vault:v0:" + "A" * 80},
        {"ciphertext": "vault:v1:" + "A" * 76},
        {"ciphertext": "vault:v1:" + "A" * 80 + "\n"},
        {"ciphertext": "vault:v1:" + "A" * 80, "error": CANARY},
        {"ciphertext": "vault:v1:====" + "A" * 76},
    ],
)
async def test_a_wrapped_key_of_a_wrong_shape(fake, transit, result):
    fake.twist = lambda results: [results[0], result, results[2]]
    first, second, third = await transit.wrap(items(3))
    assert second.reason is Reason.KEY_STORE_FAULT
    assert CANARY not in str(second)
    assert [type(first), type(third)] == [Wrapped, Wrapped]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"plaintext": "", "error": CANARY}, Unopenable),
        ({"plaintext": ""}, VaultError),
        ({"plaintext": None}, VaultError),
        ({"plaintext": base64.b64encode(bytes(31)).decode()}, VaultError),
        ({"plaintext": base64.b64encode(bytes(33)).decode()}, VaultError),
        ({"plaintext": "not base64 at all, really not, no."}, VaultError),
    ],
)
async def test_an_opened_key_of_a_wrong_shape(fake, transit, result, expected):
    unwraps = await wrapped_items(transit, 3)
    fake.twist = lambda results: [results[0], result, results[2]]
    answers = await transit.unwrap(unwraps)
    assert [type(answer) for answer in answers] == [Unwrapped, expected, Unwrapped]
    assert CANARY not in str(answers)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, b""), Reason.KEY_STORE_FAULT),
        ((200, b"<html>" + CANARY.encode()), Reason.KEY_STORE_FAULT),
        ((200, b"[]"), Reason.KEY_STORE_FAULT),
        ((200, {"data": None}), Reason.KEY_STORE_FAULT),
        ((200, {"data": {}}), Reason.KEY_STORE_FAULT),
        ((204, b""), Reason.KEY_STORE_FAULT),
        ((307, b""), Reason.KEY_STORE_FAULT),
        ((400, {"errors": [CANARY]}), Reason.KEY_STORE_FAULT),
        ((404, {"errors": [CANARY]}), Reason.KEY_STORE_FAULT),
        ((413, b""), Reason.KEY_STORE_FAULT),
        ((403, {"errors": [CANARY]}), Reason.KEY_STORE_DENIED),
        ((429, {"errors": [CANARY]}), Reason.KEY_STORE_UNAVAILABLE),
        ((500, {"errors": [CANARY]}), Reason.KEY_STORE_UNAVAILABLE),
        ((502, b"<html>"), Reason.KEY_STORE_UNAVAILABLE),
        ((503, {"errors": ["Vault is sealed"]}), Reason.KEY_STORE_SEALED),
        ((503, b"no backend"), Reason.KEY_STORE_UNAVAILABLE),
    ],
)
async def test_refusals_of_the_whole_batch(fake, transit, answer, reason):
    fake.answer = answer
    answers = await transit.wrap(items(2))
    assert only_reason(answers) is reason
    assert CANARY not in repr(answers)
    for error in answers:
        assert (error.__cause__, error.__context__) == (None, None)


async def test_only_strings_are_sent(fake, transit):
    """Audit devices log numbers in the clear."""

    def leaves(value):
        if isinstance(value, dict):
            return [leaf for part in value.values() for leaf in leaves(part)]
        if isinstance(value, list):
            return [leaf for part in value for leaf in leaves(part)]
        return [value]

    await transit.unwrap(await wrapped_items(transit, 3))
    sent = [leaf for _, _, body in fake.requests if body for leaf in leaves(body)]
    assert {str} == {type(leaf) for leaf in sent}


async def test_batches_are_cut_and_grouped_by_tenant(fake, transit):
    fake.requests.clear()
    wraps = [
        WrapItem(("demo-shop", "other-shop")[at % 2], at.to_bytes(32), b"c") for at in range(500)
    ]
    answers = await transit.wrap(wraps)
    counts = sorted((path, len(body["batch_input"])) for _, path, body in fake.requests)
    assert counts == [
        (f"/v1/transit/encrypt/pdv-{tenant}", size)
        for tenant in ("demo-shop", "other-shop")
        for size in (90, 160)
    ]
    back = [base64.b64decode(answer.wrapped[9:])[12:-16] for answer in answers]
    assert [item.secret for item in wraps] == back


async def test_an_empty_batch_makes_no_call(fake, transit):
    fake.requests.clear()
    assert await transit.wrap([]) == []
    assert fake.requests == []


@pytest.mark.parametrize("tenant", ["../sys", "a/b", "", "A"])
def test_a_tenant_that_could_leave_its_path_cannot_be_asked_for(tenant):
    with pytest.raises(ValueError, match="tenant"):
        WrapItem(tenant, bytes(32), b"c")
    with pytest.raises(ValueError, match="tenant"):
        UnwrapItem(tenant, "vault:v1:", b"c")


@pytest.mark.parametrize(
    "change",
    [
        {"derived": False},
        {"exportable": True},
        {"allow_plaintext_backup": True},
        {"convergent_encryption": True},
        {"type": "rsa-4096"},
    ],
)
async def test_an_unfit_root_key_is_refused_at_open(fake, transit, change):
    fake.key = fake.key | change
    with pytest.raises(VaultError, match=next(iter(change))) as caught:
        await transit.check_root_key("demo-shop")
    assert caught.value.reason is Reason.KEY_STORE_FAULT


async def test_values_show_no_secrets(transit):
    wrap = WrapItem("demo-shop", b"\xaaS3CRET" + bytes(25), b"c")
    [answer] = await transit.wrap([wrap])
    [opened] = await transit.unwrap([UnwrapItem("demo-shop", answer.wrapped, b"c")])
    assert opened.secret == wrap.secret
    shown = repr((wrap, answer, opened, UnwrapItem("demo-shop", answer.wrapped, b"c")))
    assert "S3CRET" not in shown
    assert answer.wrapped not in shown


async def test_requests_name_the_trip_that_they_serve(fake, tmp_path):
    """Those of a trip have its span; the others have no header at all."""
    (tmp_path / "token").write_text("a-token\n")
    settings = TransitSettings(fake.address, TokenFile(tmp_path / "token"), probe_seconds=3600)
    transit = Transit(settings, traceparent=trip_traceparent)
    await transit.open(["demo-shop"])
    assert {None} == set(fake.traceparents)
    submitted = []
    trip = Tracer(submitted.append).trip(names.TRIP_TRANSIT_WRAP)
    await transit.wrap(items(2))
    trip.finish()
    assert f"00-{trip.trace_id.hex()}-{trip.span_id.hex()}-01" == fake.traceparents[-1]
    await transit.wrap(items(1))
    assert fake.traceparents[-1] is None
    await transit.close()
