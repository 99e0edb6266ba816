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
    __slots__ = ("subject_ref", "subject_id", "caller", "purpose", "verdict", "trace_id", "until", "page_size", "page_token", "field_type", "view", "policy", "bundle_digest", "case", "case_id", "entry_id")
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
    FIELD_TYPE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    subject_ref: str
    subject_id: str
    caller: str
    purpose: str
    verdict: _types_pb2.Verdict
    trace_id: str
    until: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    field_type: str
    view: _types_pb2.View
    policy: str
    bundle_digest: str
    case: str
    case_id: str
    entry_id: str
    def __init__(self, subject_ref: _Optional[str] = ..., subject_id: _Optional[str] = ..., caller: _Optional[str] = ..., purpose: _Optional[str] = ..., verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., trace_id: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., field_type: _Optional[str] = ..., view: _Optional[_Union[_types_pb2.View, str]] = ..., policy: _Optional[str] = ..., bundle_digest: _Optional[str] = ..., case: _Optional[str] = ..., case_id: _Optional[str] = ..., entry_id: _Optional[str] = ..., **kwargs) -> None: ...

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
    __slots__ = ("entry_id", "time", "call_id", "tenant", "rpc", "caller", "authentication", "roles", "purpose", "subject_id", "verdict", "reason", "field", "items", "bundle_digest", "trace_id", "span_id", "entry", "leaf_hash", "case", "act")
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
    CASE_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
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
    case: str
    act: str
    def __init__(self, entry_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., call_id: _Optional[str] = ..., tenant: _Optional[str] = ..., rpc: _Optional[str] = ..., caller: _Optional[str] = ..., authentication: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., purpose: _Optional[str] = ..., subject_id: _Optional[str] = ..., verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., field: _Optional[str] = ..., items: _Optional[_Iterable[_Union[AuditItem, _Mapping]]] = ..., bundle_digest: _Optional[str] = ..., trace_id: _Optional[str] = ..., span_id: _Optional[str] = ..., entry: _Optional[bytes] = ..., leaf_hash: _Optional[bytes] = ..., case: _Optional[str] = ..., act: _Optional[str] = ...) -> None: ...

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

class TailEntriesRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: ListEntriesRequest
    def __init__(self, filter: _Optional[_Union[ListEntriesRequest, _Mapping]] = ...) -> None: ...

class TailEntriesResponse(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: AuditEntry
    def __init__(self, entry: _Optional[_Union[AuditEntry, _Mapping]] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("until", "case", "case_id")
    FROM_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    until: _timestamp_pb2.Timestamp
    case: str
    case_id: str
    def __init__(self, until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., case: _Optional[str] = ..., case_id: _Optional[str] = ..., **kwargs) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("counts", "call_id")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedCompositeFieldContainer[AccessCount]
    call_id: str
    def __init__(self, counts: _Optional[_Iterable[_Union[AccessCount, _Mapping]]] = ..., call_id: _Optional[str] = ...) -> None: ...

class AccessCount(_message.Message):
    __slots__ = ("hour", "rpc", "caller", "purpose", "verdict", "entries")
    HOUR_FIELD_NUMBER: _ClassVar[int]
    RPC_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    hour: _timestamp_pb2.Timestamp
    rpc: str
    caller: str
    purpose: str
    verdict: _types_pb2.Verdict
    entries: int
    def __init__(self, hour: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rpc: _Optional[str] = ..., caller: _Optional[str] = ..., purpose: _Optional[str] = ..., verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., entries: _Optional[int] = ...) -> None: ...

class GetCheckpointRequest(_message.Message):
    __slots__ = ("min_size",)
    MIN_SIZE_FIELD_NUMBER: _ClassVar[int]
    min_size: int
    def __init__(self, min_size: _Optional[int] = ...) -> None: ...

class GetCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint", "call_id")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    checkpoint: Checkpoint
    call_id: str
    def __init__(self, checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("note", "size", "root", "signed_at", "verifier_key", "successions")
    NOTE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    SIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    VERIFIER_KEY_FIELD_NUMBER: _ClassVar[int]
    SUCCESSIONS_FIELD_NUMBER: _ClassVar[int]
    note: str
    size: int
    root: bytes
    signed_at: _timestamp_pb2.Timestamp
    verifier_key: str
    successions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, note: _Optional[str] = ..., size: _Optional[int] = ..., root: _Optional[bytes] = ..., signed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., verifier_key: _Optional[str] = ..., successions: _Optional[_Iterable[str]] = ...) -> None: ...

class ProveInclusionRequest(_message.Message):
    __slots__ = ("entry_ids", "tree_size")
    ENTRY_IDS_FIELD_NUMBER: _ClassVar[int]
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    entry_ids: _containers.RepeatedScalarFieldContainer[str]
    tree_size: int
    def __init__(self, entry_ids: _Optional[_Iterable[str]] = ..., tree_size: _Optional[int] = ...) -> None: ...

class ProveInclusionResponse(_message.Message):
    __slots__ = ("proofs", "checkpoint", "call_id")
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    proofs: _containers.RepeatedCompositeFieldContainer[InclusionProof]
    checkpoint: Checkpoint
    call_id: str
    def __init__(self, proofs: _Optional[_Iterable[_Union[InclusionProof, _Mapping]]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class InclusionProof(_message.Message):
    __slots__ = ("entry_id", "is_included", "leaf_index", "leaf_hash", "path")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    IS_INCLUDED_FIELD_NUMBER: _ClassVar[int]
    LEAF_INDEX_FIELD_NUMBER: _ClassVar[int]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    is_included: bool
    leaf_index: int
    leaf_hash: bytes
    path: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, entry_id: _Optional[str] = ..., is_included: _Optional[bool] = ..., leaf_index: _Optional[int] = ..., leaf_hash: _Optional[bytes] = ..., path: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ProveConsistencyRequest(_message.Message):
    __slots__ = ("first_size", "second_size")
    FIRST_SIZE_FIELD_NUMBER: _ClassVar[int]
    SECOND_SIZE_FIELD_NUMBER: _ClassVar[int]
    first_size: int
    second_size: int
    def __init__(self, first_size: _Optional[int] = ..., second_size: _Optional[int] = ...) -> None: ...

class ProveConsistencyResponse(_message.Message):
    __slots__ = ("first_size", "second_size", "path", "checkpoint", "call_id")
    FIRST_SIZE_FIELD_NUMBER: _ClassVar[int]
    SECOND_SIZE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    first_size: int
    second_size: int
    path: _containers.RepeatedScalarFieldContainer[bytes]
    checkpoint: Checkpoint
    call_id: str
    def __init__(self, first_size: _Optional[int] = ..., second_size: _Optional[int] = ..., path: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class ExportEntriesRequest(_message.Message):
    __slots__ = ("from_index", "until_index", "checkpoint_size")
    FROM_INDEX_FIELD_NUMBER: _ClassVar[int]
    UNTIL_INDEX_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SIZE_FIELD_NUMBER: _ClassVar[int]
    from_index: int
    until_index: int
    checkpoint_size: int
    def __init__(self, from_index: _Optional[int] = ..., until_index: _Optional[int] = ..., checkpoint_size: _Optional[int] = ...) -> None: ...

class ExportEntriesResponse(_message.Message):
    __slots__ = ("checkpoint", "edge", "tile", "first_index", "leaves")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    checkpoint: Checkpoint
    edge: _containers.RepeatedScalarFieldContainer[bytes]
    tile: ExportedTile
    first_index: int
    leaves: _containers.RepeatedCompositeFieldContainer[ExportedLeaf]
    def __init__(self, checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., edge: _Optional[_Iterable[bytes]] = ..., tile: _Optional[_Union[ExportedTile, _Mapping]] = ..., first_index: _Optional[int] = ..., leaves: _Optional[_Iterable[_Union[ExportedLeaf, _Mapping]]] = ...) -> None: ...

class ExportedTile(_message.Message):
    __slots__ = ("level", "index", "hashes")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    level: int
    index: int
    hashes: bytes
    def __init__(self, level: _Optional[int] = ..., index: _Optional[int] = ..., hashes: _Optional[bytes] = ...) -> None: ...

class ExportedLeaf(_message.Message):
    __slots__ = ("entry", "leaf_hash", "is_archived")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    IS_ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    entry: bytes
    leaf_hash: bytes
    is_archived: bool
    def __init__(self, entry: _Optional[bytes] = ..., leaf_hash: _Optional[bytes] = ..., is_archived: _Optional[bool] = ...) -> None: ...
