from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("version", "features", "log", "first")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    version: int
    features: _containers.RepeatedScalarFieldContainer[str]
    log: bytes
    first: int
    def __init__(self, version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., log: _Optional[bytes] = ..., first: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("version", "features", "held", "held_id", "window")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    HELD_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    version: int
    features: _containers.RepeatedScalarFieldContainer[str]
    held: int
    held_id: bytes
    window: int
    def __init__(self, version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., held: _Optional[int] = ..., held_id: _Optional[bytes] = ..., window: _Optional[int] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("sequence", "id", "sent_at", "text")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    id: bytes
    sent_at: int
    text: str
    def __init__(self, sequence: _Optional[int] = ..., id: _Optional[bytes] = ..., sent_at: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("held", "window")
    HELD_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    held: int
    window: int
    def __init__(self, held: _Optional[int] = ..., window: _Optional[int] = ...) -> None: ...

class Farewell(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: int
    def __init__(self, reason: _Optional[int] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("hello", "welcome", "message", "acknowledgement", "farewell")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    welcome: Welcome
    message: Message
    acknowledgement: Acknowledgement
    farewell: Farewell
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., message: _Optional[_Union[Message, _Mapping]] = ..., acknowledgement: _Optional[_Union[Acknowledgement, _Mapping]] = ..., farewell: _Optional[_Union[Farewell, _Mapping]] = ...) -> None: ...
