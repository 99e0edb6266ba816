"""Digests under the versions of an index key: reading, layering, removing; custodians' login.

Guarantees: rows are layered or removed in the transaction that notes the batch; the reference of a
subject that is erased meanwhile is not layered: its keys' rows are held, which an erasure
deletes before its references. Leaves to `vault.service.relayer`: the digests.
"""

import datetime as dt
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from vault.keys.jobs import PARTS, Advanced, Lease, Step
from vault.model import TenantId
from vault.rows import TenantKeyRow
from vault.store.database import Database
from vault.store.jobs import advance
from vault.store.queries import QUERIES
from vault.store.rotation import settled
from vault.store.values import tenant_key_row

_NOTICE = "index"
"""What other processes are told: about everybody, so they ask for their index keys anew."""


class Table(enum.Enum):
    """What holds digests; the value is its place in a part's cursor."""

    REFS = 0
    CASES = 1
    WRITES = 2
    REPEATS = 3
    """Those of a day, and few: layered all at once, with part 0, and never removed."""


_COUNT = {
    Table.REFS: QUERIES["count_refs_of_version"],
    Table.CASES: QUERIES["count_cases_of_version"],
    Table.WRITES: QUERIES["count_writes_of_version"],
}
_READ = {
    Table.REFS: QUERIES["refs_of_version"],
    Table.CASES: QUERIES["cases_of_version"],
    Table.WRITES: QUERIES["writes_of_version"],
}
_REMOVE = {
    Table.REFS: QUERIES["remove_refs"],
    Table.CASES: QUERIES["remove_cases"],
    Table.WRITES: QUERIES["remove_writes"],
}


@dataclass(frozen=True, slots=True)
class Place:
    """How far a part has come."""

    table: Table
    after: bytes

    @classmethod
    def of(cls, lease: Lease) -> "Place":
        """Where to go on."""
        if not lease.cursor:
            return cls(Table.REFS, first_digest(lease.part))
        return cls(Table(lease.cursor[0]), lease.cursor[1:])

    def pack(self) -> bytes:
        return bytes((self.table.value,)) + self.after


class LayerStore:
    """Every method raises VaultError (DATABASE_UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self, tenant: TenantId) -> list[TenantKeyRow]:
        """All versions of the tenant's index key, the oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["find_tenant_keys"], tenant)
        return [tenant_key_row(tenant, row) for row in rows]

    async def announce(self, key: TenantKeyRow) -> None:
        """From now on everybody who asks searches and stores under this version as well."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(
                QUERIES["add_index_key"],
                key.tenant,
                key.key_version,
                key.wrapped,
                key.root_version,
                key.commitment,
            )
            await connection.execute(QUERIES["notify_keys"], _NOTICE)

    async def retire(self, tenant: TenantId, version: int) -> None:
        """From now on everybody who asks searches and stores under this version alone."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(QUERIES["retire_index_keys"], tenant, version)
            await connection.execute(QUERIES["notify_keys"], _NOTICE)

    async def settled(self, *, within_seconds: float) -> bool:
        """See `vault.store.rotation.settled`."""
        return await settled(self._database, within_seconds=within_seconds)

    async def count(self, tenant: TenantId, version: int) -> int:
        """Rows with digests of this version. Part by part, so that no statement takes long."""
        found = 0
        async with self._database.connection() as connection:
            for statement in _COUNT.values():
                for part in range(PARTS):
                    found += await connection.fetchval(
                        statement, tenant, version, first_digest(part), end_digest(part)
                    )
        return found

    async def layer(
        self, lease: Lease, *, versions: tuple[int, int], limit: int, layered: "Layering"
    ) -> Advanced:
        """Adds the next rows of a part under the second of two versions.

        Raises:
            LeaseLostError: nothing was changed.
        """
        place, (before, after) = Place.of(lease), versions
        async with self._database.connection() as connection, connection.transaction():
            if place.table is Table.REPEATS:
                await self._layer_repeats(connection, lease.tenant, layered)
                return await advance(connection, lease, Step(place.pack(), 0, 0, is_last=True))
            rows = await _read(connection, lease, place, before, limit)
            await _LAYER[place.table](connection, lease.tenant, after, rows, layered)
            following = _following(place, rows, limit, lease.part)
            is_last = following is None or (following.table is Table.REPEATS and lease.part != 0)
            cursor = (following or place).pack()
            return await advance(connection, lease, Step(cursor, len(rows), 0, is_last=is_last))

    async def remove(self, lease: Lease, *, version: int, limit: int) -> Advanced:
        """Deletes the next rows of a part with digests of this version.

        Raises:
            LeaseLostError: nothing was changed.
        """
        place = Place.of(lease)
        async with self._database.connection() as connection, connection.transaction():
            rows = await _read(connection, lease, place, version, limit)
            digests = [row[0] for row in rows]
            await connection.execute(_REMOVE[place.table], lease.tenant, version, digests)
            following = _following(place, rows, limit, lease.part)
            is_last = following is None or following.table is Table.REPEATS
            cursor = (following or place).pack()
            return await advance(connection, lease, Step(cursor, len(rows), 0, is_last=is_last))

    async def _layer_repeats(
        self, connection: asyncpg.Connection, tenant: TenantId, layered: "Layering"
    ) -> None:
        # Digests of the new version are layered as well: to such as nobody looks for.
        rows = await connection.fetch(QUERIES["repeats_of_tenant"], tenant)
        await connection.executemany(
            QUERIES["layer_repeat"],
            sorted((layered.key(row[0]), tenant, row[1], row[2]) for row in rows),
        )


@dataclass(frozen=True, slots=True)
class Layering:
    """Digests of the next version, from those of the one before."""

    ref: Callable[[bytes], bytes]
    case: Callable[[bytes], bytes]
    key: Callable[[bytes], bytes]
    request: Callable[[bytes], bytes]


def first_digest(part: int) -> bytes:
    """Every digest of a part is above it."""
    return bytes((part * (256 // PARTS),))


def end_digest(part: int) -> bytes:
    """Every digest of a part is below it."""
    return b"\xff" * 33 if part == PARTS - 1 else first_digest(part + 1)


async def _read(
    connection: asyncpg.Connection, lease: Lease, place: Place, version: int, limit: int
) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await connection.fetch(
        _READ[place.table],
        lease.tenant,
        version,
        place.after,
        end_digest(lease.part),
        limit,
    )
    return rows


def _following(place: Place, rows: Sequence[asyncpg.Record], limit: int, part: int) -> Place | None:
    if len(rows) == limit:
        return Place(place.table, rows[-1][0])
    return Place(Table(place.table.value + 1), first_digest(part))


# In order of digest, as those insert who bind (`vault.store.claims`), so that nobody deadlocks.


async def _layer_refs(
    connection: asyncpg.Connection,
    tenant: TenantId,
    version: int,
    rows: Sequence[asyncpg.Record],
    layered: Layering,
) -> None:
    held = await connection.fetchmany(
        QUERIES["hold_subjects"], [(each,) for each in sorted({row["subject_id"] for row in rows})]
    )
    alive = {row["subject_id"] for row in held}
    await connection.executemany(
        QUERIES["layer_ref"],
        sorted(
            (layered.ref(row["ref_digest"]), tenant, version, row["subject_id"], row["created_at"])
            for row in rows
            if row["subject_id"] in alive
        ),
    )


async def _layer_cases(
    connection: asyncpg.Connection,
    tenant: TenantId,
    version: int,
    rows: Sequence[asyncpg.Record],
    layered: Layering,
) -> None:
    await connection.executemany(
        QUERIES["layer_case"],
        sorted(
            (layered.case(row["ref_digest"]), tenant, version, row["case_id"], row["created_at"])
            for row in rows
        ),
    )


async def _layer_writes(
    connection: asyncpg.Connection,
    tenant: TenantId,
    version: int,
    rows: Sequence[asyncpg.Record],
    layered: Layering,
) -> None:
    arguments: list[tuple[bytes, TenantId, int, bytes, bytes, dt.datetime]] = [
        (
            layered.key(row["key_digest"]),
            tenant,
            version,
            layered.request(row["request_digest"]),
            row["outcome"],
            row["created_at"],
        )
        for row in rows
    ]
    await connection.executemany(QUERIES["layer_write"], sorted(arguments))


_LAYER = {Table.REFS: _layer_refs, Table.CASES: _layer_cases, Table.WRITES: _layer_writes}
