"""The ledger of erasures and backups: its lines, their hash chain, a strict reader.

Guarantees: a line has one spelling, and the reader takes nothing else; each line holds the hash of
the one before, so that whoever knows the newest hash knows that no line was changed, left out,
put elsewhere or taken from another ledger. Lines hold random handles and times, nothing personal.
Leaves to `vault.store.ledger_file`: that lines are durable. Format: docs/formats.md, "Ledger".
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from vault.model import SubjectId, TenantId

MAX_LINE = 64 * 1024
"""Bytes of a line, its newline left out."""
CAUSES = ("consumer_request", "consent_withdrawn", "retention_over", "legal_order")
"""Why somebody is erased."""
BACKUP_KINDS = ("pdvault", "declared", "archive")

_VERSION = 1
_DOMAIN = b"pdvault/ledger/v1\x00"
_TIME_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_VERSION_FORM = re.compile(r"[1-9][0-9]{0,8}")
_HEX_32 = re.compile(r"[0-9a-f]{32}")
_HEX_64 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ORIGIN = re.compile(r"[A-Za-z0-9._/-]{1,500}")


class LedgerError(Exception):
    """The ledger is not what it must be.

    Attributes:
        line: the number of the line at fault, from 0 for the header; None: the file as a whole.
    """

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text if line is None else f"line {line}: {text}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: which ledger it is.

    Attributes:
        ledger_id: random.
        origin: name of the audit log of the same database.
    """

    ledger_id: UUID
    origin: str
    time: dt.datetime


@dataclass(frozen=True, slots=True)
class EraseLine:
    """A consumer is erased."""

    erasure_id: UUID
    tenant: TenantId
    subject_id: SubjectId
    time: dt.datetime
    cause: str


@dataclass(frozen=True, slots=True)
class BackupLine:
    """A backup was made, or declared; times and roots as in `vault.store.backups.BackupRow`.

    Attributes:
        roots: keys that the backup holds, by tenant and version of the root key.
    """

    backup_id: UUID
    kind: str
    taken_at: dt.datetime
    covers_until: dt.datetime | None
    keep_until: dt.datetime
    time: dt.datetime
    roots: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


Line = EraseLine | BackupLine


@dataclass(frozen=True, slots=True)
class Head:
    """Where a ledger ends: index and hash of its newest line; the header has index 0."""

    index: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Linked:
    """A line in its place."""

    head: Head
    line: Line


def encode_header(header: Header) -> bytes:
    """The header's bytes, without a newline."""
    return _bytes(
        {
            "v": _VERSION,
            "index": 0,
            "kind": "ledger",
            "ledger": header.ledger_id.hex,
            "origin": header.origin,
            "time": _time_text(header.time),
        }
    )


def encode_line(line: Line, after: Head) -> bytes:
    """The bytes of the line that follows `after`, without a newline."""
    first: dict[str, object] = {"v": _VERSION, "index": after.index + 1}
    if isinstance(line, EraseLine):
        rest: dict[str, object] = {
            "kind": "erase",
            "erasure": line.erasure_id.hex,
            "tenant": line.tenant,
            "subject": line.subject_id.hex,
            "cause": line.cause,
        }
    else:
        covers = line.covers_until
        rest = {
            "kind": "backup",
            "backup": line.backup_id.hex,
            "form": line.kind,
            "taken_at": _time_text(line.taken_at),
            "covers_until": None if covers is None else _time_text(covers),
            "keep_until": _time_text(line.keep_until),
            "roots": {
                tenant: {str(version): versions[version] for version in sorted(versions)}
                for tenant, versions in sorted(line.roots.items())
            },
        }
    return _bytes(first | rest | {"time": _time_text(line.time), "previous": after.hash.hex()})


def line_hash(data: bytes) -> bytes:
    """A line's hash, 32 bytes, from its bytes without the newline."""
    return hashlib.sha256(_DOMAIN + data).digest()


def read_header(data: bytes) -> tuple[Header, Head]:
    """Reads the first line.

    Raises:
        LedgerError: it is no header.
    """
    document = _document(data, 0)
    try:
        header = Header(
            _uuid(document["ledger"]),
            _text(document["origin"], _ORIGIN),
            _time(document["time"]),
        )
    except (KeyError, ValueError) as error:
        raise LedgerError("is no ledger's first line", 0) from error
    if encode_header(header) != data:
        raise LedgerError("is not spelled as it must be", 0)
    return header, Head(0, line_hash(data))


def read_line(data: bytes, after: Head) -> Linked:
    """Reads the line that follows `after`.

    Raises:
        LedgerError: it is none, or does not follow.
    """
    index = after.index + 1
    document = _document(data, index)
    try:
        line = _line(document)
        previous = _text(document["previous"], _HEX_64)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise LedgerError("is no line of a ledger", index) from error
    if document.get("index") != index or previous != after.hash.hex():
        raise LedgerError("does not follow the line before it", index)
    if encode_line(line, after) != data:
        raise LedgerError("is not spelled as it must be", index)
    return Linked(Head(index, line_hash(data)), line)


def _line(document: Mapping[str, Any]) -> Line:
    if document["kind"] == "erase":
        cause = str(document["cause"])
        if cause not in CAUSES:
            raise ValueError("cause")
        return EraseLine(
            erasure_id=_uuid(document["erasure"]),
            tenant=TenantId(_text(document["tenant"], _NAME)),
            subject_id=SubjectId(_uuid(document["subject"])),
            time=_time(document["time"]),
            cause=cause,
        )
    if document["kind"] != "backup" or document["form"] not in BACKUP_KINDS:
        raise ValueError("kind")
    covers = document["covers_until"]
    return BackupLine(
        backup_id=_uuid(document["backup"]),
        kind=document["form"],
        taken_at=_time(document["taken_at"]),
        covers_until=None if covers is None else _time(covers),
        keep_until=_time(document["keep_until"]),
        time=_time(document["time"]),
        roots={
            _text(tenant, _NAME): {_count(version): _whole(keys) for version, keys in found.items()}
            for tenant, found in document["roots"].items()
        },
    )


def _document(data: bytes, index: int) -> dict[str, Any]:
    if len(data) > MAX_LINE:
        raise LedgerError("is too long", index)
    try:
        document = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise LedgerError("is not JSON in ASCII", index) from error
    if not isinstance(document, dict) or document.get("v") != _VERSION:
        raise LedgerError("is of no known version", index)
    return document


def _bytes(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _text(value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError("text")
    return value


def _uuid(value: object) -> UUID:
    return UUID(hex=_text(value, _HEX_32))


def _count(value: object) -> int:
    return int(_text(value, _VERSION_FORM))


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("count")
    return value


def _time_text(value: dt.datetime) -> str:
    naive = value.astimezone(dt.UTC).replace(tzinfo=None)
    return naive.isoformat(timespec="microseconds") + "Z"


def _time(value: object) -> dt.datetime:
    return dt.datetime.fromisoformat(_text(value, _TIME_FORM))
