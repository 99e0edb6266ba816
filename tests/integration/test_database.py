"""The pool of connections, on a real server."""

import asyncio

import pytest

from vault.embedded.postgres import SERVICE
from vault.store.database import Database, PoolSettings


@pytest.mark.parametrize("keeps_session", [True, False])
async def test_a_transaction_that_was_left_open_is_over_for_the_next_user(
    instance, keeps_session
) -> None:
    database = Database(
        PoolSettings(
            url=instance.postgres.url(SERVICE),
            max_connections=1,
            connect_timeout=5,
            statement_timeout=5,
            keeps_session=keeps_session,
        )
    )
    reported = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
    try:
        await database.open()
        async with database.connection() as connection:
            await connection.execute("begin; set local statement_timeout = '7s'")
            first = await connection.fetchval("select pg_backend_pid()")
        async with database.connection() as connection:
            assert first == await connection.fetchval("select pg_backend_pid()")
            assert not connection.is_in_transaction()
            assert "7s" != await connection.fetchval("show statement_timeout")
    finally:
        loop.set_exception_handler(None)
        await database.close()

    assert 1 == len(reported)
    assert "active transaction" in reported[0]
