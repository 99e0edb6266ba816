"""Erasures in the database, and how far the ledger is applied there.

Guarantees: `erase` destroys keys, references and envelopes, certifies, records, notes the ledger's
line and tells every process, in one transaction; a line is applied once and in order. Leaves to
`vault.service.erase`: that the line is in the ledger before.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from vault.keys.ledger import EraseLine, Head
from vault.model import Digests, SubjectId, TenantId
from vault.rows import EntryRow
from vault.store.database import Database
from vault.store.log import copy_entries
from vault.store.queries import QUERIES

_WRAPPED = re.compile(r"vault:v([1-9][0-9]{0,8}):")


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """What is certified; columns as in the migration."""

    subject_id: SubjectId
    erasure_id: UUID
    tenant: TenantId
    cause: str
    erased_at: dt.datetime
    ledger_index: int
    ledger_hash: bytes
    subject_since: dt.datetime | None
    root_versions: tuple[int, ...]
    tokens: int
    entry_id: UUID


@dataclass(frozen=True, slots=True)
class Repeat:
    """Leads a repetition by reference to the erasure, for a day."""

    key_digests: Digests = field(repr=False)


class ErasureReader:
    """What every process may read, with the service's role.

    Every method raises VaultError (DATABASE_UNAVAILABLE).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest_applied(self) -> Head | None:
        """How far the ledger is applied; None: no ledger yet."""
        async with self._database.connection() as connection:
            return await newest_applied(connection)

    async def find_erased(self, subjects: Sequence[SubjectId]) -> set[SubjectId]:
        """Which of these subjects were erased."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["find_erased"], subjects)
        return {row["subject_id"] for row in rows}


class ErasureStore(ErasureReader):
    """What custody does besides, with the custodians' role."""

    async def intents(self) -> set[int]:
        """Indexes of lines that were about to be added."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(QUERIES["list_intents"])
        return {row["ledger_index"] for row in rows}

    async def intend(self, index: int) -> None:
        """Says that a line is about to be added."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["add_intent"], index)

    async def give_up(self, index: int) -> None:
        """The line was not added."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["drop_intents"], index)

    async def mark_applied(self, head: Head) -> None:
        """A line that asks for nothing else here."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(QUERIES["add_applied"], head.index, head.hash)
            await connection.execute(QUERIES["drop_intents"], head.index)

    async def erase(
        self,
        line: EraseLine,
        head: Head,
        entries: Sequence[EntryRow],
        *,
        repeat: Repeat | None = None,
    ) -> ErasureRow:
        """Applies a line of the ledger. A subject that was erased before keeps its certificate."""
        subject = line.subject_id
        async with self._database.connection() as connection, connection.transaction():
            # Whoever gives the subject a new key holds the row of the old one: we wait for it here,
            # and the statements after this one see what it did.
            keys = await connection.fetch(QUERIES["lock_subject_keys"], subject)
            since = await connection.fetchval(QUERIES["subject_since"], subject)
            await _destroy(connection, [subject])
            row = ErasureRow(
                subject_id=subject,
                erasure_id=line.erasure_id,
                tenant=line.tenant,
                cause=line.cause,
                erased_at=line.time,
                ledger_index=head.index,
                ledger_hash=head.hash,
                subject_since=since,
                root_versions=_root_versions(keys),
                tokens=await connection.fetchval(QUERIES["count_subject_tokens"], subject),
                entry_id=entries[0].entry_id,
            )
            await connection.execute(QUERIES["add_erasure"], *_columns(row))
            if repeat is not None:
                await connection.executemany(
                    QUERIES["add_repeat"],
                    [(digest, line.tenant, subject) for digest in repeat.key_digests],
                )
            await connection.execute(QUERIES["add_applied"], head.index, head.hash)
            await connection.execute(QUERIES["drop_intents"], head.index)
            await copy_entries(connection, entries)
            await connection.execute(
                QUERIES["notify_keys"], f"erased {subject.hex} {head.index} {head.hash.hex()}"
            )
        return row

    async def find_by_subject(self, subject: SubjectId) -> ErasureRow | None:
        """The erasure of a subject."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["find_erasure_of_subject"], subject)
        return None if row is None else _row(row)

    async def find(self, erasure_id: UUID) -> ErasureRow | None:
        """An erasure by its id, whosever it is."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["find_erasure"], erasure_id)
        return None if row is None else _row(row)

    async def find_repeat(self, repeat: Repeat, tenant: TenantId) -> SubjectId | None:
        """Who was erased under a reference within the last day."""
        async with self._database.connection() as connection:
            found: SubjectId | None = await connection.fetchval(
                QUERIES["find_repeat"], repeat.key_digests, tenant
            )
        return found

    async def count_tokens(self, subject: SubjectId) -> int:
        """Tokens of a subject."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(QUERIES["count_subject_tokens"], subject))

    async def sweep(self, *, retention: dt.timedelta, lately: dt.timedelta) -> None:
        """Forgets repetitions past their retention, and destroys what calls that were under way
        have added to subjects erased lately.
        """
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(QUERIES["sweep_repeats"], retention)
            rows = await connection.fetch(QUERIES["erased_lately"], lately)
            if rows:
                await _destroy(connection, [row["subject_id"] for row in rows])


async def newest_applied(connection: asyncpg.Connection) -> Head | None:
    """The same for a connection of one's own."""
    row = await connection.fetchrow(QUERIES["newest_applied"])
    return None if row is None else Head(row["ledger_index"], row["hash"])


async def _destroy(connection: asyncpg.Connection, subjects: Sequence[SubjectId]) -> None:
    await connection.execute(QUERIES["delete_subject_keys"], subjects)
    await connection.execute(QUERIES["delete_subject_refs"], subjects)
    await connection.execute(QUERIES["empty_envelopes"], subjects)


def _root_versions(keys: Sequence[asyncpg.Record]) -> tuple[int, ...]:
    """What the column says and what the wrapped keys themselves say."""
    found = {row["root_version"] for row in keys}
    found |= {int(match[1]) for row in keys if (match := _WRAPPED.match(row["wrapped"]))}
    return tuple(sorted(found))


def _columns(row: ErasureRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in ErasureRow.__slots__)


def _row(row: asyncpg.Record) -> ErasureRow:
    return ErasureRow(**{**dict(row), "root_versions": tuple(row["root_versions"])})
