"""Migrations: ordered, locked, checksummed, each in a transaction of its own.

`sql/migrations/NNNN_{pre,post}_name.sql`: a `pre` migration runs before the new code
(the old code runs on its result), a `post` migration after. What was applied
is never edited: a checksum that differs stops everything.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from vault.errors import Reason, VaultError
from vault.store.database import translated
from vault.store.queries import QUERIES

_FILE = re.compile(r"^(\d{4})_(pre|post)_[a-z0-9_]+\.sql$")
MIGRATION_LOCK = 0x7064_7661_756C_7401
"""Advisory lock of migrations: the bytes of `pdvault` and 1."""

_BOOTSTRAP = """
create table if not exists schema_migrations (
    name text not null primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
)
"""

_APPLIED = "insert into schema_migrations (name, checksum) values ($1, $2)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; `checksum` is the SHA-256 of its bytes."""

    name: str
    sql: str
    checksum: str


def migrations() -> list[Migration]:
    """All migrations of this release, in order.

    Raises:
        ValueError: a file name that is out of form, or a number that is there twice.
    """
    found: list[Migration] = []
    numbers: set[str] = set()
    for file in sorted(
        (files("vault.store") / "sql" / "migrations").iterdir(), key=lambda f: f.name
    ):
        match = _FILE.match(file.name)
        if match is None or match[1] in numbers:
            raise ValueError(f"{file.name}: not NNNN_pre_name.sql, or its number is taken")
        numbers.add(match[1])
        data = file.read_bytes()
        found.append(Migration(file.name, data.decode(), hashlib.sha256(data).hexdigest()))
    return found


async def migrate(
    owner_url: str, *, dry_run: bool = False, progress: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Applies what is missing, with the owner's role.

    Returns:
        The names that were applied (or would be).

    Raises:
        VaultError: DATABASE_UNAVAILABLE, or INTERNAL when a migration fails (nothing
            of it stays) or when one that was applied differs from this release's.
    """
    with translated():
        connection = await asyncpg.connect(
            owner_url, timeout=10, server_settings={"application_name": "pdvault-migrate"}
        )
        try:
            await connection.execute("set lock_timeout = '10s'; set statement_timeout = '10min'")
            await connection.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
            if not dry_run:
                await connection.execute(_BOOTSTRAP)
            pending = await _pending(connection)
            for migration in [] if dry_run else pending:
                progress(migration.name)
                async with connection.transaction():
                    await connection.execute(migration.sql)
                    await connection.execute(_APPLIED, migration.name, migration.checksum)
            return [migration.name for migration in pending]
        finally:
            await connection.close()


async def apply_in_transaction(
    connection: asyncpg.Connection, names: Sequence[tuple[str, str]]
) -> None:
    """Applies exactly these migrations, in the caller's transaction, to an empty database.

    Args:
        connection: of the owner.
        names: (name, checksum) of each, in order.

    Raises:
        VaultError: INTERNAL: this release has another of that name, or none.
        asyncpg.PostgresError: one fails.
    """
    ours = {migration.name: migration for migration in migrations()}
    for name, checksum in names:
        if name not in ours or ours[name].checksum != checksum:
            raise VaultError(
                Reason.INTERNAL, f"migration {name} of the backup is not one of this release"
            )
    await connection.execute(_BOOTSTRAP)
    for name, checksum in names:
        await connection.execute(ours[name].sql)
        await connection.execute(_APPLIED, name, checksum)


async def check_migrated(connection: asyncpg.Connection) -> None:
    """Makes sure that the database is at this release.

    Raises:
        VaultError: INTERNAL, naming the migration that is missing or differs.
    """
    pending = await _pending(connection)
    if pending:
        raise VaultError(
            Reason.INTERNAL, f"the database lacks migration {pending[0].name}; run: pdvault migrate"
        )


async def _pending(connection: asyncpg.Connection) -> list[Migration]:
    exists = await connection.fetchval("select to_regclass('public.schema_migrations')")
    rows = await connection.fetch(QUERIES["applied_migrations"]) if exists else []
    applied = {row["name"]: row["checksum"] for row in rows}
    ours = migrations()
    for migration in ours:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise VaultError(
                Reason.INTERNAL, f"migration {migration.name} is not the one that was applied"
            )
    unknown = sorted(applied.keys() - {migration.name for migration in ours})
    if unknown:
        raise VaultError(
            Reason.INTERNAL, f"the database is ahead of this release: it has {unknown[0]}"
        )
    return [migration for migration in ours if migration.name not in applied]
