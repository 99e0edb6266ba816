"""Spans out of a trace in OTLP JSON, as trace stores answer it. Pure.

Takes the spellings that are about: ids in hex (OTLP) or base64 (protobuf's own JSON, Tempo),
numbers as numbers or text, enums by number or name; `resourceSpans` or `batches` (Tempo), bare
or below `result` (Jaeger v3) or `trace` (Tempo v2). What is no span of this form is passed over.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vault.telemetry.kinds import Value
from vault.telemetry.span_file import StoredSpan

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_ERRORS = (2, "2", "STATUS_CODE_ERROR")
_ID_TEXTS = {8: (16, 12), 16: (32, 24)}
"""Bytes of an id -> its length in hex and in base64."""
_SCOPES = ("scopeSpans", "instrumentationLibrarySpans")
_MAX_DEPTH = 8
"""Of arrays in attributes; ours have one level."""


class NoTraceError(ValueError):
    """The document is no trace in OTLP JSON."""


def read_otlp_json(data: bytes) -> list[StoredSpan]:
    """Every span of a document, or of several, one a line (as Jaeger streams them).

    Raises:
        NoTraceError: it holds no trace in OTLP JSON; one without spans will do.
    """
    try:
        try:
            documents = [json.loads(data)]
        except json.JSONDecodeError:
            documents = [json.loads(line) for line in data.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise NoTraceError("not JSON") from error
    found = []
    for document in documents:
        found += [span for raw in _raw_spans(document) if (span := _span(raw)) is not None]
    return found


def _raw_spans(document: object) -> Iterator[object]:
    trace = document
    for name in ("result", "trace"):
        if isinstance(trace, Mapping) and isinstance(trace.get(name), Mapping):
            trace = trace[name]
    groups = None
    if isinstance(trace, Mapping):
        groups = trace.get("resourceSpans", trace.get("batches"))
    if not isinstance(groups, list):
        raise NoTraceError("JSON, but not a trace in OTLP")
    for group in groups:
        for name in _SCOPES:
            for scope in _list(group, name):
                yield from _list(scope, "spans")


def _span(raw: object) -> StoredSpan | None:
    """One span, or None if it is none."""
    try:
        if not isinstance(raw, Mapping):
            return None
        kind, status = raw.get("kind", 0), raw.get("status") or {}
        return StoredSpan(
            trace_id=_id(raw["traceId"], 16),
            span_id=_id(raw["spanId"], 8),
            parent_id=_id(raw["parentSpanId"], 8) if raw.get("parentSpanId") else None,
            name=str(raw["name"]),
            kind=kind.removeprefix("SPAN_KIND_") if isinstance(kind, str) else _KINDS[kind],
            start_ns=int(raw["startTimeUnixNano"]),
            end_ns=int(raw["endTimeUnixNano"]),
            error=status.get("code") in _ERRORS,
            attributes={
                str(each["key"]): _value(each.get("value"), 0) for each in _list(raw, "attributes")
            },
            links=tuple(
                (_id(each["traceId"], 16), _id(each["spanId"], 8)) for each in _list(raw, "links")
            ),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None


def _list(holder: object, name: str) -> Sequence[Any]:
    members = holder.get(name) if isinstance(holder, Mapping) else None
    return members if isinstance(members, list) else ()


def _id(text: object, length: int) -> str:
    """An id in lower-case hex; ValueError or TypeError if it is none."""
    if not isinstance(text, str):
        raise TypeError("not an id")
    in_hex, in_base64 = _ID_TEXTS[length]
    if len(text) == in_hex:
        return bytes.fromhex(text).hex()
    if len(text) == in_base64:
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError("not an id") from error
        if len(data) == length:
            return data.hex()
    raise ValueError("not an id")


def _value(value: object, depth: int) -> Value:
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return ""
    if "intValue" in value:
        return int(value["intValue"])
    if "arrayValue" in value:
        return tuple(str(_value(each, depth + 1)) for each in _list(value["arrayValue"], "values"))
    for name in ("stringValue", "boolValue", "doubleValue"):
        if name in value:
            given = value[name]
            return given if isinstance(given, str | bool | float) else str(given)
    return ""
