"""VerifyRootVersions: which root versions a tenant's wrapped keys need, read from each of them.

Guarantees: what is counted is what the wrapped texts say, not what is noted beside them; a row
whose text can't be read, or says something else than is noted, is counted as unreadable. While a
rotation is under way a row may be counted under both versions. Retiring a version asks this.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from vault.model import TenantId
from vault.policy.bundle import Act
from vault.service.call import Call
from vault.service.custody import require
from vault.service.recorder import Recorder
from vault.store.keys import Wrappings
from vault.telemetry import names

_TELL_S = 0.5


@dataclass(frozen=True, slots=True)
class RootVersions:
    """What was found so far.

    Attributes:
        total: rows as counted at the beginning.
        versions: rows by the root version that they need.
        unreadable: rows that are damaged.
    """

    read: int
    total: int
    versions: dict[int, int] = field(default_factory=dict)
    unreadable: int = 0
    is_last: bool = False


class WrappingRows(Protocol):
    """`vault.store.keys.KeyStore`. Raises VaultError."""

    async def rows_by_root_version(self, tenant: TenantId) -> dict[int, int]: ...
    def wrappings(self, tenant: TenantId) -> AsyncIterator[Wrappings]: ...


async def read_root_versions(
    rows: WrappingRows,
    tenant: TenantId,
    progress: Callable[[RootVersions], Awaitable[None]] | None = None,
    *,
    now: Callable[[], float] = time.monotonic,
) -> RootVersions:
    """Reads every wrapped key of a tenant.

    Args:
        rows: where they lie.
        tenant: whose.
        progress: told at most twice a second.
        now: seconds, monotonic.

    Raises:
        VaultError: DATABASE_UNAVAILABLE.
    """
    total = sum((await rows.rows_by_root_version(tenant)).values())
    versions: Counter[int] = Counter()
    read = unreadable = 0
    told = now()
    async for some in rows.wrappings(tenant):
        read += some.rows
        unreadable += some.damaged
        versions += some.versions
        if progress is not None and now() - told >= _TELL_S:
            told = now()
            await progress(RootVersions(read, total))
    return RootVersions(read, total, dict(sorted(versions.items())), unreadable, is_last=True)


class RootVerifier:
    """The procedure."""

    def __init__(self, *, rows: WrappingRows, recorder: Recorder) -> None:
        self._rows = rows
        self._recorder = recorder

    async def verify(self, call: Call, send: Callable[[RootVersions], Awaitable[None]]) -> None:
        """Reads all rows of the caller's tenant; tells how far it is, and at the end what it found.

        Raises:
            VaultError: the caller may not, or the database failed.
        """
        require(call, Act.READ_KEYS)
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        call.trace.mark(names.STAGE_LOAD)
        await send(await read_root_versions(self._rows, call.tenant, send))
