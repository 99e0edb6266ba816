from vault.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TokenizeRequest(_message.Message):
    __slots__ = ("idempotency_key", "subjects", "all_or_nothing", "case")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    ALL_OR_NOTHING_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    subjects: _containers.RepeatedCompositeFieldContainer[SubjectFields]
    all_or_nothing: bool
    case: str
    def __init__(self, idempotency_key: _Optional[str] = ..., subjects: _Optional[_Iterable[_Union[SubjectFields, _Mapping]]] = ..., all_or_nothing: _Optional[bool] = ..., case: _Optional[str] = ...) -> None: ...

class SubjectFields(_message.Message):
    __slots__ = ("subject_ref", "fields")
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    subject_ref: str
    fields: _containers.RepeatedCompositeFieldContainer[FieldValue]
    def __init__(self, subject_ref: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[FieldValue, _Mapping]]] = ...) -> None: ...

class FieldValue(_message.Message):
    __slots__ = ("field_type", "value")
    FIELD_TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    field_type: str
    value: str
    def __init__(self, field_type: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class TokenizeResponse(_message.Message):
    __slots__ = ("subjects", "call_id")
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    subjects: _containers.RepeatedCompositeFieldContainer[SubjectTokens]
    call_id: str
    def __init__(self, subjects: _Optional[_Iterable[_Union[SubjectTokens, _Mapping]]] = ..., call_id: _Optional[str] = ...) -> None: ...

class SubjectTokens(_message.Message):
    __slots__ = ("fields",)
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedCompositeFieldContainer[TokenResult]
    def __init__(self, fields: _Optional[_Iterable[_Union[TokenResult, _Mapping]]] = ...) -> None: ...

class TokenResult(_message.Message):
    __slots__ = ("verdict", "reason", "token", "detail")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    verdict: _types_pb2.Verdict
    reason: _types_pb2.Reason
    token: str
    detail: str
    def __init__(self, verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., token: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class DetokenizeRequest(_message.Message):
    __slots__ = ("purpose", "items", "all_or_nothing", "case")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ALL_OR_NOTHING_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    items: _containers.RepeatedCompositeFieldContainer[DetokenizeItem]
    all_or_nothing: bool
    case: str
    def __init__(self, purpose: _Optional[str] = ..., items: _Optional[_Iterable[_Union[DetokenizeItem, _Mapping]]] = ..., all_or_nothing: _Optional[bool] = ..., case: _Optional[str] = ...) -> None: ...

class DetokenizeItem(_message.Message):
    __slots__ = ("token", "view")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    token: str
    view: _types_pb2.View
    def __init__(self, token: _Optional[str] = ..., view: _Optional[_Union[_types_pb2.View, str]] = ...) -> None: ...

class DetokenizeResponse(_message.Message):
    __slots__ = ("items", "call_id")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[DetokenizeResult]
    call_id: str
    def __init__(self, items: _Optional[_Iterable[_Union[DetokenizeResult, _Mapping]]] = ..., call_id: _Optional[str] = ...) -> None: ...

class DetokenizeResult(_message.Message):
    __slots__ = ("verdict", "reason", "value", "view", "field_type")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    FIELD_TYPE_FIELD_NUMBER: _ClassVar[int]
    verdict: _types_pb2.Verdict
    reason: _types_pb2.Reason
    value: str
    view: _types_pb2.View
    field_type: str
    def __init__(self, verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., value: _Optional[str] = ..., view: _Optional[_Union[_types_pb2.View, str]] = ..., field_type: _Optional[str] = ...) -> None: ...
