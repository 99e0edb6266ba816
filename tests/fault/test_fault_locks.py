"""Locks are held and connections used up: bounded queues, quick reasons, recovery."""

import threading
import time
from collections import Counter

import asyncpg
import pytest

from tests.support.faults import StartWorld, World, prove
from tests.support.service import new_key
from vault.client import VaultCallError

REASONS = {"DATABASE_UNAVAILABLE", "AUDIT_UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED"}


@pytest.mark.parametrize("table", ["tokens", "audit_entries"])
def test_table_locked(world: World, table: str) -> None:
    tokens = list(world.seed(3))
    with world.load(timeout=1.0) as load:
        good = load.wait_for(20)
        database = world.service.database
        database.execute(f"begin; lock table {table} in access exclusive mode")
        began = time.monotonic()
        with world.client("shipping", timeout=1) as shipping:
            for _ in range(5):
                call = time.monotonic()
                with pytest.raises(VaultCallError) as error:
                    shipping.detokenize("delivery", tokens)
                assert time.monotonic() - call < 1.3
                assert error.value.reason.name in REASONS
        if table == "audit_entries":
            world.wait_for_health("NOT_SERVING")
        time.sleep(max(0.0, 7 - (time.monotonic() - began)))  # longer than a statement may last
        database.execute("rollback")
        load.wait_for(50, after=max(good, sum(each["ok"] for each in load.attempts())))
        world.wait_until_works()
        world.wait_for_health("SERVING")
    proof = prove(world, load.attempts())
    assert proof.failures > 0
    assert {each["reason"] for each in load.attempts() if not each["ok"]} <= REASONS


def test_more_calls_than_may_be_at_work(start_world: StartWorld) -> None:
    """Beyond the limit calls are turned away at once, and say so."""
    extra = "\n[limits]\nin_flight_calls = 8\n"
    with start_world(extra=extra) as world:
        database = world.service.database
        database.execute("begin; lock table tokens in access exclusive mode")
        outcomes: list[tuple[str, float]] = []

        def write() -> None:
            began = time.monotonic()
            with world.client("order", timeout=2) as order:
                try:
                    order.tokenize([(new_key(), {"phone": "13800000000"})])
                except VaultCallError as error:
                    outcomes.append((error.reason.name, time.monotonic() - began))

        threads = [threading.Thread(target=write) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        database.execute("rollback")
        counts = Counter(reason for reason, _ in outcomes)
        assert 30 == sum(counts.values())
        assert set(counts) <= REASONS
        world.wait_until_works()


def test_no_connection_left(world: World) -> None:
    """PostgreSQL has none to give: the service lives on those that it has, or says so."""
    limit = world.service.database.value("show max_connections")

    async def take(url: str) -> list[asyncpg.Connection]:
        taken = []
        try:
            for _ in range(int(limit)):
                taken.append(await asyncpg.connect(url, timeout=5))  # noqa: PERF401 - may end early
        except asyncpg.PostgresError:
            pass
        return taken

    loop = world.service.database._loop
    with world.load() as load:
        load.wait_for(20)
        taken = loop.run_until_complete(take(world.service.urls.owner))
        time.sleep(2)
        for connection in taken:
            loop.run_until_complete(connection.close())
        load.wait_for(50, after=sum(each["ok"] for each in load.attempts()))
        world.wait_until_works()
    prove(world, load.attempts())
    assert {each["reason"] for each in load.attempts() if not each["ok"]} <= REASONS
