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
from vault.telemetry.spans import AttributeRefusedError, SpanBuilder
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


class SpanPipeline:
    """A bounded queue and the one thread that empties it.

    Args:
        builder: turns records into spans.
        sinks: who gets them, in this order; the quick ones first.
        queue: at most this many records wait.
        pace: the thread's, shared with the sinks.
    """

    def __init__(
        self,
        builder: SpanBuilder,
        sinks: Sequence[Sink],
        *,
        queue: int = 8192,
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace or Pace()
        self._builder = builder
        self._sinks = tuple(sinks)
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
        elif self._sinks:
            self._queue.append(record)

    def dropped(self) -> dict[Labels, int]:
        """Spans that did not reach a reader, by cause, since the start."""
        total: dict[Labels, int] = {(names.DROP_FAULT,): self._lost}
        for counts in (self._refused_by_queue, *(sink.dropped for sink in self._sinks)):
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
        for sink in self._sinks:
            sink.close(self._deadline)

    def _pass_on(self) -> None:
        """Takes one batch from the queue to every sink."""
        self._pace.set_backlog(len(self._queue) / self._limit)
        spans: list[ReadableSpan] = []
        for _ in range(min(_BATCH, len(self._queue))):
            record = self._queue.popleft()
            try:
                spans += self._builder.build(record)
            except AttributeRefusedError as error:
                self._fault = self._fault or error
                self._lost += _span_count(record)
            except Exception:  # noqa: BLE001 - one odd record must not end the thread
                self._lost += _span_count(record)
            self._pace.rest()
        for sink in self._sinks:
            try:
                sink.export(spans)
            except Exception:  # noqa: BLE001 - nor must a sink
                self._lost += len(spans)


def _span_count(record: CallTrace | TripTrace) -> int:
    return 1 + len(record.marks) if isinstance(record, CallTrace) else 1
