"""What is wrong with a bundle: every fault found, each with file, line and reason."""

from collections.abc import Sequence

from vault.errors import Violation

MAX_FAULTS = 200
"""More than this many faults help nobody; the rest is counted."""

_MAX_QUOTED = 80


class BundleError(Exception):
    """A bundle that must not be used.

    Attributes:
        faults: all faults found, in the order of files and lines; `field` is
            `FILE:LINE`, `text` the reason.
    """

    def __init__(self, faults: Sequence[Violation]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.field}: {fault.text}" for fault in self.faults))


class Faults:
    """Collects faults, so that one load reports all of them."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, str], None] = {}

    def add(self, file: str, line: int, text: str) -> None:
        self._found[(file, line, text)] = None

    def names(self, file: str) -> bool:
        """Whether a fault of this file was found."""
        return any(found == file for found, _, _ in self._found)

    def __bool__(self) -> bool:
        return bool(self._found)

    def check(self) -> None:
        """Ends the load if anything was found.

        Raises:
            BundleError: with all faults so far.
        """
        if not self._found:
            return
        ordered = sorted(self._found)
        faults = [Violation(f"{file}:{line}", text) for file, line, text in ordered[:MAX_FAULTS]]
        if len(ordered) > MAX_FAULTS:
            faults.append(Violation("bundle:0", f"{len(ordered) - MAX_FAULTS} more faults"))
        raise BundleError(faults)


def quoted(text: str) -> str:
    """A name out of a file as it may stand in a message: short, without control characters."""
    return ascii(text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "...")
