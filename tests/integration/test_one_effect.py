"""The store: one idempotency key, one effect, however its calls meet."""

import uuid
from collections.abc import AsyncIterator

import pytest

from tests.support.embedded import fresh_database
from vault.audit.account import Account, EntryIds
from vault.clock import SystemClock
from vault.embedded import EmbeddedInstance
from vault.model import SubjectId, TenantId
from vault.rows import (
    Commit,
    DoneWrite,
    NewSubject,
    NewWrite,
    TenantKeyRow,
    TokenRow,
    WrappedKeyRow,
)
from vault.store.database import Database, PoolSettings
from vault.store.log import LogStore
from vault.store.migrate import migrate
from vault.store.values import ValueStore

TENANT = TenantId("demo-shop")
SUBJECT = SubjectId(uuid.uuid4())


@pytest.fixture(scope="module")
async def database(instance: EmbeddedInstance) -> AsyncIterator[Database]:
    with fresh_database(instance) as urls:
        await migrate(urls.owner)
        opened = Database(
            PoolSettings(
                url=urls.service, max_connections=4, connect_timeout=5, statement_timeout=5
            )
        )
        await opened.open()
        store = ValueStore(opened)
        await store.claim_tenant_key(TenantKeyRow(TENANT, 1, "vault:v1:", 1, bytes(32)))
        key = WrappedKeyRow(SUBJECT, 1, TENANT, "vault:v1:", 1, bytes(32), bytes(32))
        await store.bind_subjects([NewSubject((b"r" * 32,), (1,), key, uses=1024)])
        yield opened
        await opened.close()


def write(token: str, *, key: bytes, version: int = 1) -> Commit:
    account = Account(
        rpc="vault.v1.TokenService/Tokenize",
        call_id=uuid.uuid4(),
        trace_id=bytes(16),
        span_id=bytes(8),
    )
    return Commit(
        entries=account.close(EntryIds(SystemClock())),
        write=NewWrite((key,), TENANT, (bytes(32),), (1,), outcome=token.encode()),
        tokens=(TokenRow(token, TENANT, SUBJECT, "phone", version, b"sealed"),),
    )


async def test_the_same_key_twice_in_one_trip_has_one_effect(database: Database) -> None:
    """Two calls with one key that meet in one transaction: one is done, the other is told."""
    key = b"k" * 32

    done = await LogStore(database).commit(
        [write("first", key=key), write("second", key=key), write("other", key=b"o" * 32)]
    )
    stored = await ValueStore(database).load_tokens(["first", "second", "other"])

    assert [None, DoneWrite(bytes(32), b"first"), None] == done
    assert {"first", "other"} == stored.keys()


async def test_a_key_that_was_used_before_has_no_second_effect(database: Database) -> None:
    key = b"b" * 32
    await LogStore(database).commit([write("before", key=key)])

    done = await LogStore(database).commit([write("after", key=key)])

    assert [DoneWrite(bytes(32), b"before")] == done
    assert {"before"} == (await ValueStore(database).load_tokens(["before", "after"])).keys()
