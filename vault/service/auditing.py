"""What every procedure of the auditors begins with: may they, and under which checkpoint."""

from collections.abc import Callable
from typing import Protocol

from vault.errors import Reason, VaultError
from vault.policy.bundle import Act
from vault.rows import CheckpointRow
from vault.service.call import Call
from vault.telemetry import names


class CheckpointReader(Protocol):
    """Where signed checkpoints lie."""

    async def newest_checkpoint(self) -> CheckpointRow | None: ...
    async def covering_checkpoint(self, size: int) -> CheckpointRow | None: ...


VerifierKey = Callable[[CheckpointRow], str]
"""The key that signed a checkpoint, as a verifier key (C2SP signed-note)."""


def require_auditor(call: Call) -> None:
    """Lets auditors pass.

    Raises:
        VaultError: policy does not permit reading the log.
    """
    call.trace.mark(names.STAGE_POLICY)
    decision = call.bundle.decide_act(call.principal, Act.LIST_ENTRIES)
    if not decision.is_allowed:
        raise VaultError(decision.reason, "the caller may not read the audit log")


async def find_checkpoint(reader: CheckpointReader, min_size: int) -> CheckpointRow:
    """The newest checkpoint (0), or the first of at least `min_size`.

    Raises:
        VaultError: NOT_PUBLISHED, there is none yet; or the database failed.
    """
    row = (
        await reader.covering_checkpoint(min_size) if min_size else await reader.newest_checkpoint()
    )
    if row is None:
        raise VaultError(
            Reason.NOT_PUBLISHED, "no checkpoint covers this yet; try again", retry_after_ms=1000
        )
    return row
