"""CarryOutAct when the effect fails: undone, both in the log. All else is in tests/rpc."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.policies import POLICIES, principal_of
from vault.audit.account import Account
from vault.errors import Reason, VaultError
from vault.keys.acts import Asked, Retire, StoredAct, encode_act
from vault.policy import load_bundle
from vault.service.acts import ActKeeper
from vault.service.call import Call

_ASKED = Asked(uuid.UUID(int=7), "demo-shop", encode_act(Retire(2)), "rotation", "a", 1, 10)
_STORED = StoredAct(_ASKED, _ASKED.digest, None, is_withdrawn=False, done_at_us=None, now_us=2)


class World:
    """Store, approvals, effects, guard and recorder in one; notes what happened, in order."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.fails = False

    @contextlib.asynccontextmanager
    async def work(self) -> AsyncIterator["World"]:
        try:
            yield self
        except BaseException:
            self.happened.append("undone")
            raise
        self.happened.append("committed")

    async def lock(self, *_: object) -> StoredAct:
        return _STORED

    async def check(self, *_: object) -> Retire:
        return Retire(2)

    async def obstacles(self, *_: object) -> list[Any]:
        return []

    async def describe(self, *_: object) -> str:
        return "what it does"

    async def use(self, *_: object) -> bool:
        self.happened.append("used")
        return True

    async def record(self, account: Account, _: object) -> None:
        assert account.act is not None
        assert (_ASKED.request_id, _ASKED.digest) == (account.act.request_id, account.act.digest)
        account.is_closed = True
        self.happened.append("recorded")

    async def carry_out(self, *_: object) -> None:
        self.happened.append("effect")
        if self.fails:
            raise VaultError(Reason.KEY_STORE_UNAVAILABLE, "the key store cannot be reached")

    def mark(self, _: str) -> None:
        pass


def call(world: World) -> Call:
    bundle = load_bundle(POLICIES)
    account = Account(rpc="x", call_id=uuid.uuid4(), trace_id=bytes(16), span_id=bytes(8))
    principal = principal_of(bundle, "vault/custodian-1")
    return Call(principal, bundle, account, world)  # type: ignore[arg-type]  # marks are noted


def keeper(world: Any) -> ActKeeper:
    return ActKeeper(
        store=world,
        approvals=world,
        effects=world,
        guard=world,
        recorder=world,
        request_seconds=60,
    )


async def test_the_entry_comes_before_the_effect_and_the_commit_after() -> None:
    world = World()
    this = call(world)
    done = await keeper(world).carry_out(this, _ASKED.request_id, dry_run=False)
    assert ["used", "recorded", "effect", "committed"] == world.happened
    assert "what it does" == done.effect
    assert this.account.is_closed


async def test_an_effect_that_fails_undoes_the_use_and_has_a_second_entry() -> None:
    world = World()
    world.fails = True
    this = call(world)
    with pytest.raises(VaultError, match="KEY_STORE_UNAVAILABLE"):
        await keeper(world).carry_out(this, _ASKED.request_id, dry_run=False)
    assert ["used", "recorded", "effect", "undone"] == world.happened
    # Open again: the boundary records the failure.
    assert not this.account.is_closed
