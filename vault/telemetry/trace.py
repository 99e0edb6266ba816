"""What a call and a round trip note down while they run: plain numbers, nothing else.

A span tree built live costs about 200 µs a call; this costs a few. `export.py` has lines
or spans made of the numbers, many calls at once. Guarantees: no lock, no wait, no I/O.
Leaves to others: judging attributes (`spans.py`), queueing (`export.py`).
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from vault.errors import Reason
from vault.telemetry.kinds import Value
from vault.telemetry.traceparent import read_traceparent

_MAX_LINKS = 128  # of one span: the default limit of the OpenTelemetry SDK
_IDS_PER_DRAW = 256
_SPAN_IDS = (1 << 64) - 1  # 1 to this; 0 is not a span id
_NOTHING: Mapping[str, Value] = {}


class Link(NamedTuple):
    """From a span to another that it has to do with.

    Attributes:
        stage: of a call's link, the index of the mark that it stands at; of a trip's link, that
            of the call's mark that it leads to. -1: before the first.
        trace_id: 16 bytes.
        span_id: 8 bytes: the trip's, or the call's own.
    """

    stage: int
    trace_id: bytes
    span_id: bytes


_link = tuple.__new__
"""Makes a `Link` without the call that a NamedTuple's own constructor is: two for each rider."""


class Submit(Protocol):
    """Where finished records go. Must not block."""

    def __call__(self, record: "CallTrace | TripTrace", /) -> None: ...


class IdSource:
    """Random ids, drawn from the system many at a time. Safe from any thread."""

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._drawn: list[tuple[bytes, bytes]] = []

    def take(self) -> tuple[bytes, bytes]:
        """A trace id (16 bytes) and a span id (8 bytes) that nobody else gets."""
        try:
            return self._drawn.pop()  # one step under the interpreter's lock
        except IndexError:
            drawn = self._random(24 * _IDS_PER_DRAW)
            self._drawn.extend(
                (drawn[at : at + 16], drawn[at + 16 : at + 24]) for at in range(24, len(drawn), 24)
            )
            return drawn[:16], drawn[16:24]


def stage_span_id(span_id: bytes, index: int) -> bytes:
    """The span id of a call's stage number `index`: counted on from the call's own.

    Never zero and never the call's own id, so a stage needs no random id.
    """
    return ((int.from_bytes(span_id) + index) % _SPAN_IDS + 1).to_bytes(8)


def served_span_id(link: Link) -> bytes:
    """The span that a trip's link leads to: the call's stage, or the call itself."""
    return link.span_id if link.stage < 0 else stage_span_id(link.span_id, link.stage)


class CallTrace:
    """One call: when it started, when each stage began, which trips served it.

    Attributes:
        name: the span's name, one of `names.RPCS`.
        trace_id: 16 bytes: the caller's, or a new one.
        span_id: 8 bytes.
        parent_span_id: 8 bytes, or None if the call starts the trace.
        call_id: 32 hex digits, set by whoever names the call; for log lines.
        unix_ns: wall-clock start, nanoseconds.
        start_ns: start on the clock of the marks.
        end_ns: the same at `finish`; 0 before.
        marks: (stage, start on the clock of the marks), in order.
        links: trips that served a stage.
        status: gRPC status code, -1 before `finish`.
        attributes, ids: not yet judged.
    """

    __slots__ = (
        "_now",
        "_submit",
        "attributes",
        "call_id",
        "end_ns",
        "ids",
        "links",
        "marks",
        "name",
        "parent_span_id",
        "span_id",
        "start_ns",
        "status",
        "trace_id",
        "unix_ns",
    )

    def __init__(
        self,
        name: str,
        *,
        trace_id: bytes,
        span_id: bytes,
        parent_span_id: bytes | None,
        unix_ns: int,
        now: Callable[[], int],
        submit: Submit,
    ) -> None:
        self.name = name
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_span_id = parent_span_id
        self.call_id = ""
        self.unix_ns = unix_ns
        self.start_ns = now()
        self.end_ns = 0
        self.marks: list[tuple[str, int]] = []
        self.links: list[Link] = []
        self.status = -1
        self.attributes = self.ids = _NOTHING
        self._now = now
        self._submit = submit

    def mark(self, stage: str) -> None:
        """Ends the stage that runs and begins the next, one of `names.STAGES`."""
        self.marks.append((stage, self._now()))

    def link(self, trip: "TripTrace") -> None:
        """Notes that this trip serves the stage that runs now."""
        if len(self.links) < _MAX_LINKS:
            self.links.append(_link(Link, (len(self.marks) - 1, trip.trace_id, trip.span_id)))

    def finish(
        self,
        status: int,
        attributes: Mapping[str, Value] = _NOTHING,
        ids: Mapping[str, Value] = _NOTHING,
    ) -> None:
        """Ends the call and hands the record over. A second time does nothing.

        Args:
            status: the gRPC status code.
            attributes: keys of `names.SPAN_ATTRIBUTES`. The exporter judges them; the
                mapping must not change afterwards.
            ids: the same, for keys of `names.ID_ATTRIBUTES`. Apart, as the others come again
                and again, and are judged once.
        """
        if self.end_ns:
            return
        self.end_ns = self._now()
        self.status = status
        self.attributes = attributes
        self.ids = ids
        if current_call.get() is self:
            current_call.set(None)
        self._submit(self)


class TripTrace:
    """One coalesced round trip to PostgreSQL or Transit.

    A trip that serves one call is a child of the stage that waits for it. A trip that
    serves several is the root of a trace of its own, linked with each stage.

    Attributes:
        name: one of `names.TRIPS`.
        links: the stages served, at most 128.
        calls: how many calls it serves.
        error: why it failed, or None.
        The others as in `CallTrace`.
    """

    __slots__ = (
        "_now",
        "_submit",
        "attributes",
        "calls",
        "end_ns",
        "error",
        "links",
        "name",
        "parent_span_id",
        "span_id",
        "start_ns",
        "trace_id",
        "unix_ns",
    )

    def __init__(
        self,
        name: str,
        calls: Sequence[CallTrace],
        *,
        ids: tuple[bytes, bytes],
        unix_ns: int,
        now: Callable[[], int],
        submit: Submit,
    ) -> None:
        served = list(dict.fromkeys(calls))  # a call may have put in several items
        self.name = name
        self.trace_id, self.span_id = ids
        self.parent_span_id: bytes | None = None
        self.links: list[Link] = []
        self.calls = len(served)
        self.error: Reason | None = None
        self.unix_ns = unix_ns
        self.start_ns = now()
        self.end_ns = 0
        self.attributes = _NOTHING
        self._now = now
        self._submit = submit
        if len(served) == 1:
            self.trace_id = served[0].trace_id
            self.parent_span_id = _running(served[0])
            return
        for call in served:
            call.link(self)
            if len(self.links) < _MAX_LINKS:
                self.links.append(_link(Link, (len(call.marks) - 1, call.trace_id, call.span_id)))

    @property
    def traceparent(self) -> str:
        """Where the trip stands, as the W3C header for whoever serves it. Always recorded."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-01"

    def finish(
        self, *, error: Reason | None = None, attributes: Mapping[str, Value] = _NOTHING
    ) -> None:
        """Ends the trip and hands the record over. A second time does nothing.

        Args:
            error: why it failed.
            attributes: as in `CallTrace.finish`.
        """
        if self.end_ns:
            return
        self.end_ns = self._now()
        if current_trip.get() is self:
            current_trip.set(None)
        self.error = error
        self.attributes = attributes
        self._submit(self)


def _running(call: CallTrace) -> bytes:
    """The span id of the stage that runs, or of the call itself before the first."""
    if not call.marks:
        return call.span_id
    return stage_span_id(call.span_id, len(call.marks) - 1)


current_call: ContextVar[CallTrace | None] = ContextVar("current_call", default=None)
"""The call that this task serves. For log lines only; whoever needs the call is handed it."""
current_trip: ContextVar[TripTrace | None] = ContextVar("current_trip", default=None)
"""The round trip that this task makes; a task makes one at a time."""


def trip_traceparent() -> str | None:
    """The header of the trip that this task makes; None outside of one."""
    trip = current_trip.get()
    return None if trip is None else trip.traceparent


class Tracer:
    """Starts calls and trips.

    Args:
        submit: takes finished records.
        ids: where ids come from.
        unix_ns: wall clock, nanoseconds.
        now: the clock of durations, nanoseconds, never set back.
    """

    def __init__(
        self,
        submit: Submit,
        *,
        ids: IdSource | None = None,
        unix_ns: Callable[[], int] = time.time_ns,
        now: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._submit = submit
        self._ids = ids or IdSource()
        self._unix_ns = unix_ns
        self._now = now

    def call(self, name: str, traceparent: str | None = None) -> CallTrace:
        """Starts a call and makes it the current one of this task.

        Args:
            name: one of `names.RPCS`.
            traceparent: the caller's header as it came in. Malformed: a new trace.
        """
        trace_id, span_id = self._ids.take()
        parent = None if traceparent is None else read_traceparent(traceparent)
        call = CallTrace(
            name,
            trace_id=trace_id if parent is None else parent.trace_id,
            span_id=span_id,
            parent_span_id=None if parent is None else parent.span_id,
            unix_ns=self._unix_ns(),
            now=self._now,
            submit=self._submit,
        )
        current_call.set(call)
        return call

    def trip(self, name: str, calls: Sequence[CallTrace] = ()) -> TripTrace:
        """Starts a trip that serves the stages in which these calls wait now.

        It becomes the current one of this task.

        Args:
            name: one of `names.TRIPS`.
            calls: empty for work of the service's own.
        """
        trip = TripTrace(
            name,
            calls,
            ids=self._ids.take(),
            unix_ns=self._unix_ns(),
            now=self._now,
            submit=self._submit,
        )
        current_trip.set(trip)
        return trip
