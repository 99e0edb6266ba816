"""Rotations wait for the writes of their own database, and for nobody else's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.embedded import DatabaseUrls, fresh_database
from vault.embedded import EmbeddedInstance
from vault.store.database import Database, PoolSettings
from vault.store.rotation import settled


@pytest.fixture
async def urls(instance: EmbeddedInstance) -> AsyncIterator[DatabaseUrls]:
    with fresh_database(instance) as made:
        yield made


@pytest.fixture
async def database(urls: DatabaseUrls) -> AsyncIterator[Database]:
    opened = Database(
        PoolSettings(url=urls.custodian, max_connections=2, connect_timeout=5, statement_timeout=5)
    )
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def writing(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that has a number."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.fetchval("select pg_current_xact_id()::text")
            yield connection
    finally:
        await connection.close()


async def test_a_write_of_this_database_is_waited_for(
    database: Database, urls: DatabaseUrls
) -> None:
    async with writing(urls.service):
        assert not await settled(database, within_seconds=0.2)
        assert not await settled(database, within_seconds=0.2)
    assert await settled(database, within_seconds=5)


async def test_a_part_of_a_write_is_waited_for(database: Database, urls: DatabaseUrls) -> None:
    async with writing(urls.service) as connection, connection.transaction():
        await connection.fetchval("select pg_current_xact_id()::text")
        assert not await settled(database, within_seconds=0.2)


async def test_what_began_later_is_not_waited_for(database: Database, urls: DatabaseUrls) -> None:
    """One or another is always under way on a busy database; each ends soon."""
    async with contextlib.AsyncExitStack() as later:
        async with writing(urls.service):
            waiting = asyncio.create_task(settled(database, within_seconds=10))
            await asyncio.sleep(0.3)
            await later.enter_async_context(writing(urls.service))
            assert not waiting.done()
        assert await asyncio.wait_for(waiting, 5)


async def test_other_databases_and_readers_are_not_waited_for(
    database: Database, urls: DatabaseUrls, instance: EmbeddedInstance
) -> None:
    with fresh_database(instance) as others:
        async with writing(others.service):
            reader = await asyncpg.connect(urls.service)
            try:
                async with reader.transaction(isolation="repeatable_read"):
                    await reader.fetchval("select count(*) from pg_class")
                    assert await settled(database, within_seconds=1)
            finally:
                await reader.close()
