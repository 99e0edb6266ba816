"""What calls are about: from the keyed digest of a case's reference to its random handle."""

import uuid
from collections.abc import Sequence

from vault.model import TenantId
from vault.rows import NewCase
from vault.store.database import Database
from vault.store.queries import QUERIES

CaseName = tuple[bytes, TenantId]
"""Digest of the reference, tenant."""


class CaseStore:
    """Each method is one trip for many calls. Every one raises VaultError
    (DATABASE_UNAVAILABLE).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_cases(self, ref_digests: Sequence[bytes]) -> dict[CaseName, uuid.UUID]:
        """The handles of the cases that are known."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["find_cases"], ref_digests)
        return {(row["ref_digest"], row["tenant"]): row["case_id"] for row in rows}

    async def claim_cases(self, cases: Sequence[NewCase]) -> dict[CaseName, uuid.UUID]:
        """Gives cases their handles; those that another process claimed first are left out."""
        # In order of key, so that two processes that claim the same ones don't deadlock.
        arguments = sorted(
            (case.ref_digest, case.tenant, case.index_key_version, case.case_id) for case in cases
        )
        async with self._database.connection() as connection:
            rows = await connection.fetchmany(QUERIES["claim_case"], arguments)
        return {(row["ref_digest"], row["tenant"]): row["case_id"] for row in rows}
