"""The worker of one process: leases parts of jobs, has their rows moved, begins next phases.

Guarantees: of all processes one at a time moves a part's rows or begins a phase; killed at any point,
another goes on from the last batch that was committed once the lease has run out; all
processes together keep to a job's rate; a Transit or a database that is away makes a
job wait, never fail. Leaves to each mover: what its rows are. Leaves to
`vault.store.jobs`: who holds what.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from vault.errors import Reason, VaultError
from vault.keys.jobs import Advanced, Job, JobKind, JobState, Lease, Phase, Plan
from vault.keys.pace import Pace, batch_rows
from vault.model import TenantId
from vault.stage import Trips
from vault.store.jobs import LeaseLostError
from vault.telemetry import names
from vault.telemetry.logs import Log

_log = Log("vault.keys")

_IDLE_S = 0.5
"""Between two looks for work."""
_HOLD_S = 5.0
"""How long a process stays with a part while other jobs may wait."""
_RENEW_S = 2.0
"""How often a pause is cut, to keep the lease and to hear of a pause or another rate."""
_SHORTEST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 15.0
_KEY_STORE = {
    Reason.KEY_STORE_SEALED,
    Reason.KEY_STORE_UNAVAILABLE,
    Reason.KEY_STORE_DENIED,
    Reason.KEY_STORE_FAULT,
}


class Mover(Protocol):
    """Moves the rows of one kind of job.

    A job has phases; the worker asks `next_phase` for the first and whenever all parts of the
    present one are over and its time has passed. A phase of `PARTS` parts has rows moved: each part
    is a range of subject ids (`vault.keys.parts`), for which `move` is called until it says
    that nothing is left. A phase of 0 parts only waits.
    """

    @property
    def kind(self) -> JobKind: ...

    async def plan(self, tenant: TenantId, subject_ref: str | None) -> Plan:
        """What a rotation would do now. Changes nothing.

        Raises:
            VaultError: it can't be done; or Transit or the database does not answer.
        """
        ...

    async def next_phase(self, job: Job) -> Phase | None:
        """What comes after `job.phase` (empty: at the beginning); None: nothing, the job is over, and
        failed if `job.rows_failed`.

        One process at a time asks. It may be asked twice (after a kill): what it does besides
        answering has to be repeatable.

        Raises:
            VaultError: not now: the job waits and is asked again.
        """
        ...

    async def move(self, job: Job, lease: Lease, limit: int) -> Advanced:
        """Moves the next `limit` rows of the lease's part behind its cursor.

        The rows that are moved and `vault.store.jobs.advance` share one transaction; rows that
        can't be moved are counted and passed over. Compares and sets: a row that others changed
        or deleted meanwhile is left alone.

        Raises:
            LeaseLostError: from `advance`; nothing was changed.
            VaultError: not now: KEY_STORE_* or DATABASE_UNAVAILABLE.
        """
        ...


class Jobs(Protocol):
    """`vault.store.jobs.JobStore`, as far as a worker needs it. Raises VaultError."""

    async def lease(self, owner: uuid.UUID) -> tuple[Job, Lease] | None: ...
    async def renew(self, lease: Lease) -> Advanced: ...
    async def release(self, lease: Lease) -> None: ...
    async def note_movement(self, job: Job) -> None: ...
    async def stall(self, job: Job, seconds: float) -> None: ...
    async def conduct(self, owner: uuid.UUID) -> Job | None: ...
    async def enter(self, job: Job, phase: Phase, owner: uuid.UUID) -> bool: ...
    async def end(self, job: Job, state: JobState, owner: uuid.UUID) -> bool: ...
    async def let_go(self, job: Job, owner: uuid.UUID) -> None: ...
