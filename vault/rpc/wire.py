"""From bytes to a message: strict, and before anything else looks at them.

gRPC would answer bytes that do not parse by itself, and no entry would say so.
Therefore handlers get raw bytes and decode here.
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from vault.errors import Reason, VaultError, invalid

Request = TypeVar("Request", bound=Message)

MAX_DEPTH = 16
"""Levels of nesting; our deepest message has three."""

# Wire types and the continuation bit (protobuf encoding guide).
_VARINT, _FIXED64, _LENGTH, _START_GROUP, _END_GROUP = 0, 1, 2, 3, 4
_MORE = 0x80


def decode(data: bytes, kind: type[Request], *, max_bytes: int) -> Request:
    """Parses a request.

    Raises:
        VaultError: REQUEST_TOO_LARGE, REQUEST_TOO_DEEP, REQUEST_MALFORMED (invalid UTF-8
            included) or FIELD_UNKNOWN.
    """
    if len(data) > max_bytes:
        raise invalid(Reason.REQUEST_TOO_LARGE, "request", f"is larger than {max_bytes} bytes")
    message = kind()
    try:
        message.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        if group_depth(data) > MAX_DEPTH:
            raise _too_deep("request") from error
        raise invalid(
            Reason.REQUEST_MALFORMED, "request", f"is not a {kind.DESCRIPTOR.full_name}"
        ) from error
    # A field that we don't know may have asked for less than we would do: refuse, don't ignore.
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        if group_depth(data) > MAX_DEPTH:
            raise _too_deep("request")
        path, number = _find_unknown_field(kind.FromString(data), "request")
        raise invalid(Reason.FIELD_UNKNOWN, path, f"has an unknown field {number}")
    return message


def _too_deep(path: str) -> VaultError:
    return invalid(Reason.REQUEST_TOO_DEEP, path, f"is nested deeper than {MAX_DEPTH} levels")


def _find_unknown_field(message: Message, path: str) -> tuple[str, int]:
    """Where the first unknown field is, and its number; 0 if there is none."""
    unknown = UnknownFieldSet(message)
    if len(unknown):
        return path, unknown[0].field_number
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        children = enumerate(value) if field.is_repeated else [(None, value)]
        for index, child in children:
            step = field.name if index is None else f"{field.name}[{index}]"
            found = _find_unknown_field(child, f"{path}.{step}")
            if found[1]:
                return found
    return path, 0


def group_depth(data: bytes) -> int:
    """The deepest nesting of groups at the top level of `data`, as far as it parses."""
    offset = depth = deepest = 0
    try:
        while offset < len(data):
            tag, offset = _varint(data, offset)
            kind = tag & 7
            if kind == _START_GROUP:
                depth += 1
                deepest = max(deepest, depth)
            elif kind == _END_GROUP:
                depth -= 1
            elif kind == _VARINT:
                _, offset = _varint(data, offset)
            elif kind == _FIXED64:
                offset += 8
            elif kind == _LENGTH:
                length, offset = _varint(data, offset)
                offset += length
            else:
                offset += 4
    except IndexError:
        pass
    return deepest


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < _MORE:
            return value, offset
