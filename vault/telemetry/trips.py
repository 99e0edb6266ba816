"""Takes note of coalesced trips: a span and two counts for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from vault.errors import Reason
from vault.telemetry import names
from vault.telemetry.metrics import Metrics
from vault.telemetry.trace import CallTrace, Tracer, TripTrace


class TripNotes:
    """What stages tell of their trips."""

    def __init__(self, *, tracer: Tracer, metrics: Metrics) -> None:
        self._tracer = tracer
        self._metrics = metrics

    def start(self, name: str, riders: Sequence[CallTrace], size: int) -> "TripNote":
        """Notes that a trip leaves with these calls and this many items."""
        self._metrics.count_trip(name, size)
        return TripNote(self._tracer.trip(name, riders), size)


@dataclass(frozen=True, slots=True)
class TripNote:
    """One trip under way."""

    span: TripTrace
    size: int

    def finish(self, *, error: Reason | None) -> None:
        """Notes that the trip is over."""
        self.span.finish(error=error, attributes={names.TRIP_ITEMS: self.size})
