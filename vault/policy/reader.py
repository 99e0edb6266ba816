"""Typed access to a document: what does not fit becomes a fault with its line.

Every method returns a value of its type even after a fault, so that reading goes on and
all faults are found; whoever reads must check the faults before using what was read.
"""

import datetime as dt
import re
from collections.abc import Collection

from vault.policy.document import Document, Path
from vault.policy.faults import Faults, quoted

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""Names of purposes, roles and field types."""
TENANT = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]")
SENTENCE = re.compile(r"\S[^\r\n]{0,399}")


class Reader:
    """Reads one document."""

    def __init__(self, document: Document, faults: Faults) -> None:
        self._document, self._faults = document, faults

    def fault(self, path: Path, text: str) -> None:
        self._faults.add(self._document.file, self._document.line(path), text)

    def has(self, path: Path) -> bool:
        return self._get(path) is not None

    def length(self, path: Path) -> int:
        """Of a list; 0 for whatever is not one."""
        value = self._get(path)
        return len(value) if isinstance(value, list) else 0

    def keys(self, path: Path, required: Collection[str], optional: Collection[str] = ()) -> None:
        """Checks that a mapping has all required keys and no unknown ones."""
        present = self._mapping(path)
        for key in present:
            if key not in required and key not in optional:
                self.fault((*path, key), f"unknown key {quoted(key)}")
        for key in required:
            if key not in present:
                self.fault(path, f"the key {key} is missing")

    def names(self, path: Path, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
        """The keys of a mapping that is keyed by names."""
        for key in self._mapping(path):
            if not pattern.fullmatch(key):
                self.fault((*path, key), f"{quoted(key)} is not a well-formed {what}")
        return tuple(key for key in self._mapping(path) if pattern.fullmatch(key))

    def text(self, path: Path, pattern: re.Pattern[str], what: str) -> str:
        value = self._get(path)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self._misfit(path, value, what)
        return ""

    def texts(self, path: Path, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
        """A list of names, sorted; none twice. A missing list is empty."""
        value = self._get(path)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.fault(path, f"must be a list, each a {what}")
            return ()
        seen: set[str] = set()
        for i in range(len(value)):
            text = self.text((*path, i), pattern, what)
            if text and text in seen:
                self.fault((*path, i), f"{quoted(text)} stands twice")
            seen.add(text)
        return tuple(sorted(seen - {""}))

    def flag(self, path: Path) -> bool:
        """True or false; false when it is missing."""
        value = self._get(path)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.fault(path, "must be true or false")
        return False

    def whole(self, path: Path, low: int, high: int) -> int:
        value = self._get(path)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self._misfit(path, value, f"whole number from {low} to {high}")
        return low

    def day(self, path: Path) -> dt.date:
        value = self._get(path)
        if isinstance(value, dt.date):
            return value
        self._misfit(path, value, "date YYYY-MM-DD")
        return dt.date.min

    def _mapping(self, path: Path) -> dict[str, object]:
        value = self._get(path)
        if isinstance(value, dict):
            return value
        self._misfit(path, value, "mapping")
        return {}

    def _get(self, path: Path) -> object:
        """The value at a path; None when it is missing, which `keys` has then reported."""
        value: object = self._document.value
        for step in path:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int):
                value = value[step]
            else:
                return None
        return value

    def _misfit(self, path: Path, value: object, what: str) -> None:
        if value is not None:
            self.fault(path, f"must be a {what}")
