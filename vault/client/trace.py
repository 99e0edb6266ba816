"""The caller's trace, as W3C `traceparent`.

Nothing but `traceparent` is sent: baggage and `tracestate` can hold anything,
personal data included.
"""

import re

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vault.client.errors import invalid_request
from vault.errors import Reason

_FORM = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_PROPAGATOR = TraceContextTextMapPropagator()

Metadata = tuple[tuple[str, str], ...]


def trace_metadata(traceparent: str | None) -> Metadata:
    """The metadata of a call: `traceparent`, else that of the current OpenTelemetry span, if any.

    Raises:
        InvalidRequestError: not of the W3C form.
    """
    if traceparent is None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        traceparent = carrier.get("traceparent")
    elif _FORM.fullmatch(traceparent) is None:
        raise invalid_request(Reason.FIELD_INVALID, "traceparent", "not of the W3C form")
    return () if traceparent is None else (("traceparent", traceparent),)
