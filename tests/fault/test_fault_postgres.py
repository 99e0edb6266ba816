"""PostgreSQL dies under load: calls fail closed, nothing acknowledged is lost, all recovers."""

import time

import pytest

from tests.support.faults import FAULT_REASONS, RECOVERY_S, World, prove


@pytest.mark.parametrize("how", ["immediate restart", "kill -9"])
def test_restart_under_load(world: World, how: str) -> None:
    postgres = world.instance.postgres
    with world.load() as load:
        good = load.wait_for(100)
        if how == "kill -9":
            postgres.kill9()
            world.wait_for_health("NOT_SERVING")
            assert not world.works()
        broken = time.time()
        postgres.restart(immediate=True)
        back = time.time()
        load.wait_for(100, after=good)
        world.wait_for_health("SERVING")
        world.wait_until_works()
    world.reconnect()
    attempts = load.attempts()
    proof = prove(world, attempts)
    failed = [each for each in attempts if not each["ok"]]
    first_good = min(each["ended"] for each in attempts if each["ok"] and each["began"] > back)
    assert proof.reads > 0 < proof.writes
    assert failed
    assert {each["reason"] for each in failed} <= FAULT_REASONS
    assert not [each for each in failed if each["began"] > back + RECOVERY_S]
    assert first_good - back < RECOVERY_S
    assert broken <= back
