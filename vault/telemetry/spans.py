"""Turns a record into OpenTelemetry spans, and stops what is not on the allow-list.

This is the one place where attributes are judged: an unknown key, a value of the
wrong kind or a name that is not in `names.py` does not get past it, and is counted.
No I/O. Judging may be done by several threads at once; building is the exporter's thread's.
"""

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SpanLink
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from vault.telemetry import names
from vault.telemetry.kinds import Value, Vocabulary
from vault.telemetry.trace import CallTrace, Link, TripTrace, served_span_id, stage_span_id

# Statuses that are the service's fault (semantic conventions for gRPC server spans):
# UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
_SERVER_FAULTS = frozenset({2, 4, 12, 13, 14, 15})
_RECORDED = TraceFlags(TraceFlags.SAMPLED)
_MOST_KEPT = 1024
"""Judgements that are kept; each is about a kilobyte."""
_UNSET = Status(StatusCode.UNSET)
_ERROR = Status(StatusCode.ERROR)


class AttributeRefusedError(Exception):
    """In strict mode: something that is not on the allow-list. Names the key, never the value."""


class Facts(NamedTuple):
    """What many records have in common, on the allow-list.

    Attributes:
        is_error: whether the service is at fault.
        text: the attributes as JSON, without the brace at the end.
    """

    name: str
    attributes: Mapping[str, Value]
    is_error: bool
    text: str


class Judged(NamedTuple):
    """A record of which everything is on the allow-list.

    Attributes:
        ids: attributes that are this record's alone.
        stages: names of a call's stages, in the order of its marks.
    """

    record: CallTrace | TripTrace
    facts: Facts
    ids: Mapping[str, Value]
    stages: tuple[str, ...] = ()


class SpanBuilder:
    """Judges records and builds spans from them.

    Args:
        resource: who we are.
        version: of the service, for the instrumentation scope.
        words: gives the words of the policy bundle in force.
        trip_attributes: per trip name, what is known from configuration:
            `db.system.name`, `server.address`, `server.port`.
        strict: raise at what the allow-list stops. For tests.
    """

    def __init__(
        self,
        *,
        resource: Resource,
        version: str,
        words: Callable[[], Vocabulary],
        trip_attributes: Mapping[str, Mapping[str, str | int]],
        strict: bool = False,
    ) -> None:
        self._resource = resource
        self._scope = InstrumentationScope(names.SCOPE, version)
        self._words = words
        self._trip_attributes = trip_attributes
        self._strict = strict
        self._kept: tuple[Vocabulary | None, dict[object, Facts]] = (None, {})
        self.refused = 0
        """Attributes and names that the allow-list stopped."""

    def judge(self, record: CallTrace | TripTrace) -> Judged:
        """What of a record may pass.

        Raises:
            AttributeRefusedError: in strict mode only.
        """
        is_call = isinstance(record, CallTrace)
        about = record.status if isinstance(record, CallTrace) else (record.error, record.calls)
        words = self._words()
        known_words, kept = self._kept
        if words is not known_words:  # another bundle
            kept = {}
            self._kept = (words, kept)
        key: object = (is_call, record.name, about, *record.attributes.items())
        try:
            facts = kept.get(key)
        except TypeError:  # a value that can't be part of a key, so none that may pass
            key = facts = None
        if facts is None:
            refused = self.refused
            facts = self._facts(record, words)
            if key is not None and refused == self.refused:
                if len(kept) >= _MOST_KEPT:
                    kept.clear()
                kept[key] = facts
        if not isinstance(record, CallTrace):
            return Judged(record, facts, {})
        ids: dict[str, Value] = {}
        for name, value in record.ids.items():
            if name in names.ID_ATTRIBUTES and names.SPAN_ATTRIBUTES[name].admits(value, words):
                ids[name] = value
            else:
                self._refuse("an id")
        known = names.STAGES
        stages = [
            stage if stage in known else self._known(stage, known) for stage, _ in record.marks
        ]
        return Judged(record, facts, ids, tuple(stages))

    def _facts(self, record: CallTrace | TripTrace, words: Vocabulary) -> Facts:
        attributes: dict[str, Value]
        if isinstance(record, CallTrace):
            name = self._known(record.name, names.RPCS)
            attributes = {
                names.RPC_SYSTEM: "grpc",
                names.RPC_METHOD: "_OTHER" if name == names.RPC_OTHER else name,
                names.RPC_STATUS: names.RPC_STATUSES[record.status],
            }
            is_error = record.status in _SERVER_FAULTS
        else:
            name = self._known(record.name, names.TRIPS)
            attributes = {**self._trip_attributes.get(name, {}), names.TRIP_CALLS: record.calls}
            is_error = record.error is not None
            if record.error is not None:
                attributes[names.ERROR_TYPE] = record.error.name
        for key, value in record.attributes.items():
            kind = names.SPAN_ATTRIBUTES.get(key)
            if kind is not None and kind.admits(value, words):
                attributes[key] = value
            else:
                self._refuse(key if kind is not None else "unknown key")
        return Facts(name, attributes, is_error, json.dumps(attributes)[:-1])

    def build(self, judged: Judged) -> list[ReadableSpan]:
        """The spans of one record, the outermost first."""
        record = judged.record
        if isinstance(record, CallTrace):
            return self._call(record, judged)
        return [self._trip(record, judged)]

    def _call(self, call: CallTrace, judged: Judged) -> list[ReadableSpan]:
        trace_id = int.from_bytes(call.trace_id)
        context = SpanContext(trace_id, int.from_bytes(call.span_id), False, _RECORDED)
        parent = (
            SpanContext(trace_id, int.from_bytes(call.parent_span_id), True, _RECORDED)
            if call.parent_span_id is not None
            else None
        )
        # Marks are on a clock that is never set back; the wall clock is read once.
        shift = call.unix_ns - call.start_ns
        spans = [
            self._span(
                judged.facts.name,
                context=context,
                parent=parent,
                kind=SpanKind.SERVER,
                attributes={**judged.facts.attributes, **judged.ids},
                links=_links(call.links, -1),
                status=_ERROR if judged.facts.is_error else _UNSET,
                start=call.unix_ns,
                end=call.end_ns + shift,
            )
        ]
        ends = [start for _, start in call.marks[1:]] + [call.end_ns]
        starts = [start for _, start in call.marks]
        stages = zip(judged.stages, starts, ends, strict=False)
        for index, (stage, start, end) in enumerate(stages):
            span_id = int.from_bytes(stage_span_id(call.span_id, index))
            spans.append(
                self._span(
                    stage,
                    context=SpanContext(trace_id, span_id, False, _RECORDED),
                    parent=context,
                    kind=SpanKind.INTERNAL,
                    attributes={},
                    links=_links(call.links, index) if call.links else (),
                    status=_UNSET,
                    start=start + shift,
                    end=end + shift,
                )
            )
        return spans

    def _trip(self, trip: TripTrace, judged: Judged) -> ReadableSpan:
        trace_id = int.from_bytes(trip.trace_id)
        return self._span(
            judged.facts.name,
            context=SpanContext(trace_id, int.from_bytes(trip.span_id), False, _RECORDED),
            parent=SpanContext(trace_id, int.from_bytes(trip.parent_span_id), False, _RECORDED)
            if trip.parent_span_id is not None
            else None,
            kind=SpanKind.CLIENT,
            attributes=judged.facts.attributes,
            links=tuple(
                SpanLink(
                    SpanContext(
                        int.from_bytes(link.trace_id),
                        int.from_bytes(served_span_id(link)),
                        False,
                        _RECORDED,
                    )
                )
                for link in trip.links
            ),
            status=_ERROR if judged.facts.is_error else _UNSET,
            start=trip.unix_ns,
            end=trip.unix_ns + trip.end_ns - trip.start_ns,
        )

    def _span(
        self,
        name: str,
        *,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, Value],
        links: tuple[SpanLink, ...],
        status: Status,
        start: int,
        end: int,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            links=links,
            kind=kind,
            status=status,
            start_time=start,
            end_time=end,
            instrumentation_scope=self._scope,
        )

    def _known(self, name: str, known: frozenset[str]) -> str:
        if name in known:
            return name
        self._refuse("unknown name")
        return names.RPC_OTHER

    def _refuse(self, what: str) -> None:
        self.refused += 1
        if self._strict:
            raise AttributeRefusedError(f"the allow-list stopped: {what}")


def _links(links: list[Link], stage: int) -> tuple[SpanLink, ...]:
    return tuple(
        SpanLink(
            SpanContext(
                int.from_bytes(link.trace_id), int.from_bytes(link.span_id), False, _RECORDED
            )
        )
        for link in links
        if link.stage == stage
    )
