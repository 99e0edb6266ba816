"""Requests that take two custodians, with the custodians' login.

Guarantees: what is done within `ActStore.work` is one transaction, in which a locked request is
nobody else's; a request is approved once, used once, and only in its time by the database's
clock, whatever the caller of this module believes. Leaves to `vault.service.acts`: whether
a row is to be believed.
"""

import contextlib
import datetime as dt
import uuid
from collections.abc import AsyncIterator

import asyncpg

from vault.keys.acts import Approval, Asked, StoredAct, from_us, to_us
from vault.model import TenantId
from vault.store.database import Database
from vault.store.queries import QUERIES


class ActWork:
    """One transaction."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def now_us(self) -> int:
        """The database's time."""
        now: dt.datetime = await self._connection.fetchval(QUERIES["database_time"])
        return to_us(now)

    async def claim(self, key_digest: bytes, tenant: TenantId, request_id: uuid.UUID) -> uuid.UUID:
        """Gives an idempotency key to a request; which request has it now."""
        given = await self._connection.fetchval(
            QUERIES["claim_act_key"], key_digest, tenant, request_id
        )
        if given is None:
            given = await self._connection.fetchval(QUERIES["find_act_by_key"], key_digest, tenant)
        return uuid.UUID(bytes=given.bytes)

    async def add(self, asked: Asked) -> None:
        """Keeps a new request."""
        await self._connection.execute(
            QUERIES["add_act_request"],
            asked.request_id,
            asked.tenant,
            asked.act,
            asked.cause,
            asked.requested_by,
            from_us(asked.requested_at_us),
            from_us(asked.expires_at_us),
            asked.digest,
        )

    async def lock(self, request_id: uuid.UUID, tenant: TenantId) -> StoredAct | None:
        """A request, which is ours until the end of the transaction."""
        row = await self._connection.fetchrow(QUERIES["lock_act_request"], request_id, tenant)
        return None if row is None else _stored(row)

    async def approve(self, stored: StoredAct, approval: Approval) -> bool:
        """Keeps an approval; False: the request is not open, or by the same person."""
        asked = stored.asked
        done = await self._connection.fetchval(
            QUERIES["approve_act_request"],
            asked.request_id,
            asked.digest,
            approval.by,
            from_us(approval.at_us),
            approval.key_version,
            approval.signature,
        )
        return done is not None

    async def withdraw(self, stored: StoredAct, by: str) -> bool:
        """Takes a request back; False: it is closed."""
        request_id = stored.asked.request_id
        done = await self._connection.fetchval(QUERIES["withdraw_act_request"], request_id, by)
        return done is not None

    async def use(self, stored: StoredAct, by: str) -> bool:
        """Marks an approved request as carried out; False: it can't be, any more."""
        asked = stored.asked
        done = await self._connection.fetchval(
            QUERIES["use_act_request"], asked.request_id, asked.digest, by
        )
        return done is not None

    async def accept_bundle(
        self, number: int, digest: bytes, reach: bytes, request_id: uuid.UUID | None
    ) -> bool:
        """Makes a bundle the newest accepted one; False: another took that number."""
        done = await self._connection.fetchval(
            QUERIES["accept_bundle"], number, digest, reach, request_id
        )
        return done is not None


class ActStore:
    """Every method raises VaultError (DATABASE_UNAVAILABLE, INTERNAL)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def work(self) -> AsyncIterator[ActWork]:
        """A transaction; an error within it undoes it."""
        async with self._database.connection() as connection, connection.transaction():
            yield ActWork(connection)

    async def find(self, request_id: uuid.UUID, tenant: TenantId) -> StoredAct | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["find_act_request"], request_id, tenant)
        return None if row is None else _stored(row)

    async def newest(self, tenant: TenantId, *, only_open: bool, limit: int) -> list[StoredAct]:
        """A tenant's requests, the newest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["list_act_requests"], tenant, only_open, limit)
        return [_stored(row) for row in rows]

    async def approved(self, act: bytes) -> list[StoredAct]:
        """Approved requests for exactly this act, of any tenant, the oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["list_approved_acts"], act)
        return [_stored(row) for row in rows]


def _stored(row: asyncpg.Record) -> StoredAct:
    approval = None
    if row["approved_at"] is not None:
        approval = Approval(
            row["approved_by"],
            to_us(row["approved_at"]),
            row["approval_key_version"],
            row["approval"],
        )
    return StoredAct(
        asked=Asked(
            request_id=uuid.UUID(bytes=row["request_id"].bytes),
            tenant=row["tenant"],
            act=row["act"],
            cause=row["cause"],
            requested_by=row["requested_by"],
            requested_at_us=to_us(row["requested_at"]),
            expires_at_us=to_us(row["expires_at"]),
        ),
        digest=row["digest"],
        approval=approval,
        is_withdrawn=row["withdrawn_at"] is not None,
        done_at_us=None if row["done_at"] is None else to_us(row["done_at"]),
        now_us=to_us(row["now"]),
    )
