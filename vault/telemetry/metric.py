"""What there is to say of an instrument before anything is counted."""

from dataclasses import dataclass
from typing import Literal

from vault.telemetry.kinds import Kind


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument.

    Attributes:
        name: dotted.
        unit: UCUM.
        form: "counter" only grows; "gauge" goes up and down; "histogram" has buckets.
        meaning: one line.
        labels: its attributes, in the order in which readings name them.
    """

    name: str
    unit: str
    form: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[tuple[str, Kind], ...] = ()
