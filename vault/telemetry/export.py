"""From records to readers, many at once.

Guarantees: `submit` never waits and never raises; memory is bounded by the queue;
what has no room is dropped and counted; `close` ends the thread within its time. A
sink that fails loses its own spans and nobody else's.

Records are judged, and written out as lines, in groups by whoever brings one that fills the group:
a thread beside the event loop would take the interpreter away from it at every turn, which
costs more than the work. All that waits (files, collectors) is the thread's.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from opentelemetry.sdk.trace import ReadableSpan

from vault.telemetry import names
from vault.telemetry.metrics import Labels
from vault.telemetry.pace import Pace
from vault.telemetry.span_file import line_of
from vault.telemetry.spans import AttributeRefusedError, Judged, SpanBuilder
from vault.telemetry.trace import CallTrace, TripTrace

CLOSE_S: Final = 2.0  # of the 5 s that all of telemetry has to end
_INTERVAL_S: Final = 0.2  # between looks at the queue; a wake-up per call would cost the call
_GROUP: Final = 8  # records, that the processor still has at hand; 0.2 ms of work
_BATCH: Final = 16  # groups; about 1,200 spans, 120 KB, far below a collector's 4 MB


class Sink(Protocol):
    """Where built spans go. Called from the pipeline's thread alone."""

    dropped: dict[str, int]

    def export(self, spans: Sequence[ReadableSpan], /) -> None: ...

    def close(self, deadline: float, /) -> None:
        """Ends by `deadline` (monotonic seconds)."""
        ...


class LineSink(Protocol):
    """Takes records as lines, for far less than spans cost. Otherwise as `Sink`."""

    dropped: dict[str, int]

    def write(self, lines: bytes, spans: int, /) -> None: ...

    def close(self, deadline: float, /) -> None: ...


class _Group(NamedTuple):
    """Judged records on their way.

    Attributes:
        spans: how many they make.
        lines: of them, for the file; empty if there is none.
        judged: for the sinks; empty if there are none: records that nobody needs any more are
            let go at once, while the processor still has them at hand.
    """

    spans: int
    lines: bytes
    judged: Sequence[Judged]


class SpanPipeline:
    """A bounded queue and the one thread that empties it.

    Args:
        builder: judges records, and turns them into spans where a sink wants these.
        sinks: who gets spans.
        file: who gets lines, before the sinks, as it is quick.
        queue: at most this many records wait.
        pace: the thread's, shared with the sinks.
    """

    def __init__(
        self,
        builder: SpanBuilder,
        sinks: Sequence[Sink],
        *,
        file: LineSink | None = None,
        queue: int = 8192,
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace or Pace()
        self._builder = builder
        self._sinks = tuple(sinks)
        self._file = file
        self._ends: tuple[Sink | LineSink, ...] = (*(() if file is None else (file,)), *sinks)
        self._limit = queue
        self._queue: deque[CallTrace | TripTrace] = deque()
        self._ready: deque[_Group] = deque()
        self._refused_by_queue: dict[str, int] = {names.DROP_QUEUE_FULL: 0, names.DROP_CLOSED: 0}
        self._lost = 0
        self._fault: AttributeRefusedError | None = None
        self._closed = False
        self._deadline = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pdvault-spans", daemon=True)
        self._thread.start()

    def submit(self, record: CallTrace | TripTrace) -> None:
        """Queues a finished record; drops it if there is no room."""
        if self._closed:
            self._refused_by_queue[names.DROP_CLOSED] += _span_count(record)
        elif len(self._queue) + _GROUP * len(self._ready) >= self._limit:
            self._refused_by_queue[names.DROP_QUEUE_FULL] += _span_count(record)
        elif self._ends:
            self._queue.append(record)
            if len(self._queue) >= _GROUP:
                self._judge()

    def dropped(self) -> dict[Labels, int]:
        """Spans that did not reach a reader, by cause, since the start."""
        total: dict[Labels, int] = {(names.DROP_FAULT,): self._lost}
        for counts in (self._refused_by_queue, *(end.dropped for end in self._ends)):
            for cause, count in counts.copy().items():
                total[cause,] = total.get((cause,), 0) + count
        return total

    def close(self, *, seconds: float = CLOSE_S) -> None:
        """Sends what is queued and ends the thread, within `seconds`.

        Raises:
            AttributeRefusedError: in strict mode, the first one since the start.
        """
        if self._closed:
            return
        self._closed = True
        self._deadline = time.monotonic() + seconds
        self._stop.set()
        self._thread.join(seconds + 0.5)
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._judge_all()
            while self._ready and not self._stop.is_set():
                self._pass_on()
        self._judge_all()
        while self._ready and time.monotonic() < self._deadline:
            self._pass_on()
        left = sum(group.spans for group in self._ready)
        self._ready.clear()
        self._refused_by_queue[names.DROP_CLOSED] += left
        for end in self._ends:
            end.close(self._deadline)

    def _judge_all(self) -> None:
        while self._queue:
            self._judge()

    def _judge(self) -> None:
        """Makes a group of what is queued. By the event loop or the pipeline's thread."""
        spans = 0
        lines: list[bytes] = []
        judged: list[Judged] = []
        for _ in range(_GROUP):
            try:
                record = self._queue.popleft()
            except IndexError:
                break
            try:
                one = self._builder.judge(record)
                if self._file is not None:
                    lines.append(line_of(one))
            except AttributeRefusedError as error:
                self._fault = self._fault or error
                self._lost += _span_count(record)
                continue
            except Exception:  # noqa: BLE001 - one odd record must end neither
                self._lost += _span_count(record)
                continue
            spans += _span_count(record)
            if self._sinks:
                judged.append(one)
        if spans:
            self._ready.append(_Group(spans, b"".join(lines), judged))

    def _pass_on(self) -> None:
        """Takes one batch to every sink."""
        self._pace.set_backlog(_GROUP * len(self._ready) / self._limit)
        batch = [self._ready.popleft() for _ in range(min(_BATCH, len(self._ready)))]
        if self._file is not None:
            count = sum(group.spans for group in batch)
            try:
                self._file.write(b"".join([group.lines for group in batch]), count)
            except Exception:  # noqa: BLE001 - nor must a sink
                self._lost += count
        if not self._sinks:
            return
        spans: list[ReadableSpan] = []
        for group in batch:
            for judged in group.judged:
                spans += self._builder.build(judged)
                self._pace.rest()
        for sink in self._sinks:
            try:
                sink.export(spans)
            except Exception:  # noqa: BLE001 - as above
                self._lost += len(spans)


def _span_count(record: CallTrace | TripTrace) -> int:
    return 1 + len(record.marks) if isinstance(record, CallTrace) else 1
