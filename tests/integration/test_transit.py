"""Transit against a real OpenBao, whole and broken in every way of the fault matrix."""

import asyncio
import os
import time
from urllib.parse import urlsplit

import pytest

from tests.support.openbao import running_openbao
from tests.support.tcp_proxy import tcp_proxy
from vault.crypto.transit import (
    AppRole,
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

TENANT = "demo-shop"
CONTEXT = b"the context"


@pytest.fixture(scope="module")
def bao(tmp_path_factory):
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        yield bao


@pytest.fixture(autouse=True)
def whole_again(bao):
    yield
    if bao.call("GET", "sys/seal-status")["sealed"]:
        bao.unseal()
    bao.restore_policy()


@pytest.fixture
async def open_transit(bao, tmp_path):
    """Opens clients that probe ten times a second; closes them."""
    opened = []

    async def open_one(*, auth=None, tenants=(TENANT,), on_lost=lambda: None, **settings):
        role_id, secret_id = tmp_path / "role_id", tmp_path / "secret_id"
        if auth is None:
            role_id, secret_id = bao.app_role(tmp_path)
        settings = {
            "address": bao.address,
            "auth": auth or AppRole(role_id, secret_id),
            "probe_seconds": 0.1,
            "grace_seconds": 60.0,
        } | settings
        transit = Transit(TransitSettings(**settings), on_lost=on_lost)
        opened.append(transit)
        await transit.open(tenants)
        return transit

    yield open_one
    for transit in opened:
        await transit.close()


async def wrap_one(transit, tenant=TENANT, secret=bytes(range(32)), context=CONTEXT):
    [answer] = await transit.wrap([WrapItem(tenant, secret, context)])
    return answer


async def unwrap_one(transit, wrapped, tenant=TENANT, context=CONTEXT):
    [answer] = await transit.unwrap([UnwrapItem(tenant, wrapped, context)])
    return answer


async def until(condition, seconds=8.0):
    """Waits for `condition`; returns how long that took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "in vain"
        await asyncio.sleep(0.02)
    return time.monotonic() - start


def reason_of(answer):
    assert isinstance(answer, VaultError), answer
    return answer.reason


async def test_what_is_wrapped_unwraps(open_transit):
    transit = await open_transit(tenants=(TENANT, "other-shop"))
    wraps = [
        WrapItem((TENANT, "other-shop")[at % 2], os.urandom(32), b"context %d" % at)
        for at in range(450)
    ]
    wrapped = await transit.wrap(wraps)
    assert {1} == {answer.root_version for answer in wrapped}
    unwraps = [
        UnwrapItem(item.tenant, answer.wrapped, item.context)
        for item, answer in zip(wraps, wrapped, strict=True)
    ]
    opened = await transit.unwrap(unwraps)
    assert [Unwrapped(item.secret) for item in wraps] == opened
    assert transit.state is None


async def test_the_largest_batches_are_not_too_complex_for_the_server(open_transit):
    transit = await open_transit(max_batch=240)
    wraps = [WrapItem(TENANT, os.urandom(32), b"c" * 100) for _ in range(160)]
    wrapped = await transit.wrap(wraps)
    assert {Wrapped} == {type(answer) for answer in wrapped}
    unwraps = [UnwrapItem(TENANT, wrapped[at % 160].wrapped, b"c" * 100) for at in range(240)]
    assert {Unwrapped} == {type(answer) for answer in await transit.unwrap(unwraps)}


@pytest.mark.parametrize(
    ("tenant", "context"), [(TENANT, b"another context"), ("other-shop", CONTEXT)]
)
async def test_a_key_moved_to_another_context_or_tenant_does_not_unwrap(
    open_transit, tenant, context
):
    transit = await open_transit(tenants=(TENANT, "other-shop"))
    wrapped = (await wrap_one(transit)).wrapped
    assert await unwrap_one(transit, wrapped, tenant, context) == Unopenable()
    assert transit._health.state(tenant) is None


async def test_one_poisoned_item_of_a_hundred(open_transit):
    transit = await open_transit()
    secrets = [os.urandom(32) for _ in range(100)]
    wrapped = await transit.wrap([WrapItem(TENANT, secret, CONTEXT) for secret in secrets])
    unwraps = [UnwrapItem(TENANT, answer.wrapped, CONTEXT) for answer in wrapped]
    unwraps[37] = UnwrapItem(TENANT, "vault:v1:AAAA", CONTEXT)
    answers = await transit.unwrap(unwraps)
    assert answers.pop(37) == Unopenable()
    assert [Unwrapped(secret) for at, secret in enumerate(secrets) if at != 37] == answers


async def test_a_batch_of_nothing_but_poison_is_the_items_fault(open_transit):
    transit = await open_transit()
    bad = ["", "x", "vault:v1:", "vault:v9:" + "A" * 80, "vault:v1:" + "A" * 80, "\0\n"]
    answers = await transit.unwrap([UnwrapItem(TENANT, text, CONTEXT) for text in bad])
    assert [Unopenable()] * len(bad) == answers
    assert transit._health.state(TENANT) is None


async def test_a_missing_root_key_is_an_error_and_is_not_made(bao, open_transit):
    transit = await open_transit()
    before = bao.keys()
    answer = await wrap_one(transit, tenant="typo-shop")
    assert reason_of(answer) is Reason.KEY_STORE_DENIED
    answer = await unwrap_one(transit, (await wrap_one(transit)).wrapped, tenant="typo-shop")
    assert reason_of(answer) is Reason.KEY_STORE_FAULT
    assert before == bao.keys()
    assert isinstance(await wrap_one(transit), Wrapped), "other tenants are not held up"


async def test_an_unfit_or_missing_root_key_is_refused_at_open(bao, open_transit):
    bao.add_tenant("flat-shop", derived=False)
    bao.add_tenant("open-shop", exportable=True)
    bao.add_tenant("copy-shop", allow_plaintext_backup=True)
    for tenant, words in [
        ("flat-shop", "derived must be True"),
        ("open-shop", "exportable must be False"),
        ("copy-shop", "allow_plaintext_backup must be False"),
        ("no-shop", "no root key"),
    ]:
        with pytest.raises(VaultError, match=words):
            await open_transit(tenants=(TENANT, tenant))


async def test_a_root_token_is_refused(bao, open_transit, tmp_path):
    (tmp_path / "token").write_text(bao.token(policies=("root",)))
    with pytest.raises(VaultError, match="root token") as caught:
        await open_transit(auth=TokenFile(tmp_path / "token"))
    assert caught.value.reason is Reason.KEY_STORE_DENIED


@pytest.mark.parametrize("text", ["", "s.unknown", "é", "two\nlines"])
async def test_a_bad_token_file_is_refused_without_being_quoted(open_transit, tmp_path, text):
    (tmp_path / "token").write_text(text)
    with pytest.raises(VaultError) as caught:
        await open_transit(auth=TokenFile(tmp_path / "token"))
    assert caught.value.reason is Reason.KEY_STORE_DENIED
    assert not text or text not in str(caught.value)


async def test_wrong_app_role_credentials_are_refused(open_transit, bao, tmp_path):
    role_id, secret_id = bao.app_role(tmp_path)
    secret_id.write_text("wrong")
    with pytest.raises(VaultError) as caught:
        await open_transit(auth=AppRole(role_id, secret_id))
    assert caught.value.reason is Reason.KEY_STORE_DENIED


async def test_sealed_and_unsealed(bao, open_transit):
    transit = await open_transit()
    wrapped = (await wrap_one(transit)).wrapped
    bao.seal()
    assert reason_of(await unwrap_one(transit, wrapped)) is Reason.KEY_STORE_SEALED
    assert reason_of(await wrap_one(transit)) is Reason.KEY_STORE_SEALED
    assert transit.state.reason is Reason.KEY_STORE_SEALED
    with pytest.raises(VaultError) as caught:
        await transit.probe()
    assert caught.value.reason is Reason.KEY_STORE_SEALED
    await asyncio.to_thread(bao.unseal)
    assert await until(lambda: transit.state is None) < 3
    assert isinstance(await unwrap_one(transit, wrapped), Unwrapped)


async def test_sealing_is_noticed_without_any_call(bao, open_transit):
    transit = await open_transit()
    await asyncio.to_thread(bao.seal)
    await until(lambda: transit.state is not None)
    assert transit.state.reason is Reason.KEY_STORE_SEALED


async def test_opening_on_a_sealed_server_says_so(bao, open_transit, tmp_path):
    auth = AppRole(*bao.app_role(tmp_path))
    bao.seal()
    with pytest.raises(VaultError) as caught:
        await open_transit(auth=auth)
    assert caught.value.reason is Reason.KEY_STORE_SEALED


async def test_a_withdrawn_permission_is_noticed_and_comes_back(bao, open_transit):
    lost = []
    transit = await open_transit(on_lost=lambda: lost.append(1), grace_seconds=0.5)
    wrapped = (await wrap_one(transit)).wrapped
    transit.watch(UnwrapItem(TENANT, wrapped, CONTEXT))
    bao.set_policy('path "auth/token/lookup-self" { capabilities = ["read"] }')
    assert await until(lambda: transit.state is not None) < 2
    assert transit.state.reason is Reason.KEY_STORE_DENIED
    assert reason_of(await unwrap_one(transit, wrapped)) is Reason.KEY_STORE_DENIED
    assert await until(lambda: lost) < 2
    bao.restore_policy()
    await until(lambda: transit.state is None)
    assert isinstance(await unwrap_one(transit, wrapped), Unwrapped)
    assert lost == [1]


async def test_a_withdrawn_right_to_wrap_leaves_unwrapping_alone(bao, open_transit):
    transit = await open_transit()
    wrapped = (await wrap_one(transit)).wrapped
    bao.set_policy(
        'path "transit/decrypt/pdv-*" { capabilities = ["update"] }\n'
        'path "auth/token/lookup-self" { capabilities = ["read"] }'
    )
    assert reason_of(await wrap_one(transit)) is Reason.KEY_STORE_DENIED
    assert isinstance(await unwrap_one(transit, wrapped), Unwrapped)


async def test_a_watched_key_that_was_rewrapped_and_retired_is_read_again(bao, open_transit):
    """A tenant that nobody called between rewrap and retirement is not taken for a broken one."""
    tenant = "quiet-shop"
    bao.add_tenant(tenant)
    transit = await open_transit(tenants=(tenant,))
    old = (await wrap_one(transit, tenant)).wrapped
    renewed = []

    async def renew():
        renewed.append(fresh)
        transit.watch(UnwrapItem(tenant, fresh, CONTEXT), renew)

    transit.watch(UnwrapItem(tenant, old, CONTEXT), renew)
    await transit.probe()
    assert [] == renewed
    bao.call("POST", f"transit/keys/pdv-{tenant}/rotate")
    fresh = (await wrap_one(transit, tenant)).wrapped
    bao.call("POST", f"transit/keys/pdv-{tenant}/config", {"min_decryption_version": 2})
    await transit.probe()
    await transit.probe()
    assert ([fresh], None) == (renewed, transit.state)
    assert isinstance(await unwrap_one(transit, fresh, tenant), Unwrapped)


async def test_a_watched_key_that_stays_closed_when_read_again_is_a_fault(open_transit):
    transit = await open_transit()

    async def renew():
        raise VaultError(Reason.KEY_STORE_FAULT, "it does not open")

    transit.watch(UnwrapItem(TENANT, "vault:v1:" + "A" * 80, CONTEXT), renew)
    with pytest.raises(VaultError, match="KEY_STORE_FAULT"):
        await transit.probe()
    assert Reason.KEY_STORE_FAULT is transit.state.reason


async def test_a_watched_key_that_no_longer_opens_is_a_fault(open_transit):
    transit = await open_transit()
    transit.watch(UnwrapItem(TENANT, "vault:v1:" + "A" * 80, CONTEXT))
    await until(lambda: transit.state is not None)
    assert transit.state.reason is Reason.KEY_STORE_FAULT


async def test_a_two_second_token_is_replaced_without_a_failure(bao, open_transit, tmp_path):
    transit = await open_transit(auth=AppRole(*bao.app_role(tmp_path, ttl="2s")))
    wrapped = (await wrap_one(transit)).wrapped
    end = time.monotonic() + 5
    while time.monotonic() < end:
        assert isinstance(await unwrap_one(transit, wrapped), Unwrapped)
        await asyncio.sleep(0.05)
    assert transit.state is None


async def test_an_expired_token_is_replaced_by_the_call_that_meets_it(bao, open_transit, tmp_path):
    """Without the help of the background task: it does not wake in this test."""
    auth = AppRole(*bao.app_role(tmp_path, ttl="1h"))
    transit = await open_transit(auth=auth, probe_seconds=3600)
    wrapped = (await wrap_one(transit)).wrapped
    bao.call("PUT", "auth/token/revoke", {"token": transit._session._lease.token})
    answers = await asyncio.gather(*(unwrap_one(transit, wrapped) for _ in range(20)))
    assert {Unwrapped} == {type(answer) for answer in answers}
    assert transit._health.state(TENANT) is None


async def test_an_expired_token_file_is_denied_until_the_file_changes(bao, open_transit, tmp_path):
    path = tmp_path / "token"
    path.write_text(bao.token(ttl="1s", explicit_max_ttl="1s"))  # renewing cannot save it
    transit = await open_transit(auth=TokenFile(path))
    await until(lambda: transit.state and transit.state.reason is Reason.KEY_STORE_DENIED)
    path.write_text(bao.token())
    await until(lambda: transit.state is None)
    assert isinstance(await wrap_one(transit), Wrapped)


async def test_a_new_token_file_is_taken_up_while_the_old_token_lives(bao, open_transit, tmp_path):
    path = tmp_path / "token"
    path.write_text(bao.token())
    transit = await open_transit(auth=TokenFile(path))
    newer = bao.token()
    path.write_text("half a tok")
    await asyncio.sleep(0.4)
    assert transit.state is None
    path.write_text(newer)
    await until(lambda: transit._session._lease.token == newer)


async def test_a_renewable_token_is_renewed(bao, open_transit, tmp_path):
    path = tmp_path / "token"
    path.write_text(bao.token(ttl="2s"))
    transit = await open_transit(auth=TokenFile(path))
    await asyncio.sleep(4)
    assert isinstance(await wrap_one(transit), Wrapped)


async def test_unreachable_and_back(bao, open_transit):
    parts = urlsplit(bao.address)
    async with tcp_proxy(parts.hostname, parts.port) as proxy:
        transit = await open_transit(address=proxy.address)
        wrapped = (await wrap_one(transit)).wrapped
        proxy.cut()
        assert reason_of(await unwrap_one(transit, wrapped)) is Reason.KEY_STORE_UNAVAILABLE
        assert transit.state.reason is Reason.KEY_STORE_UNAVAILABLE
        proxy.mend()
        assert await until(lambda: transit.state is None) < 3
        assert isinstance(await unwrap_one(transit, wrapped), Unwrapped)


async def test_one_dropped_connection_is_not_noticed(bao, open_transit):
    parts = urlsplit(bao.address)
    async with tcp_proxy(parts.hostname, parts.port) as proxy:
        transit = await open_transit(address=proxy.address, probe_seconds=3600)
        await wrap_one(transit)
        proxy.cut()
        proxy.mend()
        assert isinstance(await wrap_one(transit), Wrapped)


async def test_slow_transit_keeps_the_deadline_and_the_loop(bao, open_transit):
    parts = urlsplit(bao.address)
    async with tcp_proxy(parts.hostname, parts.port) as proxy:
        transit = await open_transit(address=proxy.address, read_seconds=1.0, threads=2)
        wrapped = (await wrap_one(transit)).wrapped
        proxy.delay_seconds = 5
        gaps, stop = [], asyncio.Event()

        async def heartbeat():
            last = time.monotonic()
            while not stop.is_set():
                await asyncio.sleep(0.01)
                now = time.monotonic()
                gaps.append(now - last)
                last = now

        beating = asyncio.create_task(heartbeat())
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await unwrap_one(transit, wrapped)
        assert time.monotonic() - start < 0.6, "the caller's deadline"
        answer = await unwrap_one(transit, wrapped)
        assert reason_of(answer) is Reason.KEY_STORE_UNAVAILABLE
        assert time.monotonic() - start < 3.0, "the client's own limit"
        begun = time.monotonic()
        answer = await unwrap_one(transit, wrapped)
        assert reason_of(answer) is Reason.KEY_STORE_UNAVAILABLE
        assert time.monotonic() - begun < 0.05, "fails fast once known"
        proxy.delay_seconds = 0
        await until(lambda: transit.state is None)
        assert isinstance(await unwrap_one(transit, wrapped), Unwrapped)
        stop.set()
        await beating
        assert max(gaps) < 0.25


async def test_a_lost_transit_clears_the_keyring_once_per_loss(bao, open_transit):
    lost = []
    transit = await open_transit(on_lost=lambda: lost.append(1), grace_seconds=0.3)
    for expected in ([1], [1, 1]):
        await asyncio.to_thread(bao.seal)
        await until(lambda expected=expected: lost == expected)
        await asyncio.sleep(0.4)
        await asyncio.to_thread(bao.unseal)
        await until(lambda: transit.state is None)
    assert lost == [1, 1]


async def test_closing_is_quick_and_ends_the_calls(bao, open_transit):
    transit = await open_transit()
    start = time.monotonic()
    await transit.close()
    assert time.monotonic() - start < 0.5
