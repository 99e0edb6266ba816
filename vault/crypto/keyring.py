"""Opened subject keys, kept for a while.

Guarantees: no key stays longer than `max_age_seconds`, serves more than `max_uses` look-ups, or
lies among more than `max_entries`; the least recently used goes first. A key whose opening was
under way when its subject was dropped (or all were cleared) does not come back: `put` takes the
generation read before the opening began.

Leaves to others: when to drop (erase, rotate), to clear (policy, Transit lost for
longer than the grace) and to pause (nothing is heard of other processes); threads: one event
loop owns a keyring. The memory of a dropped key is freed, not wiped: the cipher object has its
own copy, which cannot be erased.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Literal, NoReturn

from vault.clock import Clock
from vault.crypto.aead import SubjectKey
from vault.model import SubjectId

Cause = Literal["entries", "age", "uses", "replaced", "dropped", "cleared"]


@dataclass(slots=True)
class _Entry:
    key: SubjectKey
    expires_ns: int
    uses_left: int


@dataclass(frozen=True, slots=True)
class KeyringCounts:
    """What a keyring has done so far. `evictions` has every cause that occurred."""

    hits: int
    misses: int
    evictions: dict[Cause, int]
    entries: int


class Keyring:
    """A bounded cache of opened subject keys by subject and key version."""

    def __init__(
        self, *, max_entries: int, max_age_seconds: float, max_uses: int, clock: Clock
    ) -> None:
        """Start empty.

        Raises:
            ValueError: a bound is not above zero.
        """
        if max_entries < 1 or max_age_seconds <= 0 or max_uses < 1:
            raise ValueError("every bound of a keyring is above zero")
        self._max_entries = max_entries
        self._max_age_ns = int(max_age_seconds * 1e9)
        self._max_uses = max_uses
        self._clock = clock
        self._entries: OrderedDict[tuple[SubjectId, int], _Entry] = OrderedDict()
        # The same by age. Each is in order: no pass over a million keys may hold up the calls.
        self._ages: OrderedDict[tuple[SubjectId, int], None] = OrderedDict()
        self._versions: dict[SubjectId, set[int]] = {}
        self._generation = 0
        self._is_paused = False
        self._hits = 0
        self._misses = 0
        self._evictions: Counter[Cause] = Counter()

    @property
    def generation(self) -> int:
        """Changes whenever a subject is dropped or all are cleared."""
        return self._generation

    def get(self, subject_id: SubjectId, key_version: int) -> SubjectKey | None:
        """The opened key, or None if it must be unwrapped (again). Counts as one use."""
        name = (subject_id, key_version)
        entry = self._entries.get(name)
        if entry is not None and entry.expires_ns <= self._clock.monotonic_ns():
            self._evict(name, "age")
            entry = None
        if entry is None:
            self._misses += 1
            return None
        self._hits += 1
        entry.uses_left -= 1
        if entry.uses_left:
            self._entries.move_to_end(name)
        else:
            self._evict(name, "uses")
        return entry.key

    def put(
        self, subject_id: SubjectId, key_version: int, key: SubjectKey, *, generation: int
    ) -> None:
        """Keep a key, unless something was dropped since `generation` was read."""
        if generation != self._generation or self._is_paused:
            return
        name = (subject_id, key_version)
        if name in self._entries:
            self._evict(name, "replaced")
        while len(self._entries) >= self._max_entries:
            self._evict(next(iter(self._entries)), "entries")
        expires_ns = self._clock.monotonic_ns() + self._max_age_ns
        self._entries[name] = _Entry(key, expires_ns, self._max_uses)
        self._ages[name] = None
        self._versions.setdefault(subject_id, set()).add(key_version)

    def drop(self, subject_id: SubjectId) -> None:
        """Forget all versions of a subject's key; those being opened are not kept."""
        self._generation += 1
        for key_version in tuple(self._versions.get(subject_id, ())):
            self._evict((subject_id, key_version), "dropped")

    def clear(self) -> None:
        """Forget everything."""
        self._generation += 1
        self._evictions["cleared"] += len(self._entries)
        self._entries.clear()
        self._ages.clear()
        self._versions.clear()

    def pause(self) -> None:
        """Forget everything and keep nothing, until `resume`: nobody would say what to drop."""
        self._is_paused = True
        self.clear()

    def resume(self) -> None:
        """Keep keys again, but none that was opened meanwhile."""
        self.clear()
        self._is_paused = False

    def expire(self) -> None:
        """Forget what is too old; to be called now and then, so that idle keys go as well."""
        now = self._clock.monotonic_ns()
        while self._ages:
            name = next(iter(self._ages))
            if self._entries[name].expires_ns > now:
                return
            self._evict(name, "age")

    def counts(self) -> KeyringCounts:
        return KeyringCounts(self._hits, self._misses, dict(self._evictions), len(self._entries))

    def __repr__(self) -> str:
        return f"Keyring(entries={len(self._entries)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are neither pickled nor copied")

    def _evict(self, name: tuple[SubjectId, int], cause: Cause) -> None:
        del self._entries[name], self._ages[name]
        self._evictions[cause] += 1
        subject_id, key_version = name
        versions = self._versions[subject_id]
        versions.discard(key_version)
        if not versions:
            del self._versions[subject_id]
