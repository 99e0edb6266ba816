"""What only one call may take: references, cases and idempotency keys, by their digests.

While an index key is rotated a thing has a digest for each live version. Guarantees: a claim takes
all of its digests or loses, and one that was made with other versions than the live ones is told
apart (docs/adr/0016-index-keys-in-layers.md). Leaves to the caller: the transaction, which it
rolls back unless every claim is won or lost as a whole.
"""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from vault.model import Digests, SubjectId, TenantId
from vault.store.queries import QUERIES

Name = tuple[Digests, TenantId]
"""What is claimed."""


Row = tuple[object, ...]
"""What is inserted for one digest; begins with digest and tenant."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing to claim: its rows, one for each digest, and the versions of these."""

    rows: Sequence[Row]
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of claims. What is in neither is another's.

    Attributes:
        mine: those that were stored.
        outdated: tenants of whose index key other versions are live by now; nothing of theirs
            was stored.
    """

    mine: frozenset[Name] = frozenset()
    outdated: frozenset[TenantId] = frozenset()


@dataclass(frozen=True, slots=True)
class Claimed:
    """Those claims that took all of their digests, and those that took some."""

    won: set[Name]
    torn: set[Name]


@dataclass(frozen=True, slots=True)
class CurrentKeys:
    """What may be stored under: the live index keys of tenants, the newest keys of subjects."""

    live: Mapping[TenantId, tuple[int, ...]]
    newest: Mapping[SubjectId, int]


async def claim(
    connection: asyncpg.Connection, statement: str, rows: Mapping[Name, Sequence[Row]]
) -> Claimed:
    """Inserts what is not there yet.

    Args:
        connection: in a transaction.
        statement: an insert that passes over conflicts and returns digest and tenant.
        rows: of each claim.
    """
    # In order of digest, so that two processes that claim the same ones don't deadlock. One
    # statement a row, in one round trip: fast on PostgreSQL and on Citus alike.
    ordered = sorted((row for each in rows.values() for row in each), key=lambda row: row[:2])
    found = await connection.fetchmany(statement, ordered)
    taken = {(row[0], row[1]) for row in found}
    won: set[Name] = set()
    torn: set[Name] = set()
    for digests, tenant in rows:
        count = sum((digest, tenant) in taken for digest in digests)
        if count == len(digests):
            won.add((digests, tenant))
        elif count:
            torn.add((digests, tenant))
    return Claimed(won, torn)


async def settle(
    connection: asyncpg.Connection,
    statement: str,
    claims: Mapping[Name, Claim],
    then: Callable[[frozenset[Name]], Awaitable[None]] | None = None,
) -> Settled:
    """Claims in a transaction of its own, as often as it takes to be all or nothing for each.

    Args:
        connection: not in a transaction.
        statement: as for `claim`.
        claims: any number.
        then: what the transaction does besides, for those that were won.
    """
    left = dict(claims)
    outdated: set[TenantId] = set()
    while left:
        with contextlib.suppress(_UndoneError):
            async with connection.transaction():
                claimed = await claim(
                    connection, statement, {name: each.rows for name, each in left.items()}
                )
                current = await current_keys(connection, {tenant for _, tenant in left})
                late = {n[1] for n, each in left.items() if current.live[n[1]] != each.versions}
                if claimed.torn or late:
                    outdated |= late
                    left = {
                        name: each
                        for name, each in left.items()
                        if name not in claimed.torn and name[1] not in late
                    }
                    raise _UndoneError
                mine = frozenset(claimed.won)
                if then is not None:
                    await then(mine)
            return Settled(mine, frozenset(outdated))
    return Settled(outdated=frozenset(outdated))


class _UndoneError(Exception):
    """Ends a transaction whose claims are to be made again."""


async def current_keys(
    connection: asyncpg.Connection,
    tenants: Collection[TenantId],
    subjects: Collection[SubjectId] = (),
) -> CurrentKeys:
    """The keys in force, as this transaction sees them after its own inserts.

    The order matters: a transaction that has inserted has a number, so whoever replaces a key can
    wait until all that still saw the old one have ended (`vault.store.reseal`).
    """
    rows = await connection.fetch(QUERIES["current_keys"], list(subjects), list(tenants))
    live: dict[TenantId, tuple[int, ...]] = dict.fromkeys(tenants, ())
    newest: dict[SubjectId, int] = {}
    for row in rows:
        if row["tenant"] is None:
            newest[row["subject_id"]] = row["key_version"]
        else:
            live[row["tenant"]] += (row["key_version"],)
    return CurrentKeys({tenant: tuple(sorted(each)) for tenant, each in live.items()}, newest)
