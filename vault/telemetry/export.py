"""From records to readers, off the hot path.

Guarantees: `submit` never waits and never raises; memory is bounded by the queue;
what has no room is dropped and counted; `close` ends the thread within its time. A
sink that fails loses its own spans and nobody else's.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from opentelemetry.sdk.trace import ReadableSpan

from vault.telemetry import names
from vault.telemetry.metrics import Labels
from vault.telemetry.pace import Pace
from vault.telemetry.spans import AttributeRefusedError, Judged, SpanBuilder
from vault.telemetry.trace import CallTrace, TripTrace

CLOSE_S: Final = 2.0  # of the 5 s that all of telemetry has to end
_INTERVAL_S: Final = 0.2  # between looks at the queue; a wake-up per call would cost the call
_BATCH: Final = 128  # records; about 1,200 spans, 120 KB, far below a collector's 4 MB


class Sink(Protocol):
    """Where built spans go. Called from the pipeline's thread alone."""

    dropped: dict[str, int]

    def export(self, spans: Sequence[ReadableSpan], /) -> None: ...

    def close(self, deadline: float, /) -> None:
        """Ends by `deadline` (monotonic seconds)."""
        ...


class RecordSink(Protocol):
    """Takes records as they are, for far less than spans cost. Otherwise as `Sink`."""

    dropped: dict[str, int]

    def write(self, records: Sequence[Judged], /) -> None: ...

    def close(self, deadline: float, /) -> None: ...


class SpanPipeline:
    """A bounded queue and the one thread that empties it.

    Args:
        builder: judges records, and turns them into spans where a sink wants these.
        sinks: who gets spans.
        file: who gets records, before the sinks, as it is quick.
        queue: at most this many records wait.
        pace: the thread's, shared with the sinks.
    """

    def __init__(
        self,
        builder: SpanBuilder,
        sinks: Sequence[Sink],
        *,
        file: RecordSink | None = None,
        queue: int = 8192,
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace or Pace()
        self._builder = builder
        self._sinks = tuple(sinks)
        self._file = file
        self._ends: tuple[Sink | RecordSink, ...] = (*(() if file is None else (file,)), *sinks)
        self._limit = queue
        self._queue: deque[CallTrace | TripTrace] = deque()
        self._refused_by_queue: dict[str, int] = {names.DROP_QUEUE_FULL: 0, names.DROP_CLOSED: 0}
        self._lost = 0  # written by the pipeline's thread alone
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
        elif len(self._queue) >= self._limit:
            self._refused_by_queue[names.DROP_QUEUE_FULL] += _span_count(record)
        elif self._ends:
            self._queue.append(record)

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
            while self._queue and not self._stop.is_set():
                self._pass_on()
        while self._queue and time.monotonic() < self._deadline:
            self._pass_on()
        left = sum(_span_count(record) for record in self._queue)
        self._queue.clear()
        self._refused_by_queue[names.DROP_CLOSED] += left
        for end in self._ends:
            end.close(self._deadline)

    def _pass_on(self) -> None:
        """Takes one batch from the queue to every sink."""
        self._pace.set_backlog(len(self._queue) / self._limit)
        records: list[Judged] = []
        for _ in range(min(_BATCH, len(self._queue))):
            record = self._queue.popleft()
            try:
                records.append(self._builder.judge(record))
            except AttributeRefusedError as error:
                self._fault = self._fault or error
                self._lost += _span_count(record)
            except Exception:  # noqa: BLE001 - one odd record must not end the thread
                self._lost += _span_count(record)
            self._pace.rest()
        if self._file is not None:
            try:
                self._file.write(records)
            except Exception:  # noqa: BLE001 - nor must a sink
                self._lost += sum(_span_count(judged.record) for judged in records)
        if not self._sinks:
            return
        spans: list[ReadableSpan] = []
        for judged in records:
            spans += self._builder.build(judged)
            self._pace.rest()
        for sink in self._sinks:
            try:
                sink.export(spans)
            except Exception:  # noqa: BLE001 - as above
                self._lost += len(spans)


def _span_count(record: CallTrace | TripTrace) -> int:
    return 1 + len(record.marks) if isinstance(record, CallTrace) else 1
