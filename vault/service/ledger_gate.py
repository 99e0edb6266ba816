"""The gate: nothing is served while the database is behind the ledger of erasures.

Guarantees: a database that was restored is noticed at start, whenever the listener connects
again, and at every new connection of the service's pool, before that serves anything;
while the gate is closed it looks again every second, and opens by itself once the ledger
is replayed. Leaves to `vault.rpc.boundary` to turn calls away.
"""

import asyncio

from vault.errors import Reason, VaultError
from vault.keys.ledger import Head
from vault.service.ledger import AppliedReader, Comparison, Ledger, Standing
from vault.telemetry.logs import Log

_log = Log("vault.service")

_AGAIN_S = 1.0


class LedgerGate:
    """Open or closed. One for the whole service; closed until the first look."""

    def __init__(self, *, ledger: Ledger, applied: AppliedReader) -> None:
        self._ledger = ledger
        self._applied = applied
        self._newest: Head | None = None
        self._closed: str | None = "the ledger of erasures was not compared yet"

    @property
    def is_open(self) -> bool:
        return self._closed is None

    def require(self) -> None:
        """Lets calls pass while the gate is open.

        Raises:
            VaultError: LEDGER_NOT_REPLAYED.
        """
        if self._closed is not None:
            raise VaultError(Reason.LEDGER_NOT_REPLAYED, self._closed, retry_after_ms=5000)

    async def look(self) -> Comparison:
        """Compares, and opens or closes.

        Raises:
            VaultError: that was not possible; the gate is closed.
        """
        try:
            async with self._ledger.hold(write=False) as held:
                found = await held.compare(await self._applied.newest_applied())
        except VaultError as error:
            self._close(error.text)
            raise
        if found.standing not in (Standing.AGREES, Standing.FRESH):
            self._close(found.text)
            return found
        self.note(found.applied)
        if self._closed is not None:
            self._closed = None
            _log.info("ledger.agrees")
        return found

    def note(self, applied: Head | None) -> None:
        """Remembers how far the ledger is known to be applied: it can't become less."""
        if applied is not None and (self._newest is None or applied.index > self._newest.index):
            self._newest = applied

    def meet(self, applied: Head | None) -> None:
        """Judges a database that a new connection leads to.

        Raises:
            VaultError: LEDGER_NOT_REPLAYED: less is applied there than was before.
        """
        newest = self._newest
        if newest is None or (applied is not None and applied.index >= newest.index):
            return
        self._close("the database is older than it was: it was restored")
        self.require()

    async def run(self) -> None:
        """Looks again while the gate is closed."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            if not self.is_open:
                try:
                    await self.look()
                except VaultError as error:
                    _log.warning("ledger.unreadable", error=error)

    def _close(self, text: str) -> None:
        if self._closed is None:
            _log.error("ledger.not_replayed")
        self._closed = text
