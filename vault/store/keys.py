"""Wrapped keys as a rotation sees them: by the root version that they need. Custodians' login.

Guarantees: a wrapping is replaced only if it is still the one that was read, together with the
job's note of it; what a version wraps is read from the wrapped text itself where it matters
(`wrappings`). Leaves to others: what is wrapped, which nobody with this login can open.
"""

import datetime as dt
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import asyncpg

from vault.keys.jobs import PARTS, Advanced, Lease, Step
from vault.keys.limits import ALARM_USES
from vault.keys.parts import first_id, last_id
from vault.model import SubjectId, TenantId
from vault.store.database import Database
from vault.store.jobs import advance
from vault.store.queries import QUERIES

_COUNTED_AT_ONCE = 200_000
"""Rows that one statement counts; beyond, a statement for each part keeps each of them short."""
_COUNTED = 1_000_000
_READ = 5000
_HEAD = re.compile(r"vault:v([1-9][0-9]{0,8}):.")


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A wrapped key to wrap anew.

    Attributes:
        subject_id: None for a tenant's own key, which has a `kind` instead.
    """

    key_version: int
    wrapped: str = field(repr=False)
    subject_id: SubjectId | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """A key with its new wrapping."""

    key: WrappedKey
    wrapped: str = field(repr=False)
    root_version: int


@dataclass(frozen=True, slots=True)
class Wrappings:
    """What some rows' wrapped texts say.

    Attributes:
        versions: rows by the root version that the text names.
        damaged: rows whose text can't be read, or differs from what is noted beside it.
    """

    rows: int
    versions: Counter[int]
    damaged: int


@dataclass(frozen=True, slots=True)
class SubjectKeyFacts:
    """A tenant's subject keys, taken together."""

    oldest: dt.datetime | None
    version: int
    max_uses: int
    near_limit: int


class KeyStore:
    """Every method raises VaultError (DATABASE_UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows_by_root_version(self, tenant: TenantId) -> dict[int, int]:
        """How many rows are noted under each root version: subject keys and the tenant's own."""
        found: Counter[int] = Counter()
        async with self._database.connection() as connection:
            for row in await connection.fetch(QUERIES["tenant_keys_by_root"], tenant):
                found[row["root_version"]] += row["rows"]
            version = 0
            next_version = (QUERIES["next_root_version"], tenant)
            while version := await connection.fetchval(*next_version, version):
                count = await connection.fetchval(
                    QUERIES["count_subject_keys_of_root"], tenant, version, _COUNTED_AT_ONCE + 1
                )
                if count <= _COUNTED_AT_ONCE:
                    found[version] += count
                    continue
                for part in range(PARTS):
                    found[version] += await connection.fetchval(
                        QUERIES["count_subject_keys_of_part"],
                        tenant,
                        version,
                        first_id(part),
                        last_id(part),
                    )
        return {version: found[version] for version in sorted(found) if found[version]}

    # --- Rewrapping -------------------------------------------------------------------

    async def tenant_keys_to_rewrap(self, tenant: TenantId, version: int) -> list[WrappedKey]:
        """The tenant's own keys that a root version below this one wraps."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["tenant_keys_to_rewrap"], tenant, version)
        return [WrappedKey(row["key_version"], row["wrapped"], kind=row["kind"]) for row in rows]

    async def subject_keys_to_rewrap(
        self, tenant: TenantId, version: int, part: int, after: tuple[uuid.UUID, int], limit: int
    ) -> list[WrappedKey]:
        """The next keys of a part, in order, that a root version below this one wraps."""
        async with self._database.connection() as connection:
            # A statement for each version, in one round trip.
            rows = await connection.fetchmany(
                QUERIES["subject_keys_to_rewrap"],
                [
                    (tenant, each, *after, first_id(part), last_id(part), limit)
                    for each in range(1, version)
                ],
            )
        rows.sort(key=lambda row: (row["subject_id"], row["key_version"]))
        return [
            WrappedKey(row["key_version"], row["wrapped"], SubjectId(row["subject_id"]))
            for row in rows[:limit]
        ]

    async def put_rewrapped(
        self, lease: Lease, keys: Sequence[Rewrapped], *, cursor: bytes, failed: int, is_last: bool
    ) -> Advanced:
        """Stores new wrappings, and notes the batch, in one transaction.

        A key whose wrapping is no longer the one that was read is left alone, and not counted.

        Raises:
            LeaseLostError: nothing was stored.
        """
        subjects, own = [], []
        for each in keys:
            change = (each.key.key_version, each.key.wrapped, each.wrapped, each.root_version)
            if each.key.subject_id is None:
                own.append((lease.tenant, each.key.kind, *change))
            else:
                subjects.append((lease.tenant, each.key.subject_id, *change))
        done = 0
        async with self._database.connection() as connection, connection.transaction():
            # A crash may undo the last batches, and where they ended with them. What comes after
            # the last of them (the next phase) is waited for, and so are they.
            await connection.execute(QUERIES["commit_without_waiting"])
            if subjects:
                done += len(await connection.fetchmany(QUERIES["rewrap_subject_key"], subjects))
            if own:
                done += len(await connection.fetchmany(QUERIES["rewrap_tenant_key"], own))
            return await advance(connection, lease, Step(cursor, done, failed, is_last))

    # --- Verifying --------------------------------------------------------------------

    async def wrappings(self, tenant: TenantId) -> AsyncIterator[Wrappings]:
        """Reads every wrapped key of a tenant, some thousand rows at a time.

        While a rotation is under way a row may be read twice, once for each version.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["read_tenant_wrappings"], tenant)
        yield _read(rows)
        after = (0, uuid.UUID(int=0), 0)
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(
                    QUERIES["read_subject_wrappings"], tenant, *after, _READ
                )
            if rows:
                last = rows[-1]
                after = (last["root_version"], last["subject_id"], last["key_version"])
                yield _read(rows)
            if len(rows) < _READ:
                return

    # --- Status -----------------------------------------------------------------------

    async def index_versions(self, tenant: TenantId) -> list[tuple[int, dt.datetime]]:
        """(version, when it was made) of a tenant's index keys, the oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["index_key_versions"], tenant)
        return [(row["key_version"], row["created_at"]) for row in rows]

    async def refs_by_index_version(self, tenant: TenantId) -> dict[int, int]:
        """References by version of the index key; counted up to a million."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["count_refs_by_index_version"], tenant, _COUNTED)
        return {row["index_key_version"]: row["rows"] for row in rows}

    async def subject_facts(self, tenant: TenantId) -> SubjectKeyFacts:
        """Of keys below 2^20 uses, the most uses are looked for among some 100,000."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                QUERIES["subject_key_facts"], tenant, _COUNTED_AT_ONCE // 2, ALARM_USES
            )
        return SubjectKeyFacts(row["oldest"], row["version"], row["max_uses"], row["near_limit"])


def _read(rows: Sequence[asyncpg.Record]) -> Wrappings:
    versions: Counter[int] = Counter()
    damaged = 0
    for row in rows:
        match = _HEAD.match(row["head"])
        version = int(match[1]) if match else 0
        if version:
            versions[version] += 1
        damaged += version != row["root_version"]
    return Wrappings(len(rows), versions, damaged)
