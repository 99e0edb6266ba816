"""Subjects' keys and values, for those who replace the keys; custodians' login.

Guarantees: a subject gets its new key and its values in one transaction, which holds the subject's
keys against erasures and against others that replace them; of what others changed
meanwhile nothing is touched; an old key goes only when nothing is sealed under it. Leaves
to `vault.service.reseal`: opening, sealing and wrapping.
"""

import asyncio
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from vault.keys.jobs import PARTS, Advanced, Lease, Step
from vault.keys.parts import first_id, last_id
from vault.keys.uses import blocks
from vault.model import Digests, SubjectId, TenantId
from vault.rows import TokenRow, WrappedKeyRow
from vault.store.database import Database
from vault.store.jobs import advance
from vault.store.queries import QUERIES
from vault.store.rotation import settled
from vault.store.values import copy_subject_keys

_BREATH = 200
"""Values between two chances for the calls of this process: two milliseconds."""

Seal = Callable[[TokenRow], bytes | None]
"""A value's envelope under its subject's newest key; None: the value does not open."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A subject's new key, and which one it takes the place of."""

    before: int
    key: WrappedKeyRow


class ResealStore:
    """Every method raises VaultError (DATABASE_UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: TenantId, ref: Digests) -> tuple[SubjectId, int] | None:
        """The subject behind a reference, and its newest key's version."""
        async with self._database.connection() as connection:
            subject = await connection.fetchval(QUERIES["subject_of_refs"], list(ref), tenant)
            version = await connection.fetchval(QUERIES["newest_version_of"], subject, tenant)
        return None if version is None else (SubjectId(subject), version)

    async def count(self, tenant: TenantId) -> tuple[int, int]:
        """Subjects, and the highest version of their keys. Part by part."""
        subjects, version = 0, 0
        async with self._database.connection() as connection:
            for part in range(PARTS):
                row = await connection.fetchrow(
                    QUERIES["count_subjects"], tenant, first_id(part), last_id(part)
                )
                subjects += row["subjects"]
                version = max(version, row["version"])
        return subjects, version

    async def settled(self, *, within_seconds: float) -> bool:
        """See `vault.store.rotation.settled`."""
        return await settled(self._database, within_seconds=within_seconds)

    async def keys_to_replace(
        self, lease: Lease, only: SubjectId | None, *, before: dt.datetime, limit: int
    ) -> dict[SubjectId, list[WrappedKeyRow]]:
        """The keys of the next subjects of a part whose newest key was made before a time."""
        return await self._next(lease, only, QUERIES["subjects_to_reseal"], (limit, before))

    async def keys_to_remove(
        self, lease: Lease, only: SubjectId | None, *, limit: int
    ) -> dict[SubjectId, list[WrappedKeyRow]]:
        """The keys of the next subjects of a part that have more than one."""
        return await self._next(lease, only, QUERIES["subjects_with_old_keys"], (limit,))

    async def _next(
        self, lease: Lease, only: SubjectId | None, statement: str, more: tuple[object, ...]
    ) -> dict[SubjectId, list[WrappedKeyRow]]:
        if lease.cursor:
            after = UUID(bytes=lease.cursor)
        else:  # no subject's id is 0: a random one has its version's bits
            after = UUID(int=max(0, first_id(lease.part).int - 1))
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                statement, lease.tenant, after, last_id(lease.part), only, *more
            )
            subjects = [SubjectId(row["subject_id"]) for row in rows]
            keys = await connection.fetch(QUERIES["load_subject_keys"], subjects)
        found: dict[SubjectId, list[WrappedKeyRow]] = {subject: [] for subject in subjects}
        for row in keys:
            found[row["subject_id"]].append(WrappedKeyRow(*row))
        for each in found.values():
            each.sort(key=lambda key: key.key_version)
        return found

    async def replace(
        self,
        lease: Lease,
        replacements: Sequence[Replacement],
        seal: Seal,
        *,
        cursor: bytes,
        failed: int,
        is_last: bool,
    ) -> Advanced:
        """Stores new keys, with the values of their subjects sealed under them.

        Args:
            lease: of the part.
            replacements: passed over where the subject has another newest key meanwhile.
            seal: for every value of these subjects.
            cursor: of the part, afterwards.
            failed: subjects that could not be given a new key.
            is_last: nothing is left in the part.

        Raises:
            LeaseLostError: nothing was changed.
        """
        async with self._database.connection() as connection, connection.transaction():
            held = await _hold(connection, [each.key.subject_id for each in replacements])
            due = [
                each
                for each in replacements
                if max(held[each.key.subject_id], default=0) == each.before
            ]
            newest = {each.key.subject_id: each.key.key_version for each in due}
            sealed, unsealed = await _reseal(connection, newest, seal)
            await copy_subject_keys(
                connection,
                [(each.key, blocks(max(1, sealed[each.key.subject_id]))) for each in due],
            )
            bad = failed + len({subject for subject, _ in unsealed})
            step = Step(cursor, len(replacements) + failed - bad, bad, is_last=is_last)
            return await advance(connection, lease, step)

    async def remove(
        self,
        lease: Lease,
        subjects: Sequence[SubjectId],
        seal: Seal,
        *,
        cursor: bytes,
        is_last: bool,
    ) -> Advanced:
        """Deletes old keys, once what is still sealed under them is under the newest.

        Raises:
            LeaseLostError: nothing was changed.
        """
        async with self._database.connection() as connection, connection.transaction():
            held = await _hold(connection, subjects)
            newest = {subject: max(versions) for subject, versions in held.items()}
            sealed, unsealed = await _reseal(connection, newest, seal)
            await connection.executemany(
                QUERIES["charge_key"],
                [(subject, newest[subject], count) for subject, count in sorted(sealed.items())],
            )
            await connection.executemany(
                QUERIES["remove_subject_key"],
                [
                    (subject, version)
                    for subject, versions in held.items()
                    for version in versions
                    if version < newest[subject] and (subject, version) not in unsealed
                ],
            )
            bad = len({subject for subject, _ in unsealed})
            step = Step(cursor, len(subjects) - bad, bad, is_last=is_last)
            return await advance(connection, lease, step)

    async def notify(self, subject: SubjectId | None) -> None:
        """Tells every process to forget the opened keys of a subject, or all."""
        payload = "replaced" if subject is None else f"replaced {subject.hex}"
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["notify_keys"], payload)


async def _hold(
    connection: asyncpg.Connection, subjects: Sequence[SubjectId]
) -> defaultdict[SubjectId, list[int]]:
    """The versions that these subjects have, and keep while the transaction lasts."""
    held: defaultdict[SubjectId, list[int]] = defaultdict(list)
    # In order, so that nobody deadlocks; one by one, as a statement on Citus locks in one shard.
    ordered = [(subject,) for subject in sorted(subjects)]
    for row in await connection.fetchmany(QUERIES["hold_keys_of_subjects"], ordered):
        held[row["subject_id"]].append(row["key_version"])
    return held


async def _reseal(
    connection: asyncpg.Connection, newest: dict[SubjectId, int], seal: Seal
) -> tuple[Counter[SubjectId], set[tuple[SubjectId, int]]]:
    """Seals what lies under older keys of these subjects; how many values of each, and the
    keys that others need which do not open.
    """
    sealed: Counter[SubjectId] = Counter()
    unsealed: set[tuple[SubjectId, int]] = set()
    changes: list[tuple[str, int, int, bytes]] = []
    rows = await connection.fetch(QUERIES["tokens_of_subjects"], list(newest))
    for count, row in enumerate(rows, 1):
        token = TokenRow(*row)
        version = newest[token.subject_id]
        if token.key_version >= version:
            continue
        envelope = seal(token)
        if envelope is None:
            unsealed.add((token.subject_id, token.key_version))
            continue
        sealed[token.subject_id] += 1
        changes.append((token.token, token.key_version, version, envelope))
        if count % _BREATH == 0:
            await asyncio.sleep(0)
    await connection.executemany(QUERIES["reseal_token"], changes)
    return sealed, unsealed
