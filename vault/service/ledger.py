"""The ledger and the database, held against each other.

Guarantees: whoever holds the ledger to add to it is alone, in all processes, until database and
ledger agree again; whoever compares waits for those. What `compare` calls behind, lost or
another's is so, and nobody is under way to change it. Leaves to `vault.service.erase` and
`vault.service.replay`: what a line asks for.
"""

import asyncio
import contextlib
import datetime as dt
import enum
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.keys.ledger import Head, Header, LedgerError, Line, Linked
from vault.store.ledger_file import LedgerFile, LedgerView, OpenLedger

_POLL_S = 0.02
_HOLD_S = 8.0
"""How long to wait for another process that adds; it holds the ledger for one transaction."""


class Standing(enum.Enum):
    """How the database stands to the ledger."""

    AGREES = "agrees"
    FRESH = "fresh"
    """There is no ledger yet, and the database knows of none."""
    BEHIND = "behind"
    """Lines are not applied: the database is older, or an erasure was cut off."""
    LOST = "lost"
    """The ledger is gone, shorter than what is applied, or not that from which it was applied."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found; `text` says it to an operator."""

    standing: Standing
    text: str
    applied: Head | None = None
    missing: tuple[Linked, ...] = ()
    first: Head | None = None
    """The ledger's header, where the database does not know it."""


class AppliedReader(Protocol):
    async def newest_applied(self) -> Head | None: ...


def now(clock: Clock) -> dt.datetime:
    """The time, to the microsecond."""
    return dt.datetime.fromtimestamp(clock.unix_ns() // 1000 / 1e6, dt.UTC)


class Held:
    """The ledger in one's hands."""

    def __init__(self, opened: OpenLedger | None) -> None:
        self._opened = opened
        self._end: tuple[Head, int] | None = None

    async def compare(self, applied: Head | None) -> Comparison:
        """Holds what is applied against the ledger.

        Raises:
            VaultError: LEDGER_NOT_REPLAYED: the file can't be read.
        """
        try:
            view = await self._view(-1 if applied is None else applied.index)
        except LedgerError as error:
            return Comparison(Standing.LOST, f"the ledger of erasures is damaged: {error}", applied)
        self._end = None if view is None else (view.head, view.end)
        return judge(view, applied)

    async def begin(self, header: Header) -> Head:
        """Begins a ledger.

        Raises:
            VaultError: AUDIT_UNAVAILABLE: it can't be written; nothing was.
        """
        opened = self._writable()
        with _written():
            head = await asyncio.to_thread(opened.begin, header)
        self._end = None
        return head

    async def add(self, line: Line) -> Head:
        """Adds a line behind what `compare` saw; it is durable.

        Raises:
            VaultError: AUDIT_UNAVAILABLE: it can't be written; nothing was.
        """
        opened = self._writable()
        if self._end is None:
            raise TypeError("compare first")
        (after, end), self._end = self._end, None
        with _written():
            return await asyncio.to_thread(opened.add, line, after, end)

    async def _view(self, index: int) -> LedgerView | None:
        if self._opened is None:
            return None
        try:
            return await asyncio.to_thread(self._opened.view, index)
        except OSError as error:
            raise _unreadable() from error

    def _writable(self) -> OpenLedger:
        if self._opened is None:
            raise TypeError("held for reading only")
        return self._opened


class Ledger:
    """One process's way to the ledger."""

    def __init__(self, file: LedgerFile, *, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._turn = asyncio.Lock()

    @property
    def origin(self) -> str:
        """Name of the audit log beside it."""
        return self._file.origin

    def new_header(self) -> Header:
        """The first line of a ledger that does not exist yet."""
        return Header(uuid.uuid4(), self._file.origin, now(self._clock))

    @contextlib.asynccontextmanager
    async def hold(self, *, write: bool) -> AsyncIterator[Held]:
        """Holds the ledger: alone to add, with other readers to compare.

        Raises:
            VaultError: LEDGER_NOT_REPLAYED: the file can't be opened; OVERLOADED: others hold it.
        """
        async with self._turn:
            opened = await self._acquire(write=write)
            try:
                yield Held(opened)
            finally:
                if opened is not None:
                    opened.close()

    async def _acquire(self, *, write: bool) -> OpenLedger | None:
        until = self._clock.monotonic_ns() + int(_HOLD_S * 1e9)
        while True:
            try:
                opened = await asyncio.to_thread(self._file.open, write=write)
                if opened is None:
                    return None
                try:
                    if opened.try_lock() and opened.is_current():
                        return opened
                except BaseException:
                    opened.close()
                    raise
                opened.close()
            except OSError as error:
                raise _unreadable() from error
            if self._clock.monotonic_ns() > until:
                raise VaultError(
                    Reason.OVERLOADED, "another process holds the ledger", retry_after_ms=1000
                )
            await asyncio.sleep(_POLL_S)


def judge(view: LedgerView | None, applied: Head | None) -> Comparison:
    """How a database with this much applied stands to a ledger; None: there is no file."""
    if view is None:
        if applied is None:
            return Comparison(Standing.FRESH, "there is no ledger yet")
        return Comparison(
            Standing.LOST, "the ledger of erasures is gone, and the database knows of it", applied
        )
    if applied is None:
        if not view.missing:
            return Comparison(Standing.FRESH, "the ledger has no entry yet", first=view.first)
        return _behind(view, None)
    if view.head.index < applied.index:
        return Comparison(
            Standing.LOST,
            f"the ledger of erasures has lost entries: it ends at {view.head.index}, "
            f"the database knows of {applied.index}",
            applied,
        )
    if view.known != applied:
        return Comparison(
            Standing.LOST,
            f"the ledger of erasures is not the one that was applied: "
            f"entry {applied.index} differs",
            applied,
        )
    if view.missing:
        return _behind(view, applied)
    return Comparison(Standing.AGREES, "", applied)


def _behind(view: LedgerView, applied: Head | None) -> Comparison:
    return Comparison(
        Standing.BEHIND,
        f"{len(view.missing)} entries of the ledger of erasures are not applied to this database; "
        "run: pdvault erasures replay",
        applied,
        view.missing,
        view.first,
    )


@contextlib.contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VaultError(
            Reason.AUDIT_UNAVAILABLE,
            "the ledger of erasures can't be added to; nothing was erased",
            retry_after_ms=1000,
        ) from error


def _unreadable() -> VaultError:
    return VaultError(
        Reason.LEDGER_NOT_REPLAYED, "the ledger of erasures can't be read", retry_after_ms=1000
    )
