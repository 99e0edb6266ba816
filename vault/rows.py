"""The rows that services hand to the store and get from it: frozen values, no behaviour."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from vault.model import Digests, SubjectId, TenantId


# Not frozen, though nobody changes it: there is one for every item, and frozen takes twice as long.
@dataclass(slots=True)
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
    """A tenant's index key, wrapped by Transit. Live: rows are searched and stored under it."""

    tenant: TenantId
    key_version: int
    wrapped: str
    root_version: int
    commitment: bytes = field(repr=False)
    is_live: bool = True


@dataclass(frozen=True, slots=True)
class NewSubject:
    """A consumer whom the vault has not met: handle, reference digests and first key.

    Attributes:
        index_versions: those of the digests.
        uses: seals that the key is charged with from the beginning.
    """

    ref_digests: Digests = field(repr=False)
    index_versions: tuple[int, ...]
    key: WrappedKeyRow
    uses: int


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case that the vault has not met: reference digests, with their versions, and handle."""

    ref_digests: Digests = field(repr=False)
    tenant: TenantId
    index_versions: tuple[int, ...]
    case_id: UUID


@dataclass(frozen=True, slots=True)
class DoneWrite:
    """A write that was done under an idempotency key."""

    request_digest: bytes = field(repr=False)
    outcome: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewWrite:
    """A write to do at most once: the digests of its idempotency key and of its request."""

    key_digests: Digests = field(repr=False)
    tenant: TenantId
    request_digests: Digests = field(repr=False)
    index_versions: tuple[int, ...]
    outcome: bytes = field(repr=False)


@dataclass(slots=True)  # as `TokenRow`
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
    views: int
    field_types: tuple[str, ...]
    policies: tuple[str, ...]
    bundle_digest: bytes
    trace_id: bytes
    case_id: UUID | None
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
        "views",
        "field_types",
        "policies",
        "bundle_digest",
        "trace_id",
        "case_id",
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
        verdict_bit: a bit of `EntryRow.verdicts`; view_bit of `EntryRow.views`.
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
    field_type: str | None = None
    view_bit: int | None = None
    policy: str | None = None
    bundle_digest: bytes | None = None
    case_id: UUID | None = None
    entry_id: UUID | None = None
    before: UUID | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it lies in the log."""

    entry_id: UUID
    entry: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class LeafRow:
    """A leaf with the entry that it stands for; the entry's parts are None if it is gone.

    Attributes:
        is_archived: its month went to files, so the entry is rightly gone.
    """

    index: int
    entry_id: UUID
    leaf_hash: bytes
    entry_leaf_hash: bytes | None
    entry: bytes | None
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class TileRow:
    """A full tile: 256 hashes of 32 bytes."""

    level: int
    index: int
    hashes: bytes


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A signed checkpoint; the note is the record, size and root find it.

    Attributes:
        successions: the chain of the log's keys, where it is read for an answer.
    """

    size: int
    root: bytes
    note: str
    signed_at: dt.datetime
    successions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SuccessionRow:
    """Where a version of the log's key vouches for the next that signs, in a signed note."""

    version: int
    predecessor: int
    note: str
    made_at: dt.datetime


@dataclass(frozen=True, slots=True)
class CosignatureRow:
    """A witness's cosignature of the checkpoint of this size.

    Attributes:
        witness: the name of its key.
        line: of the signed note, with its newline.
    """

    size: int
    witness: str
    line: str
    signed_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Sequenced:
    """What one step of the sequencer did.

    Attributes:
        entries: how many got an index; 0 if one was damaged.
        damaged: an entry whose bytes do not give its leaf hash, if there is one.
    """

    entries: int
    damaged: UUID | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Entries without an index. `entries` is counted up to a bound; `seconds` is of the oldest."""

    entries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LogMonth:
    """A month's partition of the log.

    Attributes:
        name: of the table.
        begin, end: of the month, in UTC.
    """

    name: str
    begin: dt.datetime
    end: dt.datetime

    @property
    def label(self) -> str:
        """Such as `2024-01`."""
        return f"{self.begin:%Y-%m}"


@dataclass(frozen=True, slots=True)
class ArchivedMonth:
    """A month that went to files; `index_sha256` is that of its index."""

    label: str
    index_sha256: bytes


@dataclass(frozen=True, slots=True)
class MonthFacts:
    """What a month's partition holds.

    Attributes:
        sequenced: how many of the entries have a leaf index.
        first, last: the lowest and the highest leaf index; None if there is none.
    """

    entries: int
    sequenced: int
    first: int | None
    last: int | None
