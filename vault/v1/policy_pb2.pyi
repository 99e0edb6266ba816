import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetBundleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBundleResponse(_message.Message):
    __slots__ = ("bundle", "call_id")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    bundle: Bundle
    call_id: str
    def __init__(self, bundle: _Optional[_Union[Bundle, _Mapping]] = ..., call_id: _Optional[str] = ...) -> None: ...

class ReloadBundleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadBundleResponse(_message.Message):
    __slots__ = ("bundle", "changed", "call_id")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    bundle: Bundle
    changed: bool
    call_id: str
    def __init__(self, bundle: _Optional[_Union[Bundle, _Mapping]] = ..., changed: _Optional[bool] = ..., call_id: _Optional[str] = ...) -> None: ...

class Bundle(_message.Message):
    __slots__ = ("digest", "loaded_at", "policies", "field_types", "purposes", "callers")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LOADED_AT_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    FIELD_TYPES_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    loaded_at: _timestamp_pb2.Timestamp
    policies: int
    field_types: int
    purposes: int
    callers: int
    def __init__(self, digest: _Optional[str] = ..., loaded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policies: _Optional[int] = ..., field_types: _Optional[int] = ..., purposes: _Optional[int] = ..., callers: _Optional[int] = ...) -> None: ...
