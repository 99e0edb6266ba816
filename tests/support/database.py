"""A test's own eyes on a database: rows, counts, and the audit log, read as its owner.

Every entry that is read is first held against its own row: decodes strictly, hashes to its
leaf, and agrees with the columns that find it.
"""

import asyncio
import uuid
from collections.abc import Iterable
from typing import Any

import asyncpg

from vault.audit.entry import Entry, decode, encode, leaf_hash

TABLES = ("subjects", "subject_refs", "subject_keys", "tokens", "writes")
"""What a write may leave behind."""

_ENTRIES = """
select entry_id, tenant, recorded_at, rpc, caller, purpose, subject_id, verdicts, trace_id,
    entry, leaf_hash
from audit_entries where {} order by entry_id
"""


class DatabaseEyes:
    """One connection, used from the test's own thread only."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(url))

    def close(self) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()

    def fetch(self, sql: str, *arguments: object) -> list[Any]:
        return self._loop.run_until_complete(self._connection.fetch(sql, *arguments))

    def value(self, sql: str, *arguments: object) -> Any:
        return self._loop.run_until_complete(self._connection.fetchval(sql, *arguments))

    def execute(self, sql: str, *arguments: object) -> None:
        self._loop.run_until_complete(self._connection.execute(sql, *arguments))

    def counts(self) -> dict[str, int]:
        """Rows of each table that a write may touch."""
        return {table: self.value(f"select count(*) from {table}") for table in TABLES}  # noqa: S608

    def newest_entry(self) -> uuid.UUID:
        """The id that newer entries are above."""
        found = self.value("select entry_id from audit_entries order by entry_id desc limit 1")
        return found or uuid.UUID(int=0)

    def entries(self, *, after: uuid.UUID | None = None) -> list[Entry]:
        """The entries that came after one, oldest first, each checked."""
        rows = self.fetch(_ENTRIES.format("entry_id > $1"), after or uuid.UUID(int=0))
        return [_checked(row) for row in rows]

    def entries_of_trace(self, trace_id: bytes) -> list[Entry]:
        """The entries of one trace, oldest first, each checked."""
        return [_checked(row) for row in self.fetch(_ENTRIES.format("trace_id = $1"), trace_id)]


def _checked(row: Any) -> Entry:
    data = bytes(row["entry"])
    entry = decode(data)
    assert data == encode(entry)
    assert leaf_hash(data) == bytes(row["leaf_hash"])
    assert entry.entry_id == row["entry_id"]
    assert entry.time_us == int(row["recorded_at"].timestamp() * 1_000_000 + 0.5)
    bits = _bits([entry.verdict, *(item.verdict for item in entry.items)])
    shown = (entry.tenant, entry.rpc, entry.caller, entry.purpose, entry.subject_id, bits)
    columns = ("tenant", "rpc", "caller", "purpose", "subject_id", "verdicts")
    assert shown == tuple(row[column] for column in columns)
    assert entry.trace_id == bytes(row["trace_id"])
    return entry


def _bits(verdicts: Iterable[int]) -> int:
    bits = 0
    for verdict in verdicts:
        bits |= 1 << verdict
    return bits
