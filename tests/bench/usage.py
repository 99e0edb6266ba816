"""What processes use: CPU seconds and memory, read from /proc.

A process counts with its children (PostgreSQL serves each connection with one), and with the
children that it has waited for.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.ports import children

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU seconds of these processes and their children so far; what has gone counts nothing."""
    ticks = 0
    for root in roots:
        ticks += _ticks(root, waited=True)
        ticks += sum(_ticks(child, waited=True) for child in children(root))
    return ticks / _TICKS


def resident_bytes(pid: int) -> int:
    """Memory of one process in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


class Meter:
    """CPU seconds by name of a part, since the meter was made."""

    def __init__(self, parts: Mapping[str, Iterable[int]]) -> None:
        self._parts = {name: list(pids) for name, pids in parts.items()}
        self._before = {name: cpu_seconds(pids) for name, pids in self._parts.items()}

    def read(self) -> dict[str, float]:
        return {name: cpu_seconds(pids) - self._before[name] for name, pids in self._parts.items()}


def _ticks(pid: int, *, waited: bool) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    # utime and stime, then the same of children that were waited for; proc(5).
    return sum(map(int, fields[11 : 15 if waited else 13]))
