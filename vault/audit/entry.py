"""The bytes of an audit entry: the format, its writer and its strict reader.

docs/formats.md, "audit entry", is the contract. Parsing what `encode` wrote and
encoding it again gives the same bytes; the reader takes nothing else. An entry holds
no personal data: a consumer appears only as a random handle, a token only as
its digest. Pure: no clock, no input or output.
"""

import functools
import hashlib
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vault.errors import Reason
from vault.model import Authentication, SubjectId, Verdict, View

VERSION = 1
VERSION_OF_ACTS = 2
"""As version 1, and behind the items the act that the call is about."""
MAX_ENTRY = 65_535
"""Bytes: the longest that a bundle of C2SP tlog-tiles takes. A longer account makes several."""
MAX_TEXT = 2048
"""Bytes in one text; the longest is a SPIFFE id (SPIFFE-ID standard, section 2.3)."""

# version, entry id, time in microseconds since 1970, call id, trace id, span id,
# bundle digest, authentication, verdict, reason, has a subject
_HEAD = struct.Struct(">B16sQ16s16s8s32sBBHB")
# wanted view, view, verdict, reason, number of policies
_ITEM = struct.Struct(">BBBHB")
_U16 = struct.Struct(">H")
_DIGEST_BYTES = 32


class EntryFormatError(ValueError):
    """The bytes are not an audit entry of a known version."""


@dataclass(frozen=True, slots=True)
class EntryItem:
    """One item of a call.

    Attributes:
        token_digest: 32 bytes, or empty where there is no token.
    """

    token_digest: bytes
    field_type: str
    wanted: View
    view: View
    verdict: Verdict
    reason: Reason
    policies: tuple[str, ...] = ()


class ItemParts(Protocol):
    """An `EntryItem`, or what has its attributes: who writes entries need not make copies."""

    @property
    def token_digest(self) -> bytes: ...
    @property
    def field_type(self) -> str: ...
    @property
    def wanted(self) -> View: ...
    @property
    def view(self) -> View: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def reason(self) -> Reason: ...
    @property
    def policies(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class EntryAct:
    """Which request of custody a call is about.

    Attributes:
        digest: 32 bytes, of everything that the request asks for.
        is_dry_run: the call was to change nothing.
    """

    request_id: uuid.UUID
    digest: bytes
    is_dry_run: bool = False

    def __str__(self) -> str:
        marks = ":dry_run" if self.is_dry_run else ""
        return f"{self.request_id.hex}:{self.digest.hex()}{marks}"


@dataclass(slots=True, kw_only=True)  # not frozen: as `vault.rows.TokenRow`
class Entry:
    """One call's account of one subject.

    Attributes:
        time_us: when the entry was made, microseconds since 1970-01-01T00:00:00Z.
        trace_id: 16 bytes. span_id: 8 bytes (the call's own span).
        bundle_digest: 32 bytes; zeros before a bundle was consulted.
        subject_id: None where no subject is known.
        case: KIND:HANDLE, what the call is about; the handle is random, 32 hex digits. May be
            empty.
        field: the path of the field at fault in an invalid request.
        act: only in entries of version 2.
    """

    entry_id: uuid.UUID
    time_us: int
    call_id: uuid.UUID
    trace_id: bytes
    span_id: bytes
    bundle_digest: bytes
    authentication: Authentication
    verdict: Verdict
    reason: Reason
    subject_id: SubjectId | None
    tenant: str
    rpc: str
    caller: str
    roles: tuple[str, ...]
    purpose: str
    case: str
    field: str
    items: Sequence[ItemParts]
    act: EntryAct | None = None


def leaf_hash(entry: bytes) -> bytes:
    """The Merkle leaf hash of RFC 9162, section 2.1.1: SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def encode(entry: Entry) -> bytes:
    """Writes an entry.

    Raises:
        EntryFormatError: a part is longer than the format allows.
    """
    parts = [
        _HEAD.pack(
            VERSION if entry.act is None else VERSION_OF_ACTS,
            entry.entry_id.bytes,
            entry.time_us,
            entry.call_id.bytes,
            entry.trace_id,
            entry.span_id,
            entry.bundle_digest,
            entry.authentication,
            entry.verdict,
            entry.reason,
            entry.subject_id is not None,
        )
    ]
    if entry.subject_id is not None:
        parts.append(entry.subject_id.bytes)
    parts += [
        _who(entry.tenant, entry.rpc, entry.caller, entry.roles, entry.purpose),
        _text(entry.case),
        _text(entry.field),
        _U16.pack(len(entry.items)),
    ]
    for item in entry.items:
        parts += (
            b"\x01" if item.token_digest else b"\x00",
            item.token_digest,
            _name(item.field_type),
            _ITEM.pack(item.wanted, item.view, item.verdict, item.reason, len(item.policies)),
            _names(item.policies),
        )
    if entry.act is not None:
        if len(entry.act.digest) != _DIGEST_BYTES:
            raise EntryFormatError("a digest has 32 bytes")
        parts += [entry.act.request_id.bytes, entry.act.digest, bytes((entry.act.is_dry_run,))]
    written = b"".join(parts)
    if len(written) > MAX_ENTRY:
        raise EntryFormatError("the entry is too long")
    return written


def decode(data: bytes) -> Entry:
    """Reads an entry.

    Raises:
        EntryFormatError: anything but the exact bytes that `encode` writes.
    """
    if len(data) > MAX_ENTRY:
        raise EntryFormatError("the entry is too long")
    reader = _Reader(data)
    try:
        entry = _decode(reader)
    except (struct.error, ValueError) as error:
        if isinstance(error, EntryFormatError):
            raise
        raise EntryFormatError("the entry is cut short or holds an unknown code") from error
    if reader.offset != len(data):
        raise EntryFormatError("there are bytes after the entry")
    return entry


def _decode(reader: "_Reader") -> Entry:
    version = reader.data[:1]
    if version not in (bytes([VERSION]), bytes([VERSION_OF_ACTS])):
        raise EntryFormatError("not an entry of version 1 or 2")
    (
        _,
        entry_id,
        time_us,
        call_id,
        trace_id,
        span_id,
        bundle_digest,
        authentication,
        verdict,
        reason,
        has_subject,
    ) = reader.unpack(_HEAD)
    subject = uuid.UUID(bytes=reader.take(16)) if reader.is_set(has_subject) else None
    tenant, rpc, caller = reader.text(), reader.text(), reader.text()
    roles = tuple(reader.text() for _ in range(reader.count()))
    purpose, case, field = reader.text(), reader.text(), reader.text()
    items = tuple(_decode_item(reader) for _ in range(reader.count()))
    act = None
    if version == bytes([VERSION_OF_ACTS]):
        act = EntryAct(
            uuid.UUID(bytes=reader.take(16)),
            reader.take(_DIGEST_BYTES),
            reader.is_set(reader.take(1)[0]),
        )
    return Entry(
        entry_id=uuid.UUID(bytes=entry_id),
        time_us=time_us,
        call_id=uuid.UUID(bytes=call_id),
        trace_id=trace_id,
        span_id=span_id,
        bundle_digest=bundle_digest,
        authentication=Authentication(authentication),
        verdict=Verdict(verdict),
        reason=Reason(reason),
        subject_id=None if subject is None else SubjectId(subject),
        tenant=tenant,
        rpc=rpc,
        caller=caller,
        roles=roles,
        purpose=purpose,
        case=case,
        field=field,
        items=items,
        act=act,
    )


def _decode_item(reader: "_Reader") -> EntryItem:
    digest = reader.take(32) if reader.is_set(reader.take(1)[0]) else b""
    field_type = reader.text()
    wanted, view, verdict, reason, policies = reader.unpack(_ITEM)
    return EntryItem(
        token_digest=digest,
        field_type=field_type,
        wanted=View(wanted),
        view=View(view),
        verdict=Verdict(verdict),
        reason=Reason(reason),
        policies=tuple(reader.text() for _ in range(policies)),
    )


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) > MAX_TEXT:
        raise EntryFormatError("a text is too long")
    return _U16.pack(len(data)) + data


# The texts of an entry come again and again; writing them out was half of the work. What is kept is
# bounded, and none of it personal: no case, and no field of a request.
@functools.lru_cache(1024)
def _who(tenant: str, rpc: str, caller: str, roles: tuple[str, ...], purpose: str) -> bytes:
    texts = [_text(tenant), _text(rpc), _text(caller), _U16.pack(len(roles))]
    return b"".join([*texts, *(_text(role) for role in roles), _text(purpose)])


@functools.lru_cache(1024)
def _names(texts: tuple[str, ...]) -> bytes:
    return b"".join([_text(text) for text in texts])


_name = functools.lru_cache(1024)(_text)


class _Reader:
    """A cursor that never reads past the end."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, length: int) -> bytes:
        end = self.offset + length
        if end > len(self.data):
            raise EntryFormatError("the entry is cut short")
        taken = self.data[self.offset : end]
        self.offset = end
        return taken

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:  # as struct's own signature
        return form.unpack(self.take(form.size))

    def count(self) -> int:
        # As `text`, spelt out: an auditor's verifier reads ten of these for each entry.
        end = self.offset + 2
        if end > len(self.data):
            raise EntryFormatError("the entry is cut short")
        self.offset = end
        return self.data[end - 2] << 8 | self.data[end - 1]

    def text(self) -> str:
        data = self.data
        start = self.offset + 2
        if start > len(data):
            raise EntryFormatError("the entry is cut short")
        length = data[start - 2] << 8 | data[start - 1]
        if length > MAX_TEXT:
            raise EntryFormatError("a text is too long")
        end = start + length
        if end > len(data):
            raise EntryFormatError("the entry is cut short")
        self.offset = end
        return data[start:end].decode()

    def is_set(self, flag: object) -> bool:
        if flag not in (0, 1):
            raise EntryFormatError("a flag is neither 0 nor 1")
        return flag == 1
