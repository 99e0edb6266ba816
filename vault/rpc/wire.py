"""From bytes to a message: strict, and before anything else looks at them.

gRPC would answer bytes that do not parse by itself, and no entry would say so.
Therefore handlers get raw bytes and decode here. The parser only says that something is
wrong; what, and where, is looked for afterwards, within bounds: hostile bytes must not
keep the event loop.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from vault.errors import Reason, invalid

Request = TypeVar("Request", bound=Message)

MAX_DEPTH = 16
"""Levels of nesting; our deepest message has three."""
_MAX_PARTS = 10_000
"""Parts of a message that are looked at to explain a fault (some milliseconds); the largest
request within the limits has 4,501. Beyond, a fault keeps its general name."""

# Wire types, the longest varint and its continuation bit (protobuf encoding guide).
_VARINT, _FIXED64, _LENGTH, _START_GROUP, _END_GROUP, _FIXED32 = range(6)
_MAX_VARINT = 10
_MORE = 0x80


def decode(data: bytes, kind: type[Request], *, max_bytes: int) -> Request:
    """Parses a request.

    Raises:
        VaultError: REQUEST_TOO_LARGE, REQUEST_TOO_DEEP, REQUEST_MALFORMED, FIELD_INVALID
            (text that is not UTF-8) or FIELD_UNKNOWN.
    """
    if len(data) > max_bytes:
        raise invalid(Reason.REQUEST_TOO_LARGE, "request", f"is larger than {max_bytes} bytes")
    message = kind()
    descriptor = cast("Descriptor", kind.DESCRIPTOR)
    try:
        message.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        _check_depth(data)
        path = find_bad_text(data, descriptor)
        if path is not None:
            raise invalid(Reason.FIELD_INVALID, path, "is not valid UTF-8") from error
        raise invalid(
            Reason.REQUEST_MALFORMED, "request", f"is not a {descriptor.full_name}"
        ) from error
    # A field that we don't know may have asked for less than we would do: refuse, don't ignore.
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        _check_depth(data)
        path, number = find_unknown_field(data, descriptor) or ("request", 0)
        text = f"has an unknown field {number}" if number else "has unknown fields"
        raise invalid(Reason.FIELD_UNKNOWN, path, text)
    return message


def find_bad_text(data: bytes, kind: Descriptor) -> str | None:
    """The path of the first text that is not UTF-8, such as `subjects[0].subject_ref`."""
    for part in _walk(data, kind):
        if part.field is not None and part.field.type == FieldDescriptor.TYPE_STRING:
            try:
                part.content.decode()
            except UnicodeDecodeError:
                return part.path
    return None


def find_unknown_field(data: bytes, kind: Descriptor) -> tuple[str, int] | None:
    """The path of the first message with a field that it does not have, and the field's number."""
    for part in _walk(data, kind):
        if part.field is None:
            return f"request.{part.outer}".rstrip("."), part.number
    return None


def group_depth(data: bytes) -> int:
    """The deepest nesting of groups at the top level of `data`, as far as it parses."""
    depth = deepest = 0
    for _, form, _ in _parts(data):
        if form == _START_GROUP:
            depth += 1
            deepest = max(deepest, depth)
        elif form == _END_GROUP:
            depth -= 1
    return deepest


def _check_depth(data: bytes) -> None:
    if group_depth(data) > MAX_DEPTH:
        text = f"is nested deeper than {MAX_DEPTH} levels"
        raise invalid(Reason.REQUEST_TOO_DEEP, "request", text)


class _Part(NamedTuple):
    """One part of a message.

    Attributes:
        outer: the path of the message that it is in, with a dot behind; empty for the request.
        path: the path of the field.
        field: None if the message has no such field, or not of this wire type.
    """

    outer: str
    path: str
    number: int
    field: FieldDescriptor | None
    content: bytes


def _walk(data: bytes, kind: Descriptor) -> Iterator[_Part]:
    """All parts of a message and of those within, outer before inner, up to a bound."""
    waiting = deque([("", kind, data)])
    seen = 0
    while waiting:
        outer, owner, inside = waiting.popleft()
        counts: dict[int, int] = {}
        for number, form, content in _parts(inside):
            seen += 1
            if seen > _MAX_PARTS:
                return
            field = owner.fields_by_number.get(number)
            if field is None or form != _form(field):
                yield _Part(outer, "", number, None, b"")
                continue
            path = outer + field.name
            if field.is_repeated:
                path += f"[{counts.get(number, 0)}]"
                counts[number] = counts.get(number, 0) + 1
            yield _Part(outer, path, number, field, content)
            if field.message_type is not None:
                waiting.append((f"{path}.", field.message_type, content))


def _form(field: FieldDescriptor) -> int:
    """The wire type of a field; our messages hold texts, bytes, messages and varints only."""
    if field.type in (
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BYTES,
        FieldDescriptor.TYPE_MESSAGE,
    ):
        return _LENGTH
    return _VARINT


def _parts(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, wire type and (of LENGTH) content of each field of `data`, up to a bound."""
    offset = 0
    for _ in range(_MAX_PARTS):
        if offset >= len(data):
            return
        try:
            tag, offset = _varint(data, offset)
            form, content = tag & 7, b""
            if form == _VARINT:
                _, offset = _varint(data, offset)
            elif form == _LENGTH:
                length, offset = _varint(data, offset)
                content = data[offset : offset + length]
                offset += length
            elif form == _FIXED64:
                offset += 8
            elif form == _FIXED32:
                offset += 4
            elif form not in (_START_GROUP, _END_GROUP):
                return
        except IndexError:
            return
        if offset > len(data):
            return
        yield tag >> 3, form, content


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """A number and where it ends; IndexError where there is none."""
    value = 0
    for at in range(_MAX_VARINT):
        byte = data[offset + at]
        value |= (byte & 0x7F) << 7 * at
        if byte < _MORE:
            return value, offset + at + 1
    raise IndexError
