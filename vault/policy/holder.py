"""The bundle that decides now, and how another takes its place."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vault.clock import Clock
from vault.policy.bundle import Bundle
from vault.policy.load import load_bundle


@dataclass(frozen=True, slots=True)
class Loaded:
    """A bundle and when it took its place (Unix time, nanoseconds)."""

    bundle: Bundle
    at_unix_ns: int


class BundleHolder:
    """Holds the current bundle; swaps it whole.

    A call takes `current` once and keeps it to its end, so that one call is decided by one bundle.
    """

    def __init__(
        self, directory: Path, *, clock: Clock, load: Callable[[Path], Bundle] = load_bundle
    ) -> None:
        """Loads the first bundle.

        Args:
            directory: the folder, read again by each `reload`.
            clock: gives the time of each swap.
            load: reads a folder; a composition root may add checks of its own to it.

        Raises:
            BundleError: there is no sound bundle to begin with.
        """
        self._directory, self._clock, self._load = directory, clock, load
        self._reloading = threading.Lock()
        self._loaded = Loaded(load(directory), clock.unix_ns())

    @property
    def current(self) -> Bundle:
        return self._loaded.bundle

    @property
    def loaded(self) -> Loaded:
        """The current bundle together with its time."""
        return self._loaded

    def reload(self) -> tuple[Bundle, bool]:
        """Reads the folder again; blocks, so call it from a thread.

        Returns:
            (the bundle that decides from now on, whether it is another one). The same digest
            keeps the old bundle and its memo.

        Raises:
            BundleError: the folder holds no sound bundle; the old one keeps deciding.
        """
        with self._reloading:
            return self.put(self.read())

    def read(self) -> Bundle:
        """Reads the folder without putting what it finds in force; blocks.

        Raises:
            BundleError: the folder holds no sound bundle.
        """
        return self._load(self._directory)

    def put(self, fresh: Bundle) -> tuple[Bundle, bool]:
        """Puts a bundle in force, at once and whole; returns as `reload`."""
        if fresh.digest == self.current.digest:
            return self.current, False
        self._loaded = Loaded(fresh, self._clock.unix_ns())
        return fresh, True
