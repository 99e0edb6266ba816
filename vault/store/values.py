"""Tokens, subjects and their wrapped keys: reading, and binding a new subject."""

from collections.abc import Sequence

from vault.model import SubjectId, TenantId
from vault.rows import DoneWrite, NewSubject, TenantKeyRow, TokenRow, WrappedKeyRow
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

    async def bind_subjects(self, subjects: Sequence[NewSubject]) -> set[tuple[bytes, TenantId]]:
        """Stores new subjects with their first keys; those that another process bound first
        are left as they are.

        Returns:
            The (reference digest, tenant) pairs that this call bound.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        # In order of key, so that two processes that bind the same ones don't deadlock.
        ordered = sorted(subjects, key=lambda s: (s.ref_digest, s.key.tenant))
        async with self._database.connection() as connection, connection.transaction():
            claimed = await connection.fetchmany(
                QUERIES["claim_subject_ref"],
                [
                    (s.ref_digest, s.key.tenant, s.index_key_version, s.key.subject_id)
                    for s in ordered
                ],
            )
            mine = {(row["ref_digest"], row["tenant"]) for row in claimed}
            won = [s.key for s in ordered if (s.ref_digest, s.key.tenant) in mine]
            await connection.copy_records_to_table(
                "subjects",
                columns=("subject_id", "tenant"),
                records=[(key.subject_id, key.tenant) for key in won],
            )
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
                    )
                    for key in won
                ],
            )
        return mine

    async def find_tenant_keys(self, tenant: TenantId) -> list[TenantKeyRow]:
        """A tenant's index keys, newest first.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["find_tenant_keys"], tenant)
        return [
            TenantKeyRow(
                tenant=tenant,
                key_version=row["key_version"],
                wrapped=row["wrapped"],
                root_version=row["root_version"],
                commitment=row["commitment"],
            )
            for row in rows
        ]

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
