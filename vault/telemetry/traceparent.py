"""The caller's W3C trace context, read strictly.

Guarantees: what comes out is a trace id and a parent id of the right length and
never all zero; anything else is None, and the call starts a trace of its own.
`tracestate` and `baggage` are not read at all: they are foreign text. Whether the
caller sampled is ignored: an access is always recorded.

Source: W3C Trace Context, level 1, section 3.2 (a future version is read as
version 00 if what it adds stands behind a dash).
"""

import re
from dataclasses import dataclass

_LENGTH_00 = 55
_MAX_LENGTH = 256  # bounds what a future version may add
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[\x20-\x7e]*)?")


@dataclass(frozen=True, slots=True)
class RemoteParent:
    """Where the caller's trace stands.

    Attributes:
        trace_id: 16 bytes, not all zero.
        span_id: 8 bytes, not all zero.
    """

    trace_id: bytes
    span_id: bytes


def read_traceparent(text: str | None) -> RemoteParent | None:
    """The caller's place in its trace, or None if the header is absent or malformed."""
    if text is None or not _LENGTH_00 <= len(text) <= _MAX_LENGTH:
        return None
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    version, trace_hex, span_hex, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    parent = RemoteParent(bytes.fromhex(trace_hex), bytes.fromhex(span_hex))
    if not any(parent.trace_id) or not any(parent.span_id):
        return None
    return parent
