"""What backups there are, and which keys they need.

Guarantees: a backup is on record before its snapshot is taken, so that a root version which it
needs can't be retired meanwhile, and an erasure counts it; one that was given up no longer
counts. Leaves to whoever keeps backups: that one is gone everywhere after `keep_until`.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from vault.errors import Reason, VaultError
from vault.model import TenantId
from vault.store.database import Database
from vault.store.queries import QUERIES

MADE, DECLARED, ARCHIVE = "pdvault", "declared", "archive"
"""Kinds: ours; somebody else's copy of a moment; a base backup and the write-ahead log after it."""
UNFINISHED, KEPT, FAILED, GONE = "unfinished", "kept", "failed", "gone"


@dataclass(frozen=True, slots=True)
class RootCount:
    """How many keys a version of a tenant's root key wraps."""

    tenant: str
    root_version: int
    keys: int


@dataclass(frozen=True, slots=True)
class BackupRow:
    """A backup on record.

    Attributes:
        taken_at, covers_until: it holds what there was at some moment between these; None: and
            whatever comes later (an archive), or not known yet (unfinished).
        keep_until: when it is gone everywhere, at the latest.
        size, sha256: of the file, in bytes; None for what others made.
        label: a file's name, or what the operator wrote.
    """

    backup_id: UUID
    kind: str
    state: str
    taken_at: dt.datetime
    covers_until: dt.datetime | None
    keep_until: dt.datetime
    size: int | None
    sha256: bytes | None
    label: str
    roots: tuple[RootCount, ...] = ()


class BackupStore:
    """The record. Asking takes the custodians' role, recording the owner's.

    Every method raises VaultError (DATABASE_UNAVAILABLE).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def backups_needing(self, tenant: TenantId) -> dict[int, int]:
        """Root version -> how many backups inside their window need it."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["backups_needing"], tenant)
        return {row["root_version"]: row["backups"] for row in rows}

    async def latest_keep_until(
        self, *, created_at: dt.datetime | None, erased_at: dt.datetime
    ) -> dt.datetime | None:
        """When the last backup that may hold a subject is gone; None if none holds it.

        Args:
            created_at: when the subject's first key was made; None: not known, long ago.
            erased_at: when its keys were destroyed.
        """
        async with self._database.connection() as connection:
            found: dt.datetime | None = await connection.fetchval(
                QUERIES["latest_keep_until"], created_at, erased_at
            )
        return found

    async def begin(
        self,
        backup_id: UUID,
        *,
        kind: str,
        keep_until: dt.datetime,
        label: str,
        taken_at: dt.datetime | None = None,
    ) -> None:
        """Puts a backup on record, with the root versions in use.

        Args:
            backup_id: random.
            kind: MADE is on record as unfinished until `finish`; the others are kept at once.
            keep_until: when it will be gone.
            label: what people know it by.
            taken_at: when somebody else began to make it; None: now.

        Raises:
            VaultError: REQUEST_MALFORMED: `keep_until` is over.
        """
        state = UNFINISHED if kind == MADE else KEPT
        now = dt.datetime.now(dt.UTC)
        covers_until = now if kind == DECLARED else None
        async with self._database.connection() as connection, connection.transaction():
            done = await connection.execute(
                QUERIES["add_backup"],
                backup_id,
                kind,
                state,
                taken_at or now,
                covers_until,
                keep_until,
                label,
            )
            if done != "INSERT 0 1":
                raise VaultError(Reason.REQUEST_MALFORMED, "the backup's window is over already")
            await connection.execute(QUERIES["add_backup_roots"], backup_id)

    async def finish(
        self,
        backup_id: UUID,
        *,
        covers_until: dt.datetime,
        size: int,
        sha256: bytes,
        roots: Sequence[RootCount],
    ) -> None:
        """The backup is whole: what it holds is known exactly."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(
                QUERIES["finish_backup"], backup_id, covers_until, size, sha256
            )
            await connection.execute(QUERIES["drop_backup_roots"], backup_id)
            await connection.executemany(
                QUERIES["learn_backup_root"],
                [(backup_id, root.tenant, root.root_version, root.keys) for root in roots],
            )

    async def end(self, backup_id: UUID, state: str) -> bool:
        """There is no such backup: FAILED or GONE; False if there was none on record."""
        async with self._database.connection() as connection:
            done = await connection.execute(QUERIES["end_backup"], backup_id, state)
        return bool(done == "UPDATE 1")

    async def learn(self, row: BackupRow) -> None:
        """A backup that the ledger tells of, perhaps made after this database's own snapshot."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(
                QUERIES["learn_backup"],
                row.backup_id,
                row.kind,
                row.taken_at,
                row.covers_until,
                row.keep_until,
                row.label,
            )
            await connection.executemany(
                QUERIES["learn_backup_root"],
                [(row.backup_id, root.tenant, root.root_version, root.keys) for root in row.roots],
            )

    async def all(self, limit: int = 1000) -> list[BackupRow]:
        """What is on record, the newest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["list_backups"], limit)
        return [BackupRow(**{**dict(row), "roots": _roots(row["roots"])}) for row in rows]


def _roots(texts: Sequence[str]) -> tuple[RootCount, ...]:
    parts = [text.split(" ") for text in texts]
    return tuple(RootCount(tenant, int(version), int(keys)) for tenant, version, keys in parts)
