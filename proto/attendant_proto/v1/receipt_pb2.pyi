from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Maker(_message.Message):
    __slots__ = ("model", "version", "bundle", "precision", "server", "libraries", "processor", "threads")
    class LibrariesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    bundle: str
    precision: str
    server: str
    libraries: _containers.ScalarMap[str, str]
    processor: str
    threads: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., bundle: _Optional[str] = ..., precision: _Optional[str] = ..., server: _Optional[str] = ..., libraries: _Optional[_Mapping[str, str]] = ..., processor: _Optional[str] = ..., threads: _Optional[int] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("maker", "call", "settings", "seed", "input", "output", "digest")
    MAKER_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    maker: Maker
    call: str
    settings: str
    seed: int
    input: str
    output: str
    digest: str
    def __init__(self, maker: _Optional[_Union[Maker, _Mapping]] = ..., call: _Optional[str] = ..., settings: _Optional[str] = ..., seed: _Optional[int] = ..., input: _Optional[str] = ..., output: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...
