"""Effects of acts on root keys, against a real OpenBao: idempotent, refused where they must be."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.openbao import running_openbao
from vault.crypto.transit import AppRole, TransitSettings
from vault.crypto.transit_admin import TransitAdmin
from vault.errors import Reason
from vault.keys.acts import Destroy, Retire, Trim
from vault.model import TenantId
from vault.service.act_effects import RootKeyEffects


class Counts:
    """Rows and backups, as many as the test says."""

    def __init__(self) -> None:
        self.rows: dict[int | None, int] = {}
        self.backups: dict[int, int] = {}

    async def count(self, _tenant: TenantId) -> Mapping[int | None, int]:
        return self.rows

    async def backups_needing(self, _tenant: TenantId) -> Mapping[int, int]:
        return self.backups


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        yield bao


@pytest.fixture
def tenant(bao: Any) -> TenantId:
    name = f"shop-{os.urandom(4).hex()}"
    bao.add_tenant(name)
    return TenantId(name)


@pytest.fixture
async def admin(bao: Any, tmp_path: Path, tenant: TenantId) -> AsyncIterator[TransitAdmin]:
    login = AppRole(*bao.app_role(tmp_path, policy="custodian"))
    admin = TransitAdmin(TransitSettings(bao.address, login))
    await admin.open([tenant])
    yield admin
    await admin.close()


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def effects(admin: TransitAdmin, counts: Counts) -> RootKeyEffects:
    return RootKeyEffects(keys=admin, rows=counts, backups=counts)


async def test_every_effect_can_be_had_twice(
    admin: TransitAdmin, effects: RootKeyEffects, tenant: TenantId, bao: Any
) -> None:
    name = admin.root_key(tenant)
    await admin.rotate(name)
    bao.call("POST", f"transit/keys/{name}/config", {"deletion_allowed": True})
    for act in (Retire(2), Trim(2), Destroy(tenant)):
        assert [] == await effects.obstacles(act, tenant)
        await effects.carry_out(act, tenant)
        once = await admin.find_key(name)
        assert [] == await effects.obstacles(act, tenant) or once is None
        await effects.carry_out(act, tenant)
        assert once == await admin.find_key(name)
    assert await admin.find_key(name) is None


async def test_a_key_is_destroyed_only_after_an_administrator_allowed_it_by_hand(
    admin: TransitAdmin, effects: RootKeyEffects, counts: Counts, tenant: TenantId
) -> None:
    counts.rows = {1: 3}
    [obstacle] = await effects.obstacles(Destroy(tenant), tenant)
    assert Reason.KEY_STORE_DENIED is obstacle.reason
    assert f"let {admin.root_key(tenant)} be deleted" in obstacle.text
    assert "every value under 3 wrapped keys" in await effects.describe(Destroy(tenant), tenant)


async def test_rows_and_backups_that_need_an_older_version_are_all_named(
    admin: TransitAdmin, effects: RootKeyEffects, counts: Counts, tenant: TenantId
) -> None:
    for _ in range(2):
        await admin.rotate(admin.root_key(tenant))
    counts.rows, counts.backups = {1: 5, 2: 7, 3: 9, None: 1}, {1: 2, 3: 4}
    assert [
        "versions below 3 are not retired yet",
        "5 rows need version 1",
        "7 rows need version 2",
        "1 rows do not say which version they need",
        "2 backups inside their window need version 1",
    ] == [each.text for each in await effects.obstacles(Trim(3), tenant)]
    assert [
        "5 rows need version 1",
        "1 rows do not say which version they need",
        "2 backups inside their window need version 1",
    ] == [each.text for each in await effects.obstacles(Retire(2), tenant)]
    [obstacle] = await effects.obstacles(Retire(4), tenant)
    assert "the root key has no version 4" == obstacle.text
