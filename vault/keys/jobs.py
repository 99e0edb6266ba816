"""Jobs that move stored rows from one version of a key to the next, as values.

A job goes through *phases*; a phase is cut into *parts*, ranges of subject ids that processes lease
and move batch by batch. Leaves to `vault.store.jobs`: who holds which part. Leaves to each
kind's mover: what its phases are and what a move is.
"""

import datetime as dt
import enum
import uuid
from dataclasses import dataclass

from vault.model import SubjectId, TenantId

PARTS = 64
"""Shares of a phase: enough that a dozen processes end at about the same time."""


class JobKind(enum.StrEnum):
    """What is moved."""

    ROOT = "root"
    INDEX = "index"
    SUBJECT = "subject"


class JobState(enum.StrEnum):
    """How a job stands.

    PREPARED: not begun; its audit entry is not durable yet. WAITING is never stored: a running job
    whose `waits_until` lies ahead.
    """

    PREPARED = "prepared"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class WaitsFor(enum.StrEnum):
    """What a waiting job waits for."""

    NOTHING = ""
    CACHES = "caches"
    """Other processes' caches, or their writes under way, to run out."""
    KEY_STORE = "key_store"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rotation would do; the makings of a job.

    Attributes:
        from_version, to_version: of the key; the new one does not exist yet.
        rows: rows to move, as counted now.
        subject_id: the one subject that it concerns; None: all of the tenant.
    """

    kind: JobKind
    tenant: TenantId
    key_name: str
    from_version: int
    to_version: int
    rows: int
    subject_id: SubjectId | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands.

    Attributes:
        phase: its name; empty before the first.
        phase_number: grows by one with each phase.
        rows_total: rows to move, as counted when phases began.
        rows_failed: rows of this phase that could not be moved.
        rate: rows a second of all processes at work on it now.
        workers: how many processes these are.
    """

    job_id: uuid.UUID
    kind: JobKind
    tenant: TenantId
    key_name: str
    from_version: int
    to_version: int
    subject_id: SubjectId | None
    cause: str
    state: JobState
    phase: str
    phase_number: int
    waits_until: dt.datetime | None
    waits_for: WaitsFor
    rows_per_second: int
    rows_total: int
    rows_done: int
    rows_failed: int
    rate: float
    workers: int
    started_by: str
    started_at: dt.datetime
    moved_at: dt.datetime
    ended_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Phase:
    """What comes next in a job.

    Attributes:
        name: shown to custodians; a few words without a colon.
        parts: PARTS to have rows moved, 0 to do nothing but wait.
        rows: how many rows this phase adds to the job's total.
        wait_seconds: how long it waits before its parts begin (or, without parts, before it ends).
        is_retry: goes over the rows once more that failed before; the count of those begins anew.
        to_version: the version that the key has got meanwhile, if that is known only now.
    """

    name: str
    parts: int = PARTS
    rows: int = 0
    wait_seconds: float = 0.0
    waits_for: WaitsFor = WaitsFor.CACHES
    is_retry: bool = False
    to_version: int | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """One process's hold on a part, good for some seconds after each batch.

    Attributes:
        part: 0 to PARTS - 1.
        cursor: rows up to here are moved; empty: none. The mover's own bytes.
        rate: rows a second of this process lately, to be stored with the next batch.
        seconds: how long the part stays with a process that says nothing.
    """

    tenant: TenantId
    job_id: uuid.UUID
    phase_number: int
    part: int
    owner: uuid.UUID
    cursor: bytes
    rate: float = 0.0
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch did.

    Attributes:
        done: rows that were moved.
        failed: rows that can't be moved, and were passed over.
        is_last: nothing is left in the part's range.
    """

    cursor: bytes
    done: int
    failed: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Advanced:
    """A batch that was committed, and how the job stands after it.

    Attributes:
        is_running: the job is neither paused nor ended.
        workers: processes at work on it, this one included.
    """

    step: Step
    is_running: bool
    rows_per_second: int
    workers: int
