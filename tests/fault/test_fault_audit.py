"""The log takes no entries: no value leaves, nothing is stored, and all recovers by itself."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.support.faults import World
from tests.support.service import new_key
from vault.client import VaultCallError

REFUSE_ROWS = """
create function refuse_rows() returns trigger language plpgsql as
    $$ begin raise exception 'no entry today'; end $$;
create trigger refuse_rows before insert on audit_entries
    for each row execute function refuse_rows();
"""


@contextlib.contextmanager
def insert_revoked(world: World) -> Iterator[None]:
    database = world.service.database
    database.execute("revoke insert on audit_entries from pdvault_service")
    try:
        yield
    finally:
        database.execute("grant insert on audit_entries to pdvault_service")


@contextlib.contextmanager
def trigger_raises(world: World) -> Iterator[None]:
    database = world.service.database
    database.execute(REFUSE_ROWS)
    try:
        yield
    finally:
        database.execute("drop trigger refuse_rows on audit_entries; drop function refuse_rows()")


@pytest.mark.parametrize("fault", [insert_revoked, trigger_raises])
def test_no_entry_no_value(
    world: World, fault: "type[contextlib.AbstractContextManager[None]]"
) -> None:
    tokens = world.seed(3)
    database = world.service.database
    with (
        world.client("order") as order,
        world.client("shipping") as shipping,
        world.client("marketing") as marketing,
        world.client("auditor") as auditor,
    ):
        calls = {
            "read": lambda: shipping.detokenize("delivery", tokens),
            "write": lambda: order.tokenize([(new_key(), {"phone": "13800000000"})]),
            "write of a known subject": lambda: order.tokenize(
                [("seed", {"phone": "13800000000"})]
            ),
            "refused by policy": lambda: marketing.detokenize("marketing", tokens),
            "list": lambda: list(auditor.list_entries()),
            "bundle": auditor.get_bundle,
        }
        order.tokenize([("seed", {"phone": "13800000000"})])
        before = database.counts() | {"entries": len(database.entries())}
        with fault(world):
            reasons = {}
            for name, call in calls.items():
                began = time.monotonic()
                with pytest.raises(VaultCallError) as error:
                    call()
                reasons[name] = error.value.reason.name
                assert time.monotonic() - began < 2
            world.wait_for_health("NOT_SERVING")
        after = database.counts() | {"entries": len(database.entries())}
    assert dict.fromkeys(calls, "AUDIT_UNAVAILABLE") == reasons
    # A subject that was bound and got no value is harmless: nothing points to it.
    for table in ("tokens", "writes", "entries"):
        assert before[table] == after[table]
    world.wait_until_works()
    world.wait_for_health("SERVING")
    assert list(tokens.values()) == [value[-11:] for value in world.read(list(tokens))]
