from attendant_proto.v1 import generation_pb2 as _generation_pb2
from attendant_proto.v1 import receipt_pb2 as _receipt_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SpeechOptions(_message.Message):
    __slots__ = ("model", "task", "language", "timestamps", "beam_search", "sampling", "condition_on_previous_text", "keep_special_tokens", "receipt", "prompt")
    class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TASK_TRANSCRIBE: _ClassVar[SpeechOptions.Task]
        TASK_TRANSLATE: _ClassVar[SpeechOptions.Task]
    TASK_TRANSCRIBE: SpeechOptions.Task
    TASK_TRANSLATE: SpeechOptions.Task
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    BEAM_SEARCH_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    CONDITION_ON_PREVIOUS_TEXT_FIELD_NUMBER: _ClassVar[int]
    KEEP_SPECIAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    model: str
    task: SpeechOptions.Task
    language: str
    timestamps: bool
    beam_search: _generation_pb2.BeamSearch
    sampling: _generation_pb2.Sampling
    condition_on_previous_text: bool
    keep_special_tokens: bool
    receipt: bool
    prompt: str
    def __init__(self, model: _Optional[str] = ..., task: _Optional[_Union[SpeechOptions.Task, str]] = ..., language: _Optional[str] = ..., timestamps: _Optional[bool] = ..., beam_search: _Optional[_Union[_generation_pb2.BeamSearch, _Mapping]] = ..., sampling: _Optional[_Union[_generation_pb2.Sampling, _Mapping]] = ..., condition_on_previous_text: _Optional[bool] = ..., keep_special_tokens: _Optional[bool] = ..., receipt: _Optional[bool] = ..., prompt: _Optional[str] = ...) -> None: ...

class RawAudio(_message.Message):
    __slots__ = ("pcm16", "sampling_rate")
    PCM16_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_RATE_FIELD_NUMBER: _ClassVar[int]
    pcm16: bytes
    sampling_rate: int
    def __init__(self, pcm16: _Optional[bytes] = ..., sampling_rate: _Optional[int] = ...) -> None: ...

class SpeechRequest(_message.Message):
    __slots__ = ("options", "file", "raw")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    options: SpeechOptions
    file: bytes
    raw: RawAudio
    def __init__(self, options: _Optional[_Union[SpeechOptions, _Mapping]] = ..., file: _Optional[bytes] = ..., raw: _Optional[_Union[RawAudio, _Mapping]] = ...) -> None: ...

class SpeechStreamRequest(_message.Message):
    __slots__ = ("options", "raw")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    options: SpeechOptions
    raw: RawAudio
    def __init__(self, options: _Optional[_Union[SpeechOptions, _Mapping]] = ..., raw: _Optional[_Union[RawAudio, _Mapping]] = ...) -> None: ...

class SpeechSegment(_message.Message):
    __slots__ = ("start_s", "end_s", "text", "token_ids", "mean_logprob", "no_speech_probability")
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    MEAN_LOGPROB_FIELD_NUMBER: _ClassVar[int]
    NO_SPEECH_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    start_s: float
    end_s: float
    text: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    mean_logprob: float
    no_speech_probability: float
    def __init__(self, start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., text: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ..., mean_logprob: _Optional[float] = ..., no_speech_probability: _Optional[float] = ...) -> None: ...

class SpeechResponse(_message.Message):
    __slots__ = ("text", "segments", "language", "language_probability", "duration_s", "usage", "timings", "warnings", "receipt")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    text: str
    segments: _containers.RepeatedCompositeFieldContainer[SpeechSegment]
    language: str
    language_probability: float
    duration_s: float
    usage: _generation_pb2.Usage
    timings: _generation_pb2.Timings
    warnings: _containers.RepeatedScalarFieldContainer[str]
    receipt: _receipt_pb2.Receipt
    def __init__(self, text: _Optional[str] = ..., segments: _Optional[_Iterable[_Union[SpeechSegment, _Mapping]]] = ..., language: _Optional[str] = ..., language_probability: _Optional[float] = ..., duration_s: _Optional[float] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., timings: _Optional[_Union[_generation_pb2.Timings, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ...) -> None: ...

class SpeechStreamResponse(_message.Message):
    __slots__ = ("segment", "partial", "finish")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    segment: SpeechSegment
    partial: str
    finish: SpeechResponse
    def __init__(self, segment: _Optional[_Union[SpeechSegment, _Mapping]] = ..., partial: _Optional[str] = ..., finish: _Optional[_Union[SpeechResponse, _Mapping]] = ...) -> None: ...
