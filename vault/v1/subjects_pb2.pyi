import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EraseSubjectRequest(_message.Message):
    __slots__ = ("subject_ref", "token", "cause", "dry_run")
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    subject_ref: str
    token: str
    cause: str
    dry_run: bool
    def __init__(self, subject_ref: _Optional[str] = ..., token: _Optional[str] = ..., cause: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class EraseSubjectResponse(_message.Message):
    __slots__ = ("erasure", "tokens", "call_id")
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    tokens: int
    call_id: str
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ..., tokens: _Optional[int] = ..., call_id: _Optional[str] = ...) -> None: ...

class GetErasureRequest(_message.Message):
    __slots__ = ("erasure_id",)
    ERASURE_ID_FIELD_NUMBER: _ClassVar[int]
    erasure_id: str
    def __init__(self, erasure_id: _Optional[str] = ...) -> None: ...

class GetErasureResponse(_message.Message):
    __slots__ = ("erasure", "call_id")
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    call_id: str
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class Erasure(_message.Message):
    __slots__ = ("erasure_id", "subject_id", "cause", "erased_at", "ledger_index", "ledger_hash", "caches_empty_at", "complete_at", "root_versions", "entry_id", "tokens")
    ERASURE_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    ERASED_AT_FIELD_NUMBER: _ClassVar[int]
    LEDGER_INDEX_FIELD_NUMBER: _ClassVar[int]
    LEDGER_HASH_FIELD_NUMBER: _ClassVar[int]
    CACHES_EMPTY_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_AT_FIELD_NUMBER: _ClassVar[int]
    ROOT_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    erasure_id: str
    subject_id: str
    cause: str
    erased_at: _timestamp_pb2.Timestamp
    ledger_index: int
    ledger_hash: str
    caches_empty_at: _timestamp_pb2.Timestamp
    complete_at: _timestamp_pb2.Timestamp
    root_versions: _containers.RepeatedScalarFieldContainer[int]
    entry_id: str
    tokens: int
    def __init__(self, erasure_id: _Optional[str] = ..., subject_id: _Optional[str] = ..., cause: _Optional[str] = ..., erased_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ledger_index: _Optional[int] = ..., ledger_hash: _Optional[str] = ..., caches_empty_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., complete_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., root_versions: _Optional[_Iterable[int]] = ..., entry_id: _Optional[str] = ..., tokens: _Optional[int] = ...) -> None: ...
