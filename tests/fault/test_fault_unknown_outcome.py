"""A connection breaks when nobody can tell what was done: the same key has exactly one effect."""

import random
import threading
import time

import pytest

from tests.support.faults import World, entries_by_call, prove
from tests.support.link import Cut, link
from tests.support.service import new_key
from vault.client import TokenizeOutcome, VaultCallError


def test_answer_lost_between_client_and_service(world: World) -> None:
    """The client's own retry, with the key that it keeps, finds what the lost call did."""
    for cut in (Cut.BEFORE, Cut.AFTER):
        with link(world.service.port) as wire:
            with world.client("order", attempts=4, port=wire.port) as order:
                order.check_health()
                key = new_key()
                left = 1

                def judge(data: bytes, cut: Cut = cut) -> Cut:
                    nonlocal left
                    if left and len(data) > 100:  # the request, not an acknowledgement
                        left -= 1
                        return cut
                    return Cut.PASS

                wire.judge = judge
                outcome = order.tokenize(
                    [(new_key(), {"phone": "13800000001"})], idempotency_key=key
                )
                again = order.tokenize(
                    [("other", {"phone": "13800000001"})], idempotency_key=new_key()
                )
            assert 1 == wire.cuts
            assert outcome.is_complete
            assert again.is_complete
    assert 4 == world.service.database.value("select count(*) from tokens")
    assert 4 == world.service.database.value("select count(*) from writes")


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_cut_during_the_commit(world: World, cut: Cut) -> None:
    """PostgreSQL may or may not have committed: the call says so, the retry finds out."""
    subjects = [(new_key(), {"phone": "13800000001", "person_name": "张三"})]
    with world.client("order") as order:
        # Bound before, so that the commit that is cut is the write's own.
        order.tokenize(subjects)
        before = world.service.database.counts()
        is_armed = True

        def judge(data: bytes) -> Cut:
            nonlocal is_armed
            if is_armed and b"COMMIT;" in data:
                is_armed = False
                return cut
            return Cut.PASS

        world.postgres.judge = judge
        key = new_key()
        with pytest.raises(VaultCallError) as error:
            order.tokenize(subjects, idempotency_key=key)
        assert "OUTCOME_UNKNOWN" == error.value.reason.name
        first = world.service.database.counts()
        outcome = order.tokenize(subjects, idempotency_key=key)
    after = world.service.database.counts()
    assert 1 == world.postgres.cuts
    assert first["tokens"] - before["tokens"] == (2 if cut is Cut.AFTER else 0)
    assert 2 == after["tokens"] - before["tokens"]
    assert 1 == after["writes"] - before["writes"]
    found = entries_by_call(world.service.database.entries())
    # The call whose outcome was unknown has the entry that says so, and if it was committed
    # its own as well: the log tells both halves of the story.
    assert "OUTCOME_UNKNOWN" in {entry.reason.name for entry in found[error.value.call_id]}
    assert (2 if cut is Cut.AFTER else 1) == len(found[error.value.call_id])
    assert 1 == len(found[outcome.call_ids[0]])


def test_cuts_at_random_under_load(world: World) -> None:
    """Whatever is cut between service and PostgreSQL, every key has at most one effect."""
    dice = random.Random(7)

    def judge(_: bytes) -> Cut:
        roll = dice.random()
        return Cut.BEFORE if roll < 0.01 else Cut.AFTER if roll < 0.02 else Cut.PASS

    with world.load() as load:
        load.wait_for(20)
        world.postgres.judge = judge
        time.sleep(6)
        world.postgres.mend()
        load.wait_for(50, after=len([each for each in load.attempts() if each["ok"]]))
    proof = prove(world, load.attempts())
    assert world.postgres.cuts > 10
    assert proof.writes > 20
    reasons = {each["reason"] for each in load.attempts() if not each["ok"]}
    assert reasons <= {
        "OUTCOME_UNKNOWN", "AUDIT_UNAVAILABLE", "DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED"
    }  # fmt: skip


def test_same_key_at_the_same_time(world: World) -> None:
    """Impatient clients send one write many times at once: all get the same tokens."""
    subjects = [(f"ref-{n}", {"phone": "13800000001"}) for n in range(5)]
    for _ in range(5):
        key = new_key()
        outcomes: list[TokenizeOutcome] = []

        def write(key: str = key, outcomes: list[TokenizeOutcome] = outcomes) -> None:
            with world.client("order") as order:
                outcomes.append(order.tokenize(subjects, idempotency_key=key))

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 8 == len(outcomes)
        assert 1 == len({str([each.tokens for each in one.subjects]) for one in outcomes})
    prove(world, [])
    assert 25 == world.service.database.value("select count(*) from tokens")
