"""The one door to durable writes: what a call did and its audit entries, in one commit.

Guarantees: when `commit` returns, every row of every call in the trip has reached
the disk (PostgreSQL with fsync); a call's rows are all there or none is. The log is
only ever added to here; reading it needs the auditors' own role.
"""

import datetime as dt
from collections.abc import Sequence

import asyncpg

from vault.errors import Reason, VaultError
from vault.rows import Commit, DoneWrite, EntryFilter, EntryRow, NewWrite, StoredEntry
from vault.store.database import Database, translated
from vault.store.queries import QUERIES


class LogStore:
    """Adds to the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit(self, calls: Sequence[Commit]) -> list[DoneWrite | None]:
        """Makes all of it durable in one transaction.

        Returns:
            For each call None, or what an earlier write with the same idempotency key
            did; of such a call nothing was stored, its entries neither.

        Raises:
            VaultError: AUDIT_UNAVAILABLE (nothing was stored), or OUTCOME_UNKNOWN when the
                connection broke during the commit of a write.
        """
        # By key: of two calls that brought the same one into this trip, the first is done.
        writes: dict[bytes, Commit] = {}
        for call in calls:
            if call.write is not None:
                writes.setdefault(call.write.key_digest, call)
        committing = False
        try:
            async with self._database.connection() as connection:
                if not writes:
                    await _copy_entries(connection, calls)
                    return [None] * len(calls)
                transaction = connection.transaction()
                await transaction.start()
                try:
                    claimed = await _claim(connection, list(writes.values()))
                    mine = {id(writes[key_digest]) for key_digest in claimed}
                    lost = [call for call in calls if call.write and id(call) not in mine]
                    kept = [call for call in calls if not call.write or id(call) in mine]
                    await _copy_tokens(connection, kept)
                    await _copy_entries(connection, kept)
                except BaseException:
                    with translated():
                        await transaction.rollback()
                    raise
                committing = True
                await transaction.commit()
                if not lost:
                    return [None] * len(calls)
                done = await _find_done(connection, lost)
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
        return [
            None if not call.write or id(call) in mine else _done(done, call.write)
            for call in calls
        ]

    async def check_writable(self, probe: EntryRow) -> None:
        """Tries to add an entry and takes it back.

        Raises:
            VaultError: the log can't be added to.
        """
        async with self._database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await _copy_entries(connection, [Commit(entries=(probe,))])
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
    found = done.get(write.key_digest)
    if found is None:  # forgotten between two statements: its tokens are not known here
        raise VaultError(
            Reason.OUTCOME_UNKNOWN,
            "the idempotency key has just expired; retry",
            retry_after_ms=500,
        )
    return found


async def _claim(connection: asyncpg.Connection, writes: Sequence[Commit]) -> set[bytes]:
    arguments = sorted(
        (call.write.key_digest, call.write.tenant, call.write.request_digest, call.write.outcome)
        for call in writes
        if call.write is not None
    )
    # One statement a key, in one round trip: fast on PostgreSQL and on Citus alike.
    rows = await connection.fetchmany(QUERIES["claim_write"], arguments)
    return {row["key_digest"] for row in rows}


async def _find_done(
    connection: asyncpg.Connection, lost: Sequence[Commit]
) -> dict[bytes, DoneWrite]:
    digests = [call.write.key_digest for call in lost if call.write is not None]
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


async def _copy_entries(connection: asyncpg.Connection, calls: Sequence[Commit]) -> None:
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
        for call in calls
        for row in call.entries
    ]
    if records:
        await connection.copy_records_to_table(
            "audit_entries", columns=EntryRow.COLUMNS, records=records
        )
