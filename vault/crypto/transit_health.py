"""Whether Transit works: the circuit breaker, and the state that health reports.

Guarantees: after a failure callers learn the reason at once, without a call. Trouble of
the whole server (sealed, unreachable, credentials refused) stops every call until a
probe or a call succeeds; trouble of one tenant's root key stops that tenant's calls of that
kind only, and one call is let through after each pause. Leaves to `transit`: calling and probing.
Worker threads report here, hence the lock.
"""

import logging
import threading
from dataclasses import dataclass

from vault.clock import Clock
from vault.errors import Reason

_log = logging.getLogger(__name__)

_Scope = tuple[str, str]
_SERVER: _Scope = ("", "")
_SERVER_REASONS = frozenset({Reason.KEY_STORE_SEALED, Reason.KEY_STORE_UNAVAILABLE})
DECRYPT = "decrypt"


@dataclass(frozen=True, slots=True)
class Down:
    """Transit, or a part of it, does not work.

    Attributes:
        reason: one of the KEY_STORE reasons.
        since_ns: monotonic time of the first failure.
    """

    reason: Reason
    since_ns: int


class TransitHealth:
    """What the latest calls said."""

    def __init__(self, *, clock: Clock, pause_seconds: float, grace_seconds: float) -> None:
        """Start working.

        Args:
            clock: the time.
            pause_seconds: after which a tenant's calls are tried again.
            grace_seconds: after which being down counts as lost.
        """
        self._clock = clock
        self._pause_ns = int(pause_seconds * 1e9)
        self._grace_ns = int(grace_seconds * 1e9)
        self._lock = threading.Lock()
        self._down: dict[_Scope, Down] = {}
        self._retry_ns: dict[_Scope, int] = {}
        self._told: set[_Scope] = set()

    def failed(self, reason: Reason, verb: str, tenant: str) -> None:
        """A call for one tenant failed."""
        self._fail(_SERVER if reason in _SERVER_REASONS else (verb, tenant), reason)

    def server_failed(self, reason: Reason) -> None:
        """A call that concerns every tenant failed."""
        self._fail(_SERVER, reason)

    def succeeded(self, verb: str = "", tenant: str = "") -> None:
        """A call succeeded: for the tenant, and so the server works too."""
        with self._lock:
            for scope in {_SERVER, (verb, tenant)}:
                down = self._down.pop(scope, None)
                self._told.discard(scope)
                if down is not None:
                    _log.warning("transit works again: %s", down.reason.name)

    def refusal(self, verb: str, tenant: str) -> Reason | None:
        """Why a call should not be made now; None if it may be."""
        with self._lock:
            down = self._down.get(_SERVER)
            scope = (verb, tenant)
            if down is None and scope in self._down:
                now = self._clock.monotonic_ns()
                if now < self._retry_ns[scope]:
                    down = self._down[scope]
                else:
                    self._retry_ns[scope] = now + self._pause_ns
            return down.reason if down else None

    def state(self, tenant: str = "") -> Down | None:
        """What is down for everybody, or for unwrapping `tenant`'s keys; None if nothing is."""
        with self._lock:
            return self._down.get(_SERVER) or self._down.get((DECRYPT, tenant))

    def newly_lost(self) -> bool:
        """Whether unwrapping has been down for longer than the grace: True once per loss."""
        with self._lock:
            before = self._clock.monotonic_ns() - self._grace_ns
            lost = {
                scope
                for scope, down in self._down.items()
                if scope[0] in ("", DECRYPT) and down.since_ns <= before
            }
            is_new = not lost <= self._told
            self._told |= lost
            return is_new

    def _fail(self, scope: _Scope, reason: Reason) -> None:
        with self._lock:
            now = self._clock.monotonic_ns()
            down = self._down.get(scope)
            self._retry_ns[scope] = now + self._pause_ns
            if down is None or down.reason is not reason:
                self._down[scope] = Down(reason, down.since_ns if down else now)
                _log.warning("transit fails: %s %s", reason.name, " ".join(scope).strip())
