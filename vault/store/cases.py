"""What calls are about: from the keyed digest of a case's reference to its random handle."""

import uuid
from collections.abc import Sequence

from vault.model import TenantId
from vault.rows import NewCase
from vault.store.claims import Claim, Row, Settled, settle
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

    async def claim_cases(self, cases: Sequence[NewCase]) -> Settled:
        """Gives cases their handles; those that another process claimed first are left as
        they are.
        """
        claims = {
            (case.ref_digests, case.tenant): Claim(_rows(case), case.index_versions)
            for case in cases
        }
        async with self._database.connection() as connection:
            return await settle(connection, QUERIES["claim_case"], claims)


def _rows(case: NewCase) -> list[Row]:
    return [
        (digest, case.tenant, version, case.case_id)
        for digest, version in zip(case.ref_digests, case.index_versions, strict=True)
    ]
