"""What is wrong with the log, by cause: the alarms of the sequencer and its patrol.

Guarantees: an alarm about damage lasts until the process ends, as nothing that happens by itself
can mend a log; an alarm about a delay ends with the delay. Leaves to others: telling
(metrics and health read this) and stopping (`is_halted`).
"""

import enum
from typing import Final

from vault.telemetry.logs import Log

_log = Log("vault.audit")


class Alarm(enum.StrEnum):
    """Why there is an alarm. `vault.telemetry.names.LOG_ALARMS` has the same words."""

    ENTRY_DAMAGED = "entry_damaged"
    """An entry's bytes do not give its leaf hash, or the entry is gone."""
    LEAF_DAMAGED = "leaf_damaged"
    """A leaf is missing, or its hash is not its entry's."""
    TILE_DAMAGED = "tile_damaged"
    """A stored tile is missing or not what its leaves give."""
    CHECKPOINT_DAMAGED = "checkpoint_damaged"
    """A stored checkpoint is not what the log's key signed."""
    ROLLED_BACK = "rolled_back"
    """The tree is smaller than one that was signed."""
    FORKED = "forked"
    """The tree has another root than the one that was signed at its size."""
    ROLE_TOO_MIGHTY = "role_too_mighty"
    """The sequencer's database role could change what was written."""
    LAG = "lag"
    """The oldest entry has waited for its index for too long."""
    UNSIGNED = "unsigned"
    """Leaves have waited for a checkpoint for too long."""
    WITNESS_FILE = "witness_file"
    """The witness file can't be written."""
    WITNESS_DOWN = "witness_down"
    """A witness has not cosigned for too long, or none has answered since the start."""
    WITNESS_LAG = "witness_lag"
    """Leaves have waited too long for a checkpoint that enough witnesses cosigned."""
    WITNESS_REFUSED = "witness_refused"
    """A witness says that the log does not go on from what it has cosigned."""
    UNPARTITIONED = "unpartitioned"
    """Entries lie in the partition for the rest, as their month had none."""
    FAULT = "fault"
    """The sequencer met something it does not understand; it begins anew."""


PASSING: Final = frozenset(
    {
        Alarm.LAG,
        Alarm.UNSIGNED,
        Alarm.WITNESS_FILE,
        Alarm.WITNESS_DOWN,
        Alarm.WITNESS_LAG,
        # A witness's word is not signed: it may cost its cosignature, not stop the log.
        Alarm.WITNESS_REFUSED,
        Alarm.UNPARTITIONED,
        Alarm.FAULT,
    }
)
"""Delays and troubles outside the log: they neither stop it nor last."""


class TreeDamageError(Exception):
    """What is stored is not a sound tree.

    Attributes:
        alarm: in which way.
        at: the first leaf concerned, or the size of the tree concerned.
    """

    def __init__(self, alarm: Alarm, at: int) -> None:
        super().__init__(f"{alarm.value} at {at}")
        self.alarm = alarm
        self.at = at


class Alarms:
    """The alarms of one process. Read from any thread."""

    def __init__(self) -> None:
        self._active: frozenset[Alarm] = frozenset()

    @property
    def active(self) -> frozenset[Alarm]:
        return self._active

    @property
    def is_halted(self) -> bool:
        """Whether nothing may be sequenced or signed any more."""
        return bool(self._active - PASSING)

    def sound(self, alarm: Alarm, *, at: int = 0) -> None:
        """Raises an alarm, and says so once. `at`: a leaf or a size, for the log line."""
        if alarm not in self._active:
            _log.error("log.alarm", alarm=alarm.value, leaf=at)
            self._active |= {alarm}

    def settle(self, alarm: Alarm) -> None:
        """Ends the alarm of a delay that is over."""
        if alarm in self._active & PASSING:
            _log.warning("log.alarm_over", alarm=alarm.value)
            self._active -= {alarm}
