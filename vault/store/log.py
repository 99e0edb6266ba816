"""The one door to durable writes: what a call did and its audit entries, in one commit.

Guarantees: when `commit` returns, every row of every call in the trip has reached
the disk (PostgreSQL with fsync); a call's rows are all there or none is. The log is
only ever added to here; reading it needs the auditors' own role.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import asyncpg

from vault.errors import OutdatedKeysError, Reason, VaultError
from vault.model import TenantId
from vault.rows import Commit, DoneWrite, EntryFilter, EntryRow, NewWrite, StoredEntry
from vault.store.claims import CurrentKeys, Name, Row, claim, current_keys
from vault.store.database import Database, translated
from vault.store.queries import QUERIES

_MOST_INSERTED = 8
"""Entries that go in by a prepared INSERT: one round trip. COPY takes two, and is parsed every
time, but takes less for each entry."""


def _add_entries(count: int) -> str:
    """`add_entry` for so many entries."""
    head, _, _ = QUERIES["add_entry"].rpartition("values")
    width = len(EntryRow.COLUMNS)
    rows = [
        "(" + ", ".join(f"${first + column}" for column in range(1, width + 1)) + ")"
        for first in range(0, count * width, width)
    ]
    return f"{head}values {', '.join(rows)}"


_ADD_ENTRIES = {count: _add_entries(count) for count in range(1, _MOST_INSERTED + 1)}


class LogStore:
    """Adds to the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit(self, calls: Sequence[Commit]) -> list[DoneWrite | VaultError | None]:
        """Makes all of it durable in one transaction.

        Returns:
            For each call None, or what an earlier write with the same idempotency key
            did, or OutdatedKeysError; of the last two nothing was stored, its entries neither.

        Raises:
            VaultError: AUDIT_UNAVAILABLE (nothing was stored), or OUTCOME_UNKNOWN when the
                connection broke during the commit of a write.
        """
        trip = _Trip(list(calls))
        committing = False
        try:
            async with self._database.connection() as connection:
                if not any(call.write for call in calls):
                    await copy_entries(connection, _entries(calls))
                    return [None] * len(calls)
                is_stored = False
                while not is_stored:
                    transaction = connection.transaction()
                    await transaction.start()
                    try:
                        is_stored = await _store(connection, trip)
                        if not is_stored:
                            await transaction.rollback()
                    except BaseException:
                        with translated():
                            await transaction.rollback()
                        raise
                committing = True
                await transaction.commit()
                done = await _find_done(connection, trip.lost) if trip.lost else {}
        except VaultError as error:
            if committing:
                raise VaultError(
                    Reason.OUTCOME_UNKNOWN,
                    "the commit's answer was lost; retry with the same idempotency key",
                    retry_after_ms=500,
                ) from error
            if error.reason is Reason.INTERNAL and len(calls) > 1:
                raise  # one call's rows may be at fault: the stage tries each alone
            raise VaultError(
                Reason.AUDIT_UNAVAILABLE,
                "the audit entry could not be made durable",
                retry_after_ms=500,
            ) from error
        results: dict[int, DoneWrite | VaultError] = {
            id(call): _done(done, call.write) for call in trip.lost if call.write
        }
        results |= {id(call): OutdatedKeysError() for call in trip.outdated}
        return [results.get(id(call)) for call in calls]

    async def check_writable(self, probe: EntryRow) -> None:
        """Tries to add an entry and takes it back.

        Raises:
            VaultError: the log can't be added to.
        """
        async with self._database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await copy_entries(connection, [probe])
            finally:
                await transaction.rollback()

    async def sweep_writes(self, retention: dt.timedelta) -> None:
        """Forgets idempotency keys past their retention.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["sweep_writes"], retention)


class LogReader:
    """Reads the log, with the auditors' role."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_entries(self, wanted: EntryFilter) -> list[StoredEntry]:
        """One page, newest first.

        Raises:
            VaultError: DATABASE_UNAVAILABLE.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                QUERIES["list_entries"],
                wanted.tenant,
                wanted.subject_id,
                wanted.caller,
                wanted.purpose,
                wanted.verdict_bit,
                wanted.trace_id,
                wanted.start,
                wanted.end,
                wanted.before,
                wanted.field_type,
                wanted.view_bit,
                wanted.policy,
                wanted.bundle_digest,
                wanted.case_id,
                wanted.entry_id,
                wanted.limit,
            )
        return [StoredEntry(row["entry_id"], row["entry"], row["leaf_hash"]) for row in rows]


def _done(done: dict[bytes, DoneWrite], write: NewWrite) -> DoneWrite:
    for digest in write.key_digests:
        if digest in done:
            return done[digest]
    # Forgotten between two statements: its tokens are not known here.
    raise VaultError(
        Reason.OUTCOME_UNKNOWN,
        "the idempotency key has just expired; retry",
        retry_after_ms=500,
    )


@dataclass(slots=True)
class _Trip:
    """The calls of one trip: those still to be stored, and those that are out of it.

    Attributes:
        lost: their idempotency key is another's.
        outdated: a key that they were made with has been replaced.
    """

    left: list[Commit]
    lost: list[Commit] = field(default_factory=list)
    outdated: list[Commit] = field(default_factory=list)

    def leave(self, calls: Sequence[Commit], to: list[Commit]) -> None:
        gone = {id(call) for call in calls}
        self.left = [call for call in self.left if id(call) not in gone]
        to += calls


async def _store(connection: asyncpg.Connection, trip: _Trip) -> bool:
    """Stores what is left of a trip; False if some had to leave it, and all must be undone."""
    # Of two calls that brought the same key into this trip, the first is done.
    taken: set[tuple[bytes, TenantId]] = set()
    claims: dict[Name, Commit] = {}
    second: list[Commit] = []
    for call in trip.left:
        if call.write is None:
            continue
        digests = {(digest, call.write.tenant) for digest in call.write.key_digests}
        if taken & digests:
            second.append(call)
        else:
            taken |= digests
            claims[call.write.key_digests, call.write.tenant] = call
    claimed = await claim(
        connection,
        QUERIES["claim_write"],
        {n: _rows(call.write) for n, call in claims.items() if call.write},
    )
    lost = [*second, *(call for name, call in claims.items() if name not in claimed.won)]
    winners = [claims[name] for name in claimed.won]
    current = await current_keys(
        connection,
        {tenant for _, tenant in claimed.won},
        {row.subject_id for call in winners for row in call.tokens},
    )
    outdated = [call for call in winners if not _is_current(call, current)]
    if claimed.torn or outdated:
        trip.leave(outdated, trip.outdated)
        trip.leave([claims[name] for name in claimed.torn], trip.lost)
        return False
    trip.leave(lost, trip.lost)
    await _copy_tokens(connection, trip.left)
    await copy_entries(connection, _entries(trip.left))
    return True


def _rows(write: NewWrite) -> list[Row]:
    return [
        (key, write.tenant, request, version, write.outcome)
        for key, request, version in zip(
            write.key_digests, write.request_digests, write.index_versions, strict=True
        )
    ]


def _is_current(call: Commit, current: CurrentKeys) -> bool:
    """Whether it was made with the keys that are in force."""
    return (
        call.write is not None
        and current.live[call.write.tenant] == call.write.index_versions
        and all(current.newest.get(row.subject_id) == row.key_version for row in call.tokens)
    )


async def _find_done(
    connection: asyncpg.Connection, lost: Sequence[Commit]
) -> dict[bytes, DoneWrite]:
    digests = [digest for call in lost if call.write for digest in call.write.key_digests]
    rows = await connection.fetch(QUERIES["find_writes"], digests)
    return {row["key_digest"]: DoneWrite(row["request_digest"], row["outcome"]) for row in rows}


async def _copy_tokens(connection: asyncpg.Connection, calls: Sequence[Commit]) -> None:
    records = [
        (row.token, row.tenant, row.subject_id, row.field_type, row.key_version, row.envelope)
        for call in calls
        for row in call.tokens
    ]
    if records:
        await connection.copy_records_to_table(
            "tokens",
            columns=("token", "tenant", "subject_id", "field_type", "key_version", "envelope"),
            records=records,
        )


def _entries(calls: Sequence[Commit]) -> list[EntryRow]:
    return [row for call in calls for row in call.entries]


async def copy_entries(connection: asyncpg.Connection, entries: Sequence[EntryRow]) -> None:
    """Adds entries, in whatever transaction the connection is in."""
    records = [
        (
            row.entry_id,
            row.tenant,
            row.recorded_at,
            row.rpc,
            row.caller,
            row.purpose,
            row.subject_id,
            row.verdicts,
            row.views,
            row.field_types,
            row.policies,
            row.bundle_digest,
            row.trace_id,
            row.case_id,
            row.entry,
            row.leaf_hash,
        )
        for row in entries
    ]
    if 0 < len(records) <= _MOST_INSERTED:
        await connection.execute(_ADD_ENTRIES[len(records)], *chain.from_iterable(records))
    elif records:
        await connection.copy_records_to_table(
            "audit_entries", columns=EntryRow.COLUMNS, records=records
        )
