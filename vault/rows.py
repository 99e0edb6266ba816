"""The rows that services hand to the store and get from it: frozen values, no behaviour."""

import datetime as dt
from dataclasses import dataclass, field
from uuid import UUID

from vault.model import SubjectId, TenantId


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token and the sealed value behind it."""

    token: str = field(repr=False)
    tenant: TenantId
    subject_id: SubjectId
    field_type: str
    key_version: int
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WrappedKeyRow:
    """A subject's data key, wrapped by Transit."""

    subject_id: SubjectId
    key_version: int
    tenant: TenantId
    wrapped: str
    root_version: int
    key_salt: bytes = field(repr=False)
    commitment: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TenantKeyRow:
    """A tenant's index key, wrapped by Transit."""

    tenant: TenantId
    key_version: int
    wrapped: str
    root_version: int
    commitment: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewSubject:
    """A consumer whom the vault has not met: handle, reference digest and first key."""

    ref_digest: bytes = field(repr=False)
    index_key_version: int
    key: WrappedKeyRow


@dataclass(frozen=True, slots=True)
class DoneWrite:
    """A write that was done under an idempotency key."""

    request_digest: bytes = field(repr=False)
    outcome: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewWrite:
    """A write to do at most once."""

    key_digest: bytes = field(repr=False)
    tenant: TenantId
    request_digest: bytes = field(repr=False)
    outcome: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An audit entry with the columns that find it."""

    entry_id: UUID
    tenant: str
    recorded_at: dt.datetime
    rpc: str
    caller: str
    purpose: str
    subject_id: SubjectId | None
    verdicts: int
    trace_id: bytes
    entry: bytes
    leaf_hash: bytes

    COLUMNS = (
        "entry_id",
        "tenant",
        "recorded_at",
        "rpc",
        "caller",
        "purpose",
        "subject_id",
        "verdicts",
        "trace_id",
        "entry",
        "leaf_hash",
    )


@dataclass(frozen=True, slots=True)
class Commit:
    """What one call makes durable, all of it or nothing: entries, and perhaps a write."""

    entries: tuple[EntryRow, ...]
    write: NewWrite | None = None
    tokens: tuple[TokenRow, ...] = ()

    @property
    def weight(self) -> int:
        """Rows, for the stage."""
        return len(self.entries) + len(self.tokens) + (self.write is not None)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries to list; None does not narrow.

    Attributes:
        verdict_bit: a bit of `EntryRow.verdicts`.
        before: entries older than this one.
    """

    tenant: TenantId
    subject_id: SubjectId | None = None
    caller: str | None = None
    purpose: str | None = None
    verdict_bit: int | None = None
    trace_id: bytes | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    before: UUID | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it lies in the log."""

    entry_id: UUID
    entry: bytes
    leaf_hash: bytes
