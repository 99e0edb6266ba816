import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from vault.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListEntriesRequest(_message.Message):
    __slots__ = ("subject_ref", "subject_id", "caller", "purpose", "verdict", "trace_id", "until", "page_size", "page_token")
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    subject_ref: str
    subject_id: str
    caller: str
    purpose: str
    verdict: _types_pb2.Verdict
    trace_id: str
    until: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, subject_ref: _Optional[str] = ..., subject_id: _Optional[str] = ..., caller: _Optional[str] = ..., purpose: _Optional[str] = ..., verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., trace_id: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., **kwargs) -> None: ...

class ListEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "call_id")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    call_id: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., call_id: _Optional[str] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("entry_id", "time", "call_id", "tenant", "rpc", "caller", "authentication", "roles", "purpose", "subject_id", "verdict", "reason", "field", "items", "bundle_digest", "trace_id", "span_id", "entry", "leaf_hash")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RPC_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATION_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    time: _timestamp_pb2.Timestamp
    call_id: str
    tenant: str
    rpc: str
    caller: str
    authentication: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    purpose: str
    subject_id: str
    verdict: _types_pb2.Verdict
    reason: _types_pb2.Reason
    field: str
    items: _containers.RepeatedCompositeFieldContainer[AuditItem]
    bundle_digest: str
    trace_id: str
    span_id: str
    entry: bytes
    leaf_hash: bytes
    def __init__(self, entry_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., call_id: _Optional[str] = ..., tenant: _Optional[str] = ..., rpc: _Optional[str] = ..., caller: _Optional[str] = ..., authentication: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., purpose: _Optional[str] = ..., subject_id: _Optional[str] = ..., verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., field: _Optional[str] = ..., items: _Optional[_Iterable[_Union[AuditItem, _Mapping]]] = ..., bundle_digest: _Optional[str] = ..., trace_id: _Optional[str] = ..., span_id: _Optional[str] = ..., entry: _Optional[bytes] = ..., leaf_hash: _Optional[bytes] = ...) -> None: ...

class AuditItem(_message.Message):
    __slots__ = ("token_digest", "field_type", "wanted_view", "view", "verdict", "reason", "policies")
    TOKEN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIELD_TYPE_FIELD_NUMBER: _ClassVar[int]
    WANTED_VIEW_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    token_digest: str
    field_type: str
    wanted_view: _types_pb2.View
    view: _types_pb2.View
    verdict: _types_pb2.Verdict
    reason: _types_pb2.Reason
    policies: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, token_digest: _Optional[str] = ..., field_type: _Optional[str] = ..., wanted_view: _Optional[_Union[_types_pb2.View, str]] = ..., view: _Optional[_Union[_types_pb2.View, str]] = ..., verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., policies: _Optional[_Iterable[str]] = ...) -> None: ...
