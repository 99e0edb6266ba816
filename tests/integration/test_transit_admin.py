"""TransitAdmin against a real OpenBao, with the custodians' policy."""

import base64
import datetime as dt
import os
import uuid
from dataclasses import replace
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
from vault.crypto.transit_admin import RewrapItem, TransitAdmin
from vault.errors import Reason, VaultError

KEY = uuid.UUID(int=7)


@pytest.fixture(scope="module")
def bao(tmp_path_factory):
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        bao.call("POST", "transit/keys/pdv-custody", {"type": "ed25519"})
        bao.call("POST", "transit/keys/pdv-backup", {"type": "aes256-gcm96"})
        yield bao


@pytest.fixture
def tenant(bao):
    """One of our own, whose root key has one version."""
    name = f"shop-{os.urandom(4).hex()}"
    bao.add_tenant(name)
    return name


@pytest.fixture
def settings(bao, tmp_path):
    return TransitSettings(
        bao.address,
        AppRole(*bao.app_role(tmp_path, policy="custodian")),
        probe_seconds=0.1,
    )


@pytest.fixture
async def admin(settings, tenant):
    admin = TransitAdmin(settings)
    await admin.open([tenant])
    yield admin
    await admin.close()


@pytest.fixture
async def transit(bao, tmp_path, tenant):
    """The service's own login, to see what opens."""
    (tmp_path / "token").write_text(bao.token())
    transit = Transit(TransitSettings(bao.address, TokenFile(tmp_path / "token")))
    await transit.open([tenant])
    yield transit
    await transit.close()


async def wrapped_keys(transit, tenant, count):
    items = [WrapItem(tenant, os.urandom(32), b"context %d" % at) for at in range(count)]
    answers = await transit.wrap(items)
    return [item.secret for item in items], [
        RewrapItem(tenant, answer.wrapped, item.context)
        for item, answer in zip(items, answers, strict=True)
    ]


async def opened(transit, tenant, wrapped, items):
    unwraps = [
        UnwrapItem(tenant, answer.wrapped, item.context)
        for answer, item in zip(wrapped, items, strict=True)
    ]
    return await transit.unwrap(unwraps)


async def refused(call):
    with pytest.raises(VaultError) as caught:
        await call
    return caught.value.reason


async def test_a_key_tells_its_versions_and_when_they_were_made(admin, tenant):
    before = dt.datetime.now(dt.UTC)
    first = await admin.read_key(admin.root_key(tenant))
    second = await admin.rotate(admin.root_key(tenant))
    assert ("aes256-gcm96", 1, 1, 0, 0, False) == (
        first.type,
        first.latest,
        first.min_decryption_version,
        first.min_encryption_version,
        first.min_available_version,
        first.deletion_allowed,
    )
    assert {1: first.versions[1], 2: second.versions[2]} == dict(second.versions)
    assert abs(second.versions[2] - before) < dt.timedelta(seconds=30)
    assert second == await admin.read_key(admin.root_key(tenant))


async def test_signing_keys_tell_it_too(admin):
    key = await admin.read_key("pdv-custody")
    assert ("ed25519", 1) == (key.type, key.latest)
    assert abs(key.versions[1] - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


async def test_rewrapping_changes_the_version_and_not_the_key(admin, transit, tenant):
    """More than two batches, so that order across batches is proven too."""
    secrets, items = await wrapped_keys(transit, tenant, 400)
    await admin.rotate(admin.root_key(tenant))
    answers = await admin.rewrap(tenant, items)
    assert {2} == {answer.root_version for answer in answers}
    assert [Unwrapped(secret) for secret in secrets] == await opened(
        transit, tenant, answers, items
    )


async def test_an_item_that_does_not_open_leaves_the_others_alone(admin, transit, tenant):
    secrets, items = await wrapped_keys(transit, tenant, 4)
    await admin.rotate(admin.root_key(tenant))
    items[0] = replace(items[0], context=b"another context")
    items[1] = replace(items[1], wrapped="vault:v1:" + "A" * 80)
    items[2] = replace(items[2], wrapped="no wrapped key")
    *wrong, right = await admin.rewrap(tenant, items)
    assert [Unopenable()] * 3 == wrong
    assert [Unwrapped(secrets[3])] == await opened(transit, tenant, [right], items[3:])
    assert [Unopenable()] * 3 == await admin.rewrap(tenant, items[:3])
    assert admin.state is None


async def test_a_batch_is_of_one_tenant(admin, tenant):
    with pytest.raises(ValueError, match="another tenant"):
        await admin.rewrap(tenant, [RewrapItem("other-shop", "vault:v1:x", b"context")])


async def test_another_tenants_root_key_does_not_rewrap(admin, transit, tenant):
    _, [item] = await wrapped_keys(transit, tenant, 1)
    assert [Unopenable()] == await admin.rewrap("other-shop", [replace(item, tenant="other-shop")])


async def test_a_retired_version_opens_nothing_until_it_is_lowered(admin, transit, tenant):
    secrets, items = await wrapped_keys(transit, tenant, 1)
    name = admin.root_key(tenant)
    await admin.rotate(name)
    stored = [Wrapped(items[0].wrapped, 1)]
    assert 2 == (await admin.raise_min_decryption(name, 2)).min_decryption_version
    assert [Unopenable()] == await opened(transit, tenant, stored, items)
    assert [Unopenable()] == await admin.rewrap(tenant, items)

    assert 2 == (await admin.raise_min_decryption(name, 1)).min_decryption_version
    lowered = await admin.raise_min_decryption(name, 1, may_lower=True)
    assert 1 == lowered.min_decryption_version
    assert [Unwrapped(secrets[0])] == await opened(transit, tenant, stored, items)


async def test_a_version_that_is_not_there_is_not_retired_to(admin, tenant):
    name = admin.root_key(tenant)
    assert Reason.KEY_STORE_FAULT is await refused(admin.raise_min_decryption(name, 2))
    assert {1} == set((await admin.read_key(name)).versions)
    assert admin.state is None


async def test_trimming_is_for_ever_and_of_retired_versions_only(admin, transit, tenant):
    _, items = await wrapped_keys(transit, tenant, 1)
    name = admin.root_key(tenant)
    await admin.rotate(name)
    assert Reason.KEY_IN_USE is await refused(admin.trim(name, 2))
    assert 0 == (await admin.read_key(name)).min_encryption_version

    await admin.raise_min_decryption(name, 2)
    key = await admin.trim(name, 2)
    assert (2, 2, 2) == (
        key.min_available_version,
        key.min_encryption_version,
        key.min_decryption_version,
    )
    assert key == await admin.trim(name, 2)  # again: nothing to do
    assert Reason.KEY_STORE_FAULT is await refused(
        admin.raise_min_decryption(name, 1, may_lower=True)
    )
    assert [Unopenable()] == await admin.rewrap(tenant, items)


async def test_after_a_trim_rotation_and_retirement_go_on(admin, tenant):
    """Transit refuses to retire beyond the least version that may wrap, unless that rises too."""
    name = admin.root_key(tenant)
    await admin.rotate(name)
    await admin.raise_min_decryption(name, 2)
    await admin.trim(name, 2)
    await admin.rotate(name)
    assert {3} == set((await admin.raise_min_decryption(name, 3)).versions)
    assert 3 == (await admin.trim(name, 3)).min_available_version


async def test_a_key_is_deleted_only_after_an_administrator_allowed_it(admin, bao, tenant):
    name = admin.root_key(tenant)
    assert Reason.KEY_STORE_DENIED is await refused(admin.delete(name))
    bao.call("POST", f"transit/keys/{name}/config", {"deletion_allowed": True})
    assert (await admin.read_key(name)).deletion_allowed
    await admin.delete(name)
    assert Reason.KEY_STORE_FAULT is await refused(admin.read_key(name))
    assert Reason.KEY_STORE_FAULT is await refused(admin.rotate(name))
    assert name not in set(bao.keys())


async def test_a_missing_root_key_refuses_the_start(settings):
    admin = TransitAdmin(settings)
    try:
        assert Reason.KEY_STORE_FAULT is await refused(admin.open(["nobody"]))
    finally:
        await admin.close()


async def test_the_services_login_cannot_turn_keys(bao, tmp_path, tenant):
    """But for reading: the same calls with the service's policy."""
    (tmp_path / "token").write_text(bao.token())
    admin = TransitAdmin(TransitSettings(bao.address, TokenFile(tmp_path / "token")))
    try:
        await admin.open([tenant])
        name = admin.root_key(tenant)
        for call in (
            admin.rotate(name),
            admin.raise_min_decryption(name, 2),
            admin.delete(name),
            admin.sign("pdv-custody", b"data"),
            admin.wrap_backup_key("pdv-backup", KEY, bytes(32)),
        ):
            assert Reason.KEY_STORE_DENIED is await refused(call)
        [answer] = await admin.rewrap(tenant, [RewrapItem(tenant, "vault:v1:x", b"context")])
        assert Reason.KEY_STORE_DENIED is answer.reason
        assert 1 == (await admin.read_key(name)).latest
    finally:
        await admin.close()


async def test_approvals_are_signed(admin, bao):
    signed = await admin.sign("pdv-custody", b"approved")
    assert 1 == signed.key_version
    assert {1} == set(await admin.public_keys("pdv-custody"))
    check = {
        "input": "YXBwcm92ZWQ=",
        "signature": f"vault:v1:{base64.b64encode(signed.signature).decode()}",
    }
    assert bao.call("POST", "transit/verify/pdv-custody", check)["data"]["valid"]


async def test_an_older_version_that_may_not_sign_holds_up_nothing_else(admin, bao):
    """Transit answers 500 to that, which would otherwise count as being down."""
    bao.call("POST", "transit/keys/pdv-custody/rotate", {})
    assert 1 == (await admin.sign("pdv-custody", b"data", version=1)).key_version
    bao.call("POST", "transit/keys/pdv-custody/config", {"min_encryption_version": 2})
    assert Reason.KEY_STORE_FAULT is await refused(admin.sign("pdv-custody", b"data", version=1))
    assert admin.state is None
    assert 2 == (await admin.sign("pdv-custody", b"data")).key_version


async def test_a_backups_key_opens_for_that_backup_only(admin):
    secret = os.urandom(32)
    wrapped = await admin.wrap_backup_key("pdv-backup", KEY, secret)
    assert secret == await admin.unwrap_backup_key("pdv-backup", KEY, wrapped.wrapped)
    other = uuid.UUID(int=8)
    assert Unopenable() == await admin.unwrap_backup_key("pdv-backup", other, wrapped.wrapped)
    assert Unopenable() == await admin.unwrap_backup_key("pdv-backup", KEY, wrapped.wrapped[:-8])
    assert secret.hex() not in repr(wrapped)


async def test_a_rotation_whose_answer_is_lost_is_not_repeated(bao, settings, tenant):
    """Other calls are tried once more when a connection drops."""
    parts = urlsplit(bao.address)
    async with tcp_proxy(parts.hostname, parts.port) as proxy:
        admin = TransitAdmin(replace(settings, address=proxy.address, probe_seconds=3600))
        try:
            await admin.open([tenant])
            proxy.loses_answers = True
            assert Reason.KEY_STORE_UNAVAILABLE is await refused(
                admin.rotate(admin.root_key(tenant))
            )
        finally:
            await admin.close()
    data = bao.call("GET", f"transit/keys/pdv-{tenant}")["data"]
    assert 2 == data["latest_version"]


async def test_an_expired_token_is_replaced(admin, bao, tenant):
    bao.call("PUT", "auth/token/revoke", {"token": admin._session._lease.token})
    assert 1 == (await admin.read_key(admin.root_key(tenant))).latest


async def test_a_sealed_transit_is_known_as_such(admin, bao, tenant):
    bao.seal()
    try:
        assert Reason.KEY_STORE_SEALED is await refused(admin.rotate(admin.root_key(tenant)))
        assert Reason.KEY_STORE_SEALED is admin.state.reason
    finally:
        bao.unseal()
    await admin.probe()
    assert admin.state is None
    assert 1 == (await admin.read_key(admin.root_key(tenant))).latest
