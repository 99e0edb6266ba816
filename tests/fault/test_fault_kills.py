"""kill -9 of the service under write load: what was acknowledged is there, all of it."""

import random
import time

import pytest

from tests.support.faults import World, prove
from tests.support.service import new_key
from vault.client import VaultCallError


def kill_often(world: World, times: int) -> float:
    """Kills and starts under load; the median seconds of a start."""
    starts: list[float] = []
    with world.load(writers=6, readers=2) as load:
        good = load.wait_for(10)
        for _ in range(times):
            time.sleep(random.uniform(0.05, 0.3))
            world.kill9()
            began = time.monotonic()
            world.service.start()
            starts.append(time.monotonic() - began)
            good = load.wait_for(5, after=good)
    proof = prove(world, load.attempts())
    assert proof.writes > 2 * times
    assert proof.failures > times / 2
    return sorted(starts)[times // 2]


def test_ten_kills(world: World) -> None:
    assert kill_often(world, 10) < 5


@pytest.mark.soak
def test_two_hundred_kills(world: World) -> None:
    kill_often(world, 200)


def test_retry_after_a_kill_finds_what_was_committed(world: World) -> None:
    """The same key after the kill gives the same tokens."""
    subjects = [(new_key(), {"phone": "13800000001", "person_name": "张三"})]
    key = new_key()
    with world.client("order") as order:
        before = order.tokenize(subjects, idempotency_key=key)
    world.kill9()
    world.service.start()
    with world.client("order") as order:
        after = order.tokenize(subjects, idempotency_key=key)
    assert after.subjects == before.subjects
    assert 2 == world.service.database.value("select count(*) from tokens")


def test_retries_over_a_kill_have_one_effect(world: World) -> None:
    """A client that retries while the service is killed and started gets one set of tokens."""
    for number in range(5):
        with world.load(writers=2, readers=0) as load:
            load.wait_for(1)
            time.sleep(number / 50)
            world.kill9()
            world.service.start()
            load.wait_for(5)
        prove(world, load.attempts())


def test_nobody_is_told_of_a_value_by_a_dead_service(world: World) -> None:
    tokens = list(world.seed(1))
    world.kill9()
    with world.client("shipping", timeout=1) as shipping, pytest.raises(VaultCallError):
        shipping.detokenize("delivery", tokens)
    world.service.start()
