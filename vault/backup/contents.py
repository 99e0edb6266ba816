"""What is in a backup, as plain bytes: records one after the other. Pure.

    kind (1) | length (4) | payload          kind: M manifest, F file, T table, D data, E end of
                                             table, Z end of all

Guarantees: `read_records` takes records in the only order that there is (manifest, files,
tables with their data, end) and counts rows, tables and bytes against what was written.
Leaves to `stream`: that the bytes are the ones that were written.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from vault.backup.stream import BackupError

FORMAT = 1
MAX_RECORD = 1 << 24
_HEAD = 5


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or a partition of one.

    Attributes:
        name: of the relation that was read.
        parent: the partitioned table that its rows go into; else the same as `name`.
        columns: in the order of their data.
    """

    name: str
    parent: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransitKey:
    """A key in Transit that the values, the log or backups need. Never the key."""

    name: str
    type: str
    newest: int
    min_decryption_version: int


@dataclass(frozen=True, slots=True)
class Roots:
    """How many wrapped keys need a version of a tenant's root key."""

    tenant: str
    root_version: int
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        backup_id: also in the header.
        pdvault: version of the program that made it.
        made_by: the operator, as the system knows him: `LOGIN@HOST`.
        taken_at: the database's time in the snapshot.
        keep_until: when it is to be gone everywhere.
        postgres: version of the server.
        migrations: (name, SHA-256), in order.
        tables: in the order of their data.
        partitions: names of the log's months.
        origin: name of the log; leaves: how many it has; checkpoint: the newest, or empty.
        verifier_keys: the log's public keys.
        ledger_index, ledger_hash: the ledger's head when the snapshot was taken, hash in hex.
        transit_mount, transit_namespace, transit_keys: what is needed to reach the keys.
        roots: which root versions wrap the keys in here.
    """

    backup_id: UUID
    pdvault: str
    made_by: str
    taken_at: dt.datetime
    keep_until: dt.datetime
    postgres: str
    migrations: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    partitions: tuple[str, ...]
    origin: str
    leaves: int
    checkpoint: str
    verifier_keys: tuple[str, ...]
    ledger_index: int
    ledger_hash: str
    transit_mount: str
    transit_namespace: str
    transit_keys: tuple[TransitKey, ...]
    roots: tuple[Roots, ...]

    def encode(self) -> bytes:
        """As JSON."""
        document = asdict(self) | {
            "format": FORMAT,
            "backup_id": self.backup_id.hex,
            "taken_at": self.taken_at.isoformat(),
            "keep_until": self.keep_until.isoformat(),
        }
        return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """Reads one.

        Raises:
            BackupError: it is of another format.
        """
        try:
            members: dict[str, Any] = json.loads(data)
            if members.pop("format") != FORMAT:
                raise BackupError("the backup was made by another version of pdvault")
            return cls(
                **members
                | {
                    "backup_id": UUID(hex=members["backup_id"]),
                    "taken_at": dt.datetime.fromisoformat(members["taken_at"]),
                    "keep_until": dt.datetime.fromisoformat(members["keep_until"]),
                    "migrations": tuple((name, sha) for name, sha in members["migrations"]),
                    "tables": tuple(
                        Table(one["name"], one["parent"], tuple(one["columns"]))
                        for one in members["tables"]
                    ),
                    "partitions": tuple(members["partitions"]),
                    "verifier_keys": tuple(members["verifier_keys"]),
                    "transit_keys": tuple(TransitKey(**one) for one in members["transit_keys"]),
                    "roots": tuple(Roots(**one) for one in members["roots"]),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BackupError("the backup's manifest is of another form") from error


@dataclass(frozen=True, slots=True)
class File:
    """A file of the bundle or of the Transit policies; the path has no `..`."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Data:
    """Some bytes of a table's COPY BINARY."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TableEnd:
    """A table's end.

    Attributes:
        rows: as PostgreSQL counted them.
        sha256: of the table's bytes, in hex.
    """

    rows: int
    sha256: str


Record = Manifest | File | Table | Data | TableEnd


class Writer:
    """Makes records, in order; `total` counts rows."""

    def __init__(self) -> None:
        self.rows = 0
        self._tables = 0
        self._hash = hashlib.sha256()

    def manifest(self, manifest: Manifest) -> bytes:
        return _record(b"M", manifest.encode())

    def file(self, file: File) -> bytes:
        path = file.path.encode()
        return _record(b"F", len(path).to_bytes(2, "big") + path + file.data)

    def table(self, number: int) -> bytes:
        """The table of this number in the manifest begins."""
        self._hash = hashlib.sha256()
        return _record(b"T", number.to_bytes(4, "big"))

    def data(self, data: bytes) -> bytes:
        self._hash.update(data)
        view = memoryview(data)
        return b"".join(
            _record(b"D", view[at : at + MAX_RECORD]) for at in range(0, len(data), MAX_RECORD)
        )

    def table_end(self, rows: int) -> bytes:
        self.rows += rows
        self._tables += 1
        return _record(b"E", rows.to_bytes(8, "big") + self._hash.digest())

    def end(self) -> bytes:
        return _record(b"Z", self._tables.to_bytes(4, "big") + self.rows.to_bytes(8, "big"))


def _record(kind: bytes, payload: bytes | memoryview) -> bytes:
    if len(payload) > MAX_RECORD:
        raise ValueError("a record is too long")
    return kind + len(payload).to_bytes(4, "big") + payload


def read_records(chunks: Iterable[bytes]) -> Iterator[Record]:
    """The records of a backup.

    Raises:
        BackupError: they are not in the order that there is, or less than was written.
    """
    order = _Order()
    for kind, payload in _split(chunks):
        record = order.take(kind, payload)
        if record is not None:
            yield record
    if not order.is_over:
        raise BackupError("the backup ends too early")


def _split(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        at = 0
        while len(rest) - at >= _HEAD:
            length = int.from_bytes(rest[at + 1 : at + _HEAD], "big")
            if length > MAX_RECORD:
                raise BackupError("a record is too long")
            end = at + _HEAD + length
            if len(rest) < end:
                break
            yield bytes(rest[at : at + 1]), bytes(rest[at + _HEAD : end])
            at = end
        del rest[:at]
    if rest:
        raise BackupError("the backup ends within a record")


class _Order:
    """What may come next. Between tables `_table` is None."""

    def __init__(self) -> None:
        self.is_over = False
        self._manifest: Manifest | None = None
        self._table: int | None = None
        self._tables = self._rows = 0
        self._hash = hashlib.sha256()

    def take(self, kind: bytes, payload: bytes) -> Record | None:
        if self.is_over or (self._manifest is None) != (kind == b"M"):
            raise _disorder()
        try:
            return self._take(kind, payload)
        except (IndexError, UnicodeDecodeError) as error:
            raise _disorder() from error

    def _take(self, kind: bytes, payload: bytes) -> Record | None:
        manifest = self._manifest
        if manifest is None:
            self._manifest = Manifest.decode(payload)
            return self._manifest
        if self._table is not None:
            return self._in_table(kind, payload)
        if kind == b"F" and not self._tables:
            end = 2 + int.from_bytes(payload[:2], "big")
            return File(payload[2:end].decode(), payload[end:])
        if kind == b"T" and int.from_bytes(payload, "big") == self._tables:
            self._table = self._tables
            self._hash = hashlib.sha256()
            return manifest.tables[self._table]
        wanted = (len(manifest.tables), self._rows)
        if kind == b"Z" and wanted == (
            int.from_bytes(payload[:4], "big"),
            int.from_bytes(payload[4:], "big"),
        ):
            self.is_over = self._tables == len(manifest.tables)
            return None
        raise _disorder()

    def _in_table(self, kind: bytes, payload: bytes) -> Record:
        if kind == b"D":
            self._hash.update(payload)
            return Data(payload)
        if kind != b"E" or payload[8:] != self._hash.digest():
            raise _disorder()
        rows = int.from_bytes(payload[:8], "big")
        self._table = None
        self._tables += 1
        self._rows += rows
        return TableEnd(rows, payload[8:].hex())


def _disorder() -> BackupError:
    return BackupError("the backup's records are not in order")
