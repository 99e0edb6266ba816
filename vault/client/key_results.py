"""What KeyService and SubjectService answer. Pure.

Guarantees: an answer is used only if its enumerations are known. None of it holds a key.
"""

import datetime as dt
import enum
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from vault.client.errors import answer_unfit
from vault.v1 import keys_pb2, subjects_pb2

EnumT = TypeVar("EnumT", bound=enum.IntEnum)


class KeyKind(enum.IntEnum):
    """Which key; numbers as in `vault.v1.KeyKind`."""

    ROOT = 1
    INDEX = 2
    SIGNING = 3
    SUBJECT = 4


class JobState(enum.IntEnum):
    """How a job is; numbers as in `vault.v1.JobState`."""

    RUNNING = 1
    PAUSED = 2
    WAITING = 3
    DONE = 4
    FAILED = 5

    @property
    def has_ended(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED)


class ActState(enum.IntEnum):
    """How a request for an act is; numbers as in `vault.v1.ActState`."""

    OPEN = 1
    APPROVED = 2
    DONE = 3
    EXPIRED = 4
    WITHDRAWN = 5


class Control(enum.IntEnum):
    """What to do to a job; numbers as in `vault.v1.ControlJobRequest.Control`."""

    PAUSE = 1
    RESUME = 2
    THROTTLE = 3


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """A version of a key and what needs it."""

    version: int
    made_at: dt.datetime | None
    rows: int
    backups: int


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """One key, or all subject keys together. See `vault.v1.KeyStatus`."""

    kind: KeyKind
    name: str
    version: int
    version_made_at: dt.datetime | None
    crypto_period: dt.timedelta
    due_at: dt.datetime | None
    versions: tuple[KeyVersion, ...]
    min_decryption_version: int
    min_available_version: int
    max_uses: int
    keys_near_limit: int
    advice: tuple[str, ...]
    job_id: str


@dataclass(frozen=True, slots=True)
class Job:
    """A rotation under way or over. See `vault.v1.Job`."""

    job_id: str
    kind: KeyKind
    key_name: str
    from_version: int
    to_version: int
    state: JobState
    started_by: str
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    rows_done: int
    rows_total: int
    rows_failed: int
    rows_per_second: float
    seconds_left: int
    workers: int
    phase: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation began, or (dry run) would begin."""

    job: Job | None
    version: int
    is_started: bool
    rows: int


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a verification is; `versions` and `unreadable` stand in the last one."""

    rows_read: int
    rows_total: int
    is_last: bool
    versions: tuple[KeyVersion, ...] = ()
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Act:
    """What takes two custodians: `name` and its one argument."""

    name: str
    argument: str


@dataclass(frozen=True, slots=True)
class ActRequest:
    """A request for an act. See `vault.v1.ActRequest`."""

    request_id: str
    act: Act
    cause: str
    requested_by: str
    requested_at: dt.datetime | None
    expires_at: dt.datetime | None
    digest: str
    state: ActState
    approved_by: str
    approved_at: dt.datetime | None
    done_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What was done, or (dry run) what would be and what stands against it."""

    request: ActRequest
    effect: str
    obstacles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """The certificate of an erasure. See `vault.v1.Erasure`."""

    erasure_id: str
    subject_id: str
    cause: str
    erased_at: dt.datetime | None
    ledger_index: int
    ledger_hash: str
    caches_empty_at: dt.datetime | None
    complete_at: dt.datetime | None
    root_versions: tuple[int, ...]
    entry_id: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Erased:
    """The certificate (none on a dry run), and how many tokens it concerns."""

    erasure: Erasure | None = field(default=None)
    tokens: int = 0


def read_status(sent: keys_pb2.KeyStatus) -> KeyStatus:
    return KeyStatus(
        kind=_enum(KeyKind, sent.kind),
        name=sent.name,
        version=sent.version,
        version_made_at=_time(sent, "version_made_at"),
        crypto_period=dt.timedelta(seconds=sent.crypto_period_s),
        due_at=_time(sent, "due_at"),
        versions=_versions(sent.versions),
        min_decryption_version=sent.min_decryption_version,
        min_available_version=sent.min_available_version,
        max_uses=sent.max_uses,
        keys_near_limit=sent.keys_near_limit,
        advice=tuple(sent.advice),
        job_id=sent.job_id,
    )


def read_job(sent: keys_pb2.Job) -> Job:
    return Job(
        job_id=sent.job_id,
        kind=_enum(KeyKind, sent.kind),
        key_name=sent.key_name,
        from_version=sent.from_version,
        to_version=sent.to_version,
        state=_enum(JobState, sent.state),
        started_by=sent.started_by,
        started_at=_time(sent, "started_at"),
        ended_at=_time(sent, "ended_at"),
        rows_done=sent.rows_done,
        rows_total=sent.rows_total,
        rows_failed=sent.rows_failed,
        rows_per_second=sent.rows_per_second,
        seconds_left=sent.seconds_left,
        workers=sent.workers,
        phase=sent.phase,
    )


def read_rotation(sent: keys_pb2.RotateKeyResponse) -> Rotation:
    job = read_job(sent.job) if sent.HasField("job") else None
    return Rotation(job, sent.version, sent.started, sent.rows)


def read_verification(sent: keys_pb2.VerifyRootVersionsResponse) -> Verification:
    return Verification(
        sent.rows_read,
        sent.rows_total,
        sent.is_last,
        _versions(sent.versions),
        sent.rows_unreadable,
    )


def read_act(sent: keys_pb2.Act) -> Act:
    match sent.WhichOneof("act"):
        case "retire":
            return Act("retire", str(sent.retire.min_decryption_version))
        case "trim":
            return Act("trim", str(sent.trim.min_available_version))
        case "destroy":
            return Act("destroy", sent.destroy.tenant)
        case "widen_policy":
            return Act("widen-policy", sent.widen_policy.bundle_digest)
        case _:
            raise answer_unfit("the answer names an act that this client does not know")


def read_request(sent: keys_pb2.ActRequest) -> ActRequest:
    return ActRequest(
        request_id=sent.request_id,
        act=read_act(sent.act),
        cause=sent.cause,
        requested_by=sent.requested_by,
        requested_at=_time(sent, "requested_at"),
        expires_at=_time(sent, "expires_at"),
        digest=sent.digest,
        state=_enum(ActState, sent.state),
        approved_by=sent.approved_by,
        approved_at=_time(sent, "approved_at"),
        done_at=_time(sent, "done_at"),
    )


def read_erasure(sent: subjects_pb2.Erasure) -> Erasure:
    return Erasure(
        erasure_id=sent.erasure_id,
        subject_id=sent.subject_id,
        cause=sent.cause,
        erased_at=_time(sent, "erased_at"),
        ledger_index=sent.ledger_index,
        ledger_hash=sent.ledger_hash,
        caches_empty_at=_time(sent, "caches_empty_at"),
        complete_at=_time(sent, "complete_at"),
        root_versions=tuple(sent.root_versions),
        entry_id=sent.entry_id,
        tokens=sent.tokens,
    )


def _versions(sent: object) -> tuple[KeyVersion, ...]:
    return tuple(
        KeyVersion(one.version, _time(one, "made_at"), one.rows, one.backups)
        for one in sent  # type: ignore[attr-defined]  # a repeated field, which has no public type
    )


def _time(sent: object, name: str) -> dt.datetime | None:
    """A time that may be absent."""
    if not sent.HasField(name):  # type: ignore[attr-defined]  # any message
        return None
    stamp: Timestamp = getattr(sent, name)
    return stamp.ToDatetime(tzinfo=dt.UTC)


def _enum(kind: type[EnumT], number: int) -> EnumT:
    try:
        return kind(number)
    except ValueError as error:
        raise answer_unfit(f"the answer holds an unknown {kind.__name__}") from error
