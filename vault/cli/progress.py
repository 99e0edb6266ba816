"""Progress of a long command, on stderr: a line that moves on a terminal, else one now and then."""

import sys
import time

_MOVING_S = 0.2
_LINES_S = 5.0


class Progress:
    """How far a command is."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._moves = sys.stderr.isatty()
        self._next = time.monotonic() + (_MOVING_S if self._moves else _LINES_S)
        self._is_shown = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_MOVING_S if self._moves else _LINES_S)
        text = f"{self._what} {done:,} of {total:,} ({done * 100 // max(1, total)} %)"
        sys.stderr.write(f"\r{text}\x1b[K" if self._moves else f"{text}\n")
        sys.stderr.flush()
        self._is_shown = self._moves

    def end(self) -> None:
        """Takes the moving line away."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
