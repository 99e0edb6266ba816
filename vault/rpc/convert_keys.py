"""Messages of KeyService about keys and jobs to domain values and back."""

import datetime as dt
import re
import uuid

from google.protobuf import timestamp_pb2

from vault.errors import Reason, invalid
from vault.keys.jobs import Job, JobKind, JobState, WaitsFor
from vault.keys.pace import seconds_left
from vault.keys.periods import KeyKind
from vault.rpc.convert import MAX_SUBJECT_REF
from vault.rpc.text import check_form, check_text
from vault.service.custody import CAUSES
from vault.service.job_control import Control, ControlCommand
from vault.service.key_status import KeyStatus, KeyVersion
from vault.service.rotate import RotateCommand, Rotation
from vault.service.verify_roots import RootVersions
from vault.v1 import keys_pb2

DEFAULT_PAGE = 20
MAX_PAGE = 200
MAX_RATE = 1_000_000
_HEX32 = re.compile(r"[0-9a-f]{32}")
_STATES = {
    JobState.RUNNING: keys_pb2.JOB_STATE_RUNNING,
    JobState.PAUSED: keys_pb2.JOB_STATE_PAUSED,
    JobState.WAITING: keys_pb2.JOB_STATE_WAITING,
    JobState.DONE: keys_pb2.JOB_STATE_DONE,
    JobState.FAILED: keys_pb2.JOB_STATE_FAILED,
}
_KINDS = {
    JobKind.ROOT: keys_pb2.KEY_KIND_ROOT,
    JobKind.INDEX: keys_pb2.KEY_KIND_INDEX,
    JobKind.SUBJECT: keys_pb2.KEY_KIND_SUBJECT,
}


def rotate_command(request: keys_pb2.RotateKeyRequest) -> RotateCommand:
    """A RotateKey request in domain words.

    Raises:
        VaultError: a field is missing or out of form.
    """
    if request.kind == keys_pb2.KEY_KIND_UNSPECIFIED:
        raise invalid(Reason.FIELD_MISSING, "kind", "is required")
    if request.kind not in {kind.value for kind in KeyKind}:
        raise invalid(Reason.FIELD_INVALID, "kind", "is no kind of key")
    kind = KeyKind(request.kind)
    if not request.cause:
        raise invalid(Reason.FIELD_MISSING, "cause", "is required")
    if request.cause not in CAUSES:
        raise invalid(Reason.FIELD_INVALID, "cause", f"is none of {', '.join(CAUSES)}")
    if request.subject_ref:
        check_text(request.subject_ref, "subject_ref", max_bytes=MAX_SUBJECT_REF)
        if kind is not KeyKind.SUBJECT:
            raise invalid(Reason.FIELD_INVALID, "subject_ref", "is for KEY_KIND_SUBJECT only")
    return RotateCommand(
        kind=kind,
        cause=request.cause,
        subject_ref=request.subject_ref or None,
        dry_run=request.dry_run,
        rows_per_second=_rate(request.rows_per_second),
    )


def control_command(request: keys_pb2.ControlJobRequest) -> ControlCommand:
    """A ControlJob request in domain words.

    Raises:
        VaultError: a field is missing or out of form.
    """
    found = job_id(request.job_id)
    if request.control == keys_pb2.ControlJobRequest.CONTROL_UNSPECIFIED:
        raise invalid(Reason.FIELD_MISSING, "control", "is required")
    if request.control not in {control.value for control in Control}:
        raise invalid(Reason.FIELD_INVALID, "control", "is no control")
    control = Control(request.control)
    rate = _rate(request.rows_per_second)
    if rate and control is not Control.THROTTLE:
        raise invalid(Reason.FIELD_INVALID, "rows_per_second", "is for CONTROL_THROTTLE only")
    return ControlCommand(found, control, rate)


def job_id(text: str) -> uuid.UUID:
    """The id of a job.

    Raises:
        VaultError: it is missing or out of form.
    """
    check_form(text, "job_id", _HEX32, "is not 32 lower-case hex digits")
    return uuid.UUID(hex=text)


def page_size(size: int) -> int:
    """How many jobs to list.

    Raises:
        VaultError: out of range.
    """
    if not 0 <= size <= MAX_PAGE:
        raise invalid(Reason.FIELD_INVALID, "page_size", f"is not 0 to {MAX_PAGE}")
    return size or DEFAULT_PAGE


def job_message(job: Job) -> keys_pb2.Job:
    left = max(0, job.rows_total - job.rows_done - job.rows_failed)
    is_moving = job.state is JobState.RUNNING
    return keys_pb2.Job(
        job_id=job.job_id.hex,
        kind=_KINDS[job.kind],
        key_name=job.key_name,
        from_version=job.from_version,
        to_version=job.to_version,
        state=_STATES[job.state],
        started_by=job.started_by,
        started_at=_time(job.started_at),
        ended_at=_time(job.ended_at),
        rows_done=job.rows_done,
        rows_total=job.rows_total,
        rows_failed=job.rows_failed,
        rows_per_second=job.rate if is_moving else 0.0,
        seconds_left=seconds_left(left, job.rate) if is_moving else 0,
        workers=job.workers,
        phase="waits for the key store" if job.waits_for is WaitsFor.KEY_STORE else job.phase,
    )


def rotation_message(rotation: Rotation, call_id: uuid.UUID) -> keys_pb2.RotateKeyResponse:
    return keys_pb2.RotateKeyResponse(
        job=None if rotation.job is None else job_message(rotation.job),
        version=rotation.version,
        started=rotation.is_started,
        rows=rotation.rows,
        call_id=call_id.hex,
    )


def status_message(key: KeyStatus) -> keys_pb2.KeyStatus:
    return keys_pb2.KeyStatus(
        kind=keys_pb2.KeyKind.Name(key.kind.value),
        name=key.name,
        version=key.version,
        version_made_at=_time(key.made_at),
        crypto_period_s=int(key.period.total_seconds()),
        due_at=None if key.due is None else _time(key.due.at),
        versions=[_version(each) for each in key.versions],
        min_decryption_version=key.min_decryption_version,
        min_available_version=key.min_available_version,
        max_uses=key.max_uses,
        keys_near_limit=key.keys_near_limit,
        advice=key.advice,
        job_id="" if key.job is None else key.job.job_id.hex,
    )


def verification_message(
    found: RootVersions, call_id: uuid.UUID
) -> keys_pb2.VerifyRootVersionsResponse:
    return keys_pb2.VerifyRootVersionsResponse(
        rows_read=found.read,
        rows_total=found.total,
        is_last=found.is_last,
        versions=[
            keys_pb2.KeyVersionStatus(version=version, rows=rows)
            for version, rows in found.versions.items()
        ],
        rows_unreadable=found.unreadable,
        call_id=call_id.hex if found.is_last else "",
    )


def _version(version: KeyVersion) -> keys_pb2.KeyVersionStatus:
    return keys_pb2.KeyVersionStatus(
        version=version.version,
        made_at=_time(version.made_at),
        rows=version.rows,
        backups=version.backups,
    )


def _rate(rate: int) -> int:
    if not 0 <= rate <= MAX_RATE:
        raise invalid(Reason.FIELD_INVALID, "rows_per_second", f"is not 0 to {MAX_RATE}")
    return rate


def _time(moment: dt.datetime | None) -> timestamp_pb2.Timestamp | None:
    if moment is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return stamp
