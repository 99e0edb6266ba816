"""Tokens, subjects and their wrapped keys: reading, and binding a new subject."""

from collections.abc import Sequence

import asyncpg

from vault.keys.limits import MOST_USES
from vault.model import SubjectId, TenantId
from vault.rows import DoneWrite, NewSubject, TenantKeyRow, TokenRow, WrappedKeyRow
from vault.store.claims import Claim, Name, Row, Settled, settle
from vault.store.database import Database
from vault.store.queries import QUERIES


class ValueStore:
    """Each method is one trip for many calls; results are found by key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_tokens(self, tokens: Sequence[str]) -> dict[str, TokenRow]:
        """The row of each token that exists, whosever it is.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["load_tokens"], tokens)
        return {row[0]: TokenRow(*row) for row in rows}

    async def load_tokens_of_calls(
        self, calls: Sequence[Sequence[str]]
    ) -> list[dict[str, TokenRow]]:
        """The same for many calls in one trip: each gets the rows of its own tokens.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        found = await self.load_tokens(list({token for tokens in calls for token in tokens}))
        return [{token: found[token] for token in tokens if token in found} for tokens in calls]

    async def load_subject_keys(
        self, subjects: Sequence[SubjectId]
    ) -> dict[tuple[SubjectId, int], WrappedKeyRow]:
        """All wrapped data keys of these subjects.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["load_subject_keys"], subjects)
        return {(row[0], row[1]): WrappedKeyRow(*row) for row in rows}

    async def find_subjects(
        self, ref_digests: Sequence[bytes]
    ) -> dict[tuple[bytes, TenantId], tuple[SubjectId, int]]:
        """The handle and newest key version behind each reference digest that is known.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            found = await connection.fetch(QUERIES["find_subjects"], ref_digests)
            if not found:
                return {}
            newest = await connection.fetch(
                QUERIES["newest_key_versions"], [row["subject_id"] for row in found]
            )
        versions = {row["subject_id"]: row["key_version"] for row in newest}
        return {
            (row["ref_digest"], row["tenant"]): (row["subject_id"], versions[row["subject_id"]])
            for row in found
            if row["subject_id"] in versions
        }

    async def bind_subjects(self, subjects: Sequence[NewSubject]) -> Settled:
        """Stores new subjects with their first keys; those that another process bound first
        are left as they are.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        named = {(s.ref_digests, s.key.tenant): s for s in subjects}
        claims = {name: Claim(_refs(s), s.index_versions) for name, s in named.items()}
        async with self._database.connection() as connection:

            async def copy(mine: frozenset[Name]) -> None:
                await _copy_subjects(connection, [named[name] for name in mine])

            return await settle(connection, QUERIES["claim_subject_ref"], claims, copy)

    async def reserve_uses(
        self, wanted: Sequence[tuple[SubjectId, int, int]]
    ) -> tuple[dict[tuple[SubjectId, int], int], set[tuple[SubjectId, int]]]:
        """Charges keys (subject, version) with seals to come.

        Returns:
            How many seals each is charged with now, and those that would go beyond the
            limit. A key that is gone is in neither.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        # In order of key, so that two processes that charge the same ones don't deadlock.
        arguments = [(*each, MOST_USES) for each in sorted(wanted)]
        async with self._database.connection() as connection:
            async with connection.transaction():
                # The write that the seals are for is waited for, and it comes after this one.
                await connection.execute(QUERIES["commit_without_waiting"])
                rows = await connection.fetchmany(QUERIES["reserve_uses"], arguments)
            charged = {(row["subject_id"], row["key_version"]): row["uses"] for row in rows}
            missing = {(subject, version) for subject, version, _ in wanted} - charged.keys()
            if not missing:
                return charged, set()
            rows = await connection.fetch(
                QUERIES["key_versions"], [subject for subject, _ in missing]
            )
        there = {(row["subject_id"], row["key_version"]) for row in rows}
        return charged, missing & there

    async def find_tenant_keys(self, tenant: TenantId) -> list[TenantKeyRow]:
        """A tenant's index keys, the oldest first.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["find_tenant_keys"], tenant)
        return [tenant_key_row(tenant, row) for row in rows]

    async def claim_tenant_key(self, key: TenantKeyRow) -> None:
        """Stores a tenant's first index key, unless there is one.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            await connection.execute(
                QUERIES["claim_tenant_key"],
                key.tenant,
                key.key_version,
                key.wrapped,
                key.root_version,
                key.commitment,
            )

    async def find_writes(
        self, key_digests: Sequence[bytes]
    ) -> dict[tuple[bytes, TenantId], DoneWrite]:
        """What was done under these idempotency keys.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["find_writes"], key_digests)
        return {
            (row["key_digest"], row["tenant"]): DoneWrite(row["request_digest"], row["outcome"])
            for row in rows
        }


def tenant_key_row(tenant: TenantId, row: asyncpg.Record) -> TenantKeyRow:
    """A row of `find_tenant_keys`."""
    return TenantKeyRow(
        tenant=tenant,
        key_version=row["key_version"],
        wrapped=row["wrapped"],
        root_version=row["root_version"],
        commitment=row["commitment"],
        is_live=row["is_live"],
    )


def _refs(subject: NewSubject) -> list[Row]:
    key = subject.key
    return [
        (digest, key.tenant, version, key.subject_id)
        for digest, version in zip(subject.ref_digests, subject.index_versions, strict=True)
    ]


async def _copy_subjects(connection: asyncpg.Connection, subjects: Sequence[NewSubject]) -> None:
    await connection.copy_records_to_table(
        "subjects",
        columns=("subject_id", "tenant"),
        records=[(s.key.subject_id, s.key.tenant) for s in subjects],
    )
    await copy_subject_keys(connection, [(s.key, s.uses) for s in subjects])


async def copy_subject_keys(
    connection: asyncpg.Connection, keys: Sequence[tuple[WrappedKeyRow, int]]
) -> None:
    """Adds keys, each with the seals that it is charged with from the beginning."""
    await connection.copy_records_to_table(
        "subject_keys",
        columns=(
            "subject_id",
            "key_version",
            "tenant",
            "wrapped",
            "root_version",
            "key_salt",
            "commitment",
            "uses",
        ),
        records=[
            (
                key.subject_id,
                key.key_version,
                key.tenant,
                key.wrapped,
                key.root_version,
                key.key_salt,
                key.commitment,
                uses,
            )
            for key, uses in keys
        ],
    )
