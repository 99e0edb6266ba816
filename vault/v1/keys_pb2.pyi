import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_KIND_UNSPECIFIED: _ClassVar[KeyKind]
    KEY_KIND_ROOT: _ClassVar[KeyKind]
    KEY_KIND_INDEX: _ClassVar[KeyKind]
    KEY_KIND_SIGNING: _ClassVar[KeyKind]
    KEY_KIND_SUBJECT: _ClassVar[KeyKind]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_PAUSED: _ClassVar[JobState]
    JOB_STATE_WAITING: _ClassVar[JobState]
    JOB_STATE_DONE: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]

class ActState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACT_STATE_UNSPECIFIED: _ClassVar[ActState]
    ACT_STATE_OPEN: _ClassVar[ActState]
    ACT_STATE_APPROVED: _ClassVar[ActState]
    ACT_STATE_DONE: _ClassVar[ActState]
    ACT_STATE_EXPIRED: _ClassVar[ActState]
    ACT_STATE_WITHDRAWN: _ClassVar[ActState]
KEY_KIND_UNSPECIFIED: KeyKind
KEY_KIND_ROOT: KeyKind
KEY_KIND_INDEX: KeyKind
KEY_KIND_SIGNING: KeyKind
KEY_KIND_SUBJECT: KeyKind
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_PAUSED: JobState
JOB_STATE_WAITING: JobState
JOB_STATE_DONE: JobState
JOB_STATE_FAILED: JobState
ACT_STATE_UNSPECIFIED: ActState
ACT_STATE_OPEN: ActState
ACT_STATE_APPROVED: ActState
ACT_STATE_DONE: ActState
ACT_STATE_EXPIRED: ActState
ACT_STATE_WITHDRAWN: ActState

class GetKeyStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetKeyStatusResponse(_message.Message):
    __slots__ = ("keys", "call_id")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[KeyStatus]
    call_id: str
    def __init__(self, keys: _Optional[_Iterable[_Union[KeyStatus, _Mapping]]] = ..., call_id: _Optional[str] = ...) -> None: ...

class KeyStatus(_message.Message):
    __slots__ = ("kind", "name", "version", "version_made_at", "crypto_period_s", "due_at", "versions", "min_decryption_version", "min_available_version", "max_uses", "keys_near_limit", "advice", "job_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSION_MADE_AT_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    MIN_DECRYPTION_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_AVAILABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MAX_USES_FIELD_NUMBER: _ClassVar[int]
    KEYS_NEAR_LIMIT_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    kind: KeyKind
    name: str
    version: int
    version_made_at: _timestamp_pb2.Timestamp
    crypto_period_s: int
    due_at: _timestamp_pb2.Timestamp
    versions: _containers.RepeatedCompositeFieldContainer[KeyVersionStatus]
    min_decryption_version: int
    min_available_version: int
    max_uses: int
    keys_near_limit: int
    advice: _containers.RepeatedScalarFieldContainer[str]
    job_id: str
    def __init__(self, kind: _Optional[_Union[KeyKind, str]] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., version_made_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., crypto_period_s: _Optional[int] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., versions: _Optional[_Iterable[_Union[KeyVersionStatus, _Mapping]]] = ..., min_decryption_version: _Optional[int] = ..., min_available_version: _Optional[int] = ..., max_uses: _Optional[int] = ..., keys_near_limit: _Optional[int] = ..., advice: _Optional[_Iterable[str]] = ..., job_id: _Optional[str] = ...) -> None: ...

class KeyVersionStatus(_message.Message):
    __slots__ = ("version", "made_at", "rows", "backups")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BACKUPS_FIELD_NUMBER: _ClassVar[int]
    version: int
    made_at: _timestamp_pb2.Timestamp
    rows: int
    backups: int
    def __init__(self, version: _Optional[int] = ..., made_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rows: _Optional[int] = ..., backups: _Optional[int] = ...) -> None: ...

class RotateKeyRequest(_message.Message):
    __slots__ = ("kind", "subject_ref", "cause", "dry_run", "rows_per_second")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    kind: KeyKind
    subject_ref: str
    cause: str
    dry_run: bool
    rows_per_second: int
    def __init__(self, kind: _Optional[_Union[KeyKind, str]] = ..., subject_ref: _Optional[str] = ..., cause: _Optional[str] = ..., dry_run: _Optional[bool] = ..., rows_per_second: _Optional[int] = ...) -> None: ...

class RotateKeyResponse(_message.Message):
    __slots__ = ("job", "version", "started", "rows", "call_id")
    JOB_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    job: Job
    version: int
    started: bool
    rows: int
    call_id: str
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., version: _Optional[int] = ..., started: _Optional[bool] = ..., rows: _Optional[int] = ..., call_id: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "kind", "key_name", "from_version", "to_version", "state", "started_by", "started_at", "ended_at", "rows_done", "rows_total", "rows_failed", "rows_per_second", "seconds_left", "workers", "phase")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STARTED_BY_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ROWS_DONE_FIELD_NUMBER: _ClassVar[int]
    ROWS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ROWS_FAILED_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    kind: KeyKind
    key_name: str
    from_version: int
    to_version: int
    state: JobState
    started_by: str
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    rows_done: int
    rows_total: int
    rows_failed: int
    rows_per_second: float
    seconds_left: int
    workers: int
    phase: str
    def __init__(self, job_id: _Optional[str] = ..., kind: _Optional[_Union[KeyKind, str]] = ..., key_name: _Optional[str] = ..., from_version: _Optional[int] = ..., to_version: _Optional[int] = ..., state: _Optional[_Union[JobState, str]] = ..., started_by: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rows_done: _Optional[int] = ..., rows_total: _Optional[int] = ..., rows_failed: _Optional[int] = ..., rows_per_second: _Optional[float] = ..., seconds_left: _Optional[int] = ..., workers: _Optional[int] = ..., phase: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job", "call_id")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    job: Job
    call_id: str
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size",)
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    def __init__(self, page_size: _Optional[int] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "call_id")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    call_id: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., call_id: _Optional[str] = ...) -> None: ...

class ControlJobRequest(_message.Message):
    __slots__ = ("job_id", "control", "rows_per_second")
    class Control(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CONTROL_UNSPECIFIED: _ClassVar[ControlJobRequest.Control]
        CONTROL_PAUSE: _ClassVar[ControlJobRequest.Control]
        CONTROL_RESUME: _ClassVar[ControlJobRequest.Control]
        CONTROL_THROTTLE: _ClassVar[ControlJobRequest.Control]
    CONTROL_UNSPECIFIED: ControlJobRequest.Control
    CONTROL_PAUSE: ControlJobRequest.Control
    CONTROL_RESUME: ControlJobRequest.Control
    CONTROL_THROTTLE: ControlJobRequest.Control
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    control: ControlJobRequest.Control
    rows_per_second: int
    def __init__(self, job_id: _Optional[str] = ..., control: _Optional[_Union[ControlJobRequest.Control, str]] = ..., rows_per_second: _Optional[int] = ...) -> None: ...

class ControlJobResponse(_message.Message):
    __slots__ = ("job", "call_id")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    job: Job
    call_id: str
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class VerifyRootVersionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyRootVersionsResponse(_message.Message):
    __slots__ = ("rows_read", "rows_total", "is_last", "versions", "rows_unreadable", "call_id")
    ROWS_READ_FIELD_NUMBER: _ClassVar[int]
    ROWS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ROWS_UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    rows_read: int
    rows_total: int
    is_last: bool
    versions: _containers.RepeatedCompositeFieldContainer[KeyVersionStatus]
    rows_unreadable: int
    call_id: str
    def __init__(self, rows_read: _Optional[int] = ..., rows_total: _Optional[int] = ..., is_last: _Optional[bool] = ..., versions: _Optional[_Iterable[_Union[KeyVersionStatus, _Mapping]]] = ..., rows_unreadable: _Optional[int] = ..., call_id: _Optional[str] = ...) -> None: ...

class Act(_message.Message):
    __slots__ = ("retire", "trim", "destroy", "widen_policy")
    RETIRE_FIELD_NUMBER: _ClassVar[int]
    TRIM_FIELD_NUMBER: _ClassVar[int]
    DESTROY_FIELD_NUMBER: _ClassVar[int]
    WIDEN_POLICY_FIELD_NUMBER: _ClassVar[int]
    retire: RetireRootVersions
    trim: TrimRootVersions
    destroy: DestroyRootKey
    widen_policy: WidenPolicy
    def __init__(self, retire: _Optional[_Union[RetireRootVersions, _Mapping]] = ..., trim: _Optional[_Union[TrimRootVersions, _Mapping]] = ..., destroy: _Optional[_Union[DestroyRootKey, _Mapping]] = ..., widen_policy: _Optional[_Union[WidenPolicy, _Mapping]] = ...) -> None: ...

class RetireRootVersions(_message.Message):
    __slots__ = ("min_decryption_version",)
    MIN_DECRYPTION_VERSION_FIELD_NUMBER: _ClassVar[int]
    min_decryption_version: int
    def __init__(self, min_decryption_version: _Optional[int] = ...) -> None: ...

class TrimRootVersions(_message.Message):
    __slots__ = ("min_available_version",)
    MIN_AVAILABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    min_available_version: int
    def __init__(self, min_available_version: _Optional[int] = ...) -> None: ...

class DestroyRootKey(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class WidenPolicy(_message.Message):
    __slots__ = ("bundle_digest",)
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    bundle_digest: str
    def __init__(self, bundle_digest: _Optional[str] = ...) -> None: ...

class ActRequest(_message.Message):
    __slots__ = ("request_id", "act", "cause", "requested_by", "requested_at", "expires_at", "digest", "state", "approved_by", "approved_at", "done_at")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    APPROVED_AT_FIELD_NUMBER: _ClassVar[int]
    DONE_AT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    act: Act
    cause: str
    requested_by: str
    requested_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    digest: str
    state: ActState
    approved_by: str
    approved_at: _timestamp_pb2.Timestamp
    done_at: _timestamp_pb2.Timestamp
    def __init__(self, request_id: _Optional[str] = ..., act: _Optional[_Union[Act, _Mapping]] = ..., cause: _Optional[str] = ..., requested_by: _Optional[str] = ..., requested_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., digest: _Optional[str] = ..., state: _Optional[_Union[ActState, str]] = ..., approved_by: _Optional[str] = ..., approved_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., done_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RequestActRequest(_message.Message):
    __slots__ = ("act", "cause", "idempotency_key")
    ACT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    act: Act
    cause: str
    idempotency_key: str
    def __init__(self, act: _Optional[_Union[Act, _Mapping]] = ..., cause: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class RequestActResponse(_message.Message):
    __slots__ = ("request", "call_id")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    request: ActRequest
    call_id: str
    def __init__(self, request: _Optional[_Union[ActRequest, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class ListActRequestsRequest(_message.Message):
    __slots__ = ("page_size", "only_open")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    ONLY_OPEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    only_open: bool
    def __init__(self, page_size: _Optional[int] = ..., only_open: _Optional[bool] = ...) -> None: ...

class ListActRequestsResponse(_message.Message):
    __slots__ = ("requests", "call_id")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ActRequest]
    call_id: str
    def __init__(self, requests: _Optional[_Iterable[_Union[ActRequest, _Mapping]]] = ..., call_id: _Optional[str] = ...) -> None: ...

class ApproveActRequest(_message.Message):
    __slots__ = ("request_id", "request_digest")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    request_digest: str
    def __init__(self, request_id: _Optional[str] = ..., request_digest: _Optional[str] = ...) -> None: ...

class ApproveActResponse(_message.Message):
    __slots__ = ("request", "call_id")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    request: ActRequest
    call_id: str
    def __init__(self, request: _Optional[_Union[ActRequest, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class WithdrawActRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class WithdrawActResponse(_message.Message):
    __slots__ = ("request", "call_id")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    request: ActRequest
    call_id: str
    def __init__(self, request: _Optional[_Union[ActRequest, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class CarryOutActRequest(_message.Message):
    __slots__ = ("request_id", "dry_run")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    dry_run: bool
    def __init__(self, request_id: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class CarryOutActResponse(_message.Message):
    __slots__ = ("request", "obstacles", "effect", "call_id")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OBSTACLES_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    request: ActRequest
    obstacles: _containers.RepeatedScalarFieldContainer[str]
    effect: str
    call_id: str
    def __init__(self, request: _Optional[_Union[ActRequest, _Mapping]] = ..., obstacles: _Optional[_Iterable[str]] = ..., effect: _Optional[str] = ..., call_id: _Optional[str] = ...) -> None: ...
