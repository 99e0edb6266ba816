"""When a failed attempt is tried again, and after how long. Pure.

Only statuses that say "not now" are tried again. That is safe for every RPC of
the vault: reads have no effect, and a write carries an idempotency key.
Exponential backoff with full jitter keeps many clients from coming back
together; a wait that the vault asks for (`google.rpc.RetryInfo`) is the least
that is waited, with the jitter on top.
"""

from collections.abc import Callable
from dataclasses import dataclass

import grpc

from vault.client.errors import VaultCallError
from vault.errors import Reason

_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        # By the server's transport, when it stops before it hands a call over. A caller that
        # cancels by itself is not told by a status.
        grpc.StatusCode.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently.

    Attributes:
        attempts: in all, the first one included; 1 turns retries off.
        first_ceiling: seconds; the longest wait before the second attempt. It
            doubles with each further one.
        highest_ceiling: seconds; where the doubling ends.
    """

    attempts: int = 4
    first_ceiling: float = 0.2
    highest_ceiling: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 < self.first_ceiling <= self.highest_ceiling:
            raise ValueError("attempts >= 1 and 0 < first_ceiling <= highest_ceiling")

    def wait(
        self,
        failure: VaultCallError,
        *,
        attempt: int,
        remaining: float,
        random: Callable[[], float],
    ) -> float | None:
        """Seconds to wait after this failure, or None to give up.

        Args:
            failure: what the attempt ended with.
            attempt: its number, from 1.
            remaining: seconds until the deadline of the whole. A wait that would
                use it up is not begun.
            random: gives a number in [0, 1).
        """
        if failure.status not in _PASSING or attempt >= self.attempts:
            return None
        ceiling = min(self.highest_ceiling, self.first_ceiling * 2 ** (attempt - 1))
        wait = (failure.retry_after or 0.0) + random() * ceiling
        return wait if wait < remaining else None


@dataclass(frozen=True, slots=True)
class Retrying:
    """What an observer of retries is told. Holds nothing of the request.

    Attributes:
        rpc: such as "vault.v1.TokenService/Tokenize".
        attempt: the number of the one that failed, from 1.
        wait: seconds until the next.
        reason, status, call_id: of the failure.
    """

    rpc: str
    attempt: int
    wait: float
    reason: Reason
    status: grpc.StatusCode
    call_id: str
