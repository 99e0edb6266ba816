"""Which backups count when a root version shall be retired, or an erasure be over."""

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.embedded import fresh_database
from vault.embedded import EmbeddedInstance
from vault.errors import Reason, VaultError
from vault.model import TenantId
from vault.store.backups import ARCHIVE, DECLARED, FAILED, GONE, MADE, BackupStore, RootCount
from vault.store.database import Database, PoolSettings
from vault.store.migrate import migrate

SHOP, OTHER = TenantId("demo-shop"), TenantId("other-shop")
DAY = dt.timedelta(days=1)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def template(instance: EmbeddedInstance):
    with fresh_database(instance) as urls:
        asyncio.run(migrate(urls.owner))
        yield urls.name


@contextlib.asynccontextmanager
async def store_at(url: str) -> AsyncIterator[BackupStore]:
    database = Database(PoolSettings(url, 2, 5.0, 5.0))
    await database.open()
    try:
        yield BackupStore(database)
    finally:
        await database.close()


@pytest.fixture
async def two(instance: EmbeddedInstance, template: str):
    """The record by the owner's login, which makes it, and the custodians', which ask."""
    with fresh_database(instance, template=template) as urls:
        connection = await asyncpg.connect(urls.owner)
        await connection.executemany(
            "insert into subject_keys (subject_id, key_version, tenant, wrapped, root_version,"
            " key_salt, commitment) values (gen_random_uuid(), 1, $1, 'x', $2, $3, $3)",
            [(SHOP, 1, bytes(32)), (SHOP, 1, bytes(32)), (SHOP, 2, bytes(32))],
        )
        await connection.close()
        async with store_at(urls.owner) as owner, store_at(urls.custodian) as custodian:
            yield owner, custodian


async def test_a_backup_counts_from_before_its_snapshot_until_it_is_given_up(two):
    owner, custodian = two
    one, other = uuid.uuid4(), uuid.uuid4()
    assert {} == await custodian.backups_needing(SHOP)
    await owner.begin(one, kind=MADE, keep_until=now() + DAY, label="")
    await owner.begin(other, kind=DECLARED, keep_until=now() + DAY, label="")
    assert {1: 2, 2: 2} == await custodian.backups_needing(SHOP)
    assert {} == await custodian.backups_needing(OTHER)
    await owner.finish(
        one, covers_until=now(), size=5, sha256=bytes(32), roots=[RootCount(SHOP, 2, 3)]
    )
    assert {1: 1, 2: 2} == await custodian.backups_needing(SHOP)
    assert await owner.end(other, GONE)
    assert not await owner.end(other, GONE)
    assert {2: 1} == await custodian.backups_needing(SHOP)
    assert {"kept", "gone"} == {row.state for row in await owner.all()}


async def test_a_failed_backup_and_one_whose_window_is_over_need_nothing(two):
    owner, custodian = two
    failed, short = uuid.uuid4(), uuid.uuid4()
    await owner.begin(failed, kind=MADE, keep_until=now() + DAY, label="")
    await owner.end(failed, FAILED)
    await owner.begin(short, kind=DECLARED, keep_until=now() + dt.timedelta(seconds=0.5), label="")
    assert {1: 1, 2: 1} == await custodian.backups_needing(SHOP)
    await asyncio.sleep(0.6)
    assert {} == await custodian.backups_needing(SHOP)
    with pytest.raises(VaultError) as caught:
        await owner.begin(uuid.uuid4(), kind=MADE, keep_until=now() - DAY, label="")
    assert Reason.REQUEST_MALFORMED == caught.value.reason


async def test_an_erasure_waits_for_whoever_may_hold_the_consumer(two):
    owner, custodian = two
    begun = now()

    async def until(created: dt.datetime | None, erased: dt.datetime) -> int | None:
        found = await custodian.latest_keep_until(created_at=created, erased_at=erased)
        return None if found is None else round((found - begun) / DAY)

    assert await until(None, begun) is None
    snapshot = uuid.uuid4()
    await owner.begin(snapshot, kind=MADE, keep_until=begun + 10 * DAY, label="", taken_at=begun)
    later = begun + dt.timedelta(seconds=1)
    # Not finished: whoever came meanwhile may be in it.
    assert (10, 10) == (await until(None, later), await until(later, later))
    assert await until(None, begun - DAY) is None
    await owner.finish(snapshot, covers_until=begun, size=1, sha256=bytes(32), roots=[])
    # Finished: who came later is not in it.
    assert (10, None) == (await until(begun - DAY, later), await until(later, later))
    archive = uuid.uuid4()
    await owner.begin(archive, kind=ARCHIVE, keep_until=begun + 30 * DAY, label="", taken_at=begun)
    # An archive holds who comes later as well.
    assert (30, 30) == (await until(begun - DAY, later), await until(later, later))
    await owner.end(archive, GONE)
    assert 10 == await until(None, later)
    assert await until(None, begun + 11 * DAY) is None
