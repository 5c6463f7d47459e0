from attendant_proto.v1 import generation_pb2 as _generation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttentionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTENTION_KIND_UNSPECIFIED: _ClassVar[AttentionKind]
    ATTENTION_KIND_SELF: _ClassVar[AttentionKind]
    ATTENTION_KIND_ENCODER: _ClassVar[AttentionKind]
    ATTENTION_KIND_CROSS: _ClassVar[AttentionKind]

class AttentionReduction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTENTION_REDUCTION_NONE: _ClassVar[AttentionReduction]
    ATTENTION_REDUCTION_MEAN_HEADS: _ClassVar[AttentionReduction]
    ATTENTION_REDUCTION_MAX_HEADS: _ClassVar[AttentionReduction]
    ATTENTION_REDUCTION_MEAN: _ClassVar[AttentionReduction]
    ATTENTION_REDUCTION_MAX: _ClassVar[AttentionReduction]
    ATTENTION_REDUCTION_ROLLOUT: _ClassVar[AttentionReduction]

class AttributionMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTRIBUTION_METHOD_OCCLUSION: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_ROLLOUT: _ClassVar[AttributionMethod]

class AttributionUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTRIBUTION_UNIT_WORD: _ClassVar[AttributionUnit]
    ATTRIBUTION_UNIT_TOKEN: _ClassVar[AttributionUnit]
ATTENTION_KIND_UNSPECIFIED: AttentionKind
ATTENTION_KIND_SELF: AttentionKind
ATTENTION_KIND_ENCODER: AttentionKind
ATTENTION_KIND_CROSS: AttentionKind
ATTENTION_REDUCTION_NONE: AttentionReduction
ATTENTION_REDUCTION_MEAN_HEADS: AttentionReduction
ATTENTION_REDUCTION_MAX_HEADS: AttentionReduction
ATTENTION_REDUCTION_MEAN: AttentionReduction
ATTENTION_REDUCTION_MAX: AttentionReduction
ATTENTION_REDUCTION_ROLLOUT: AttentionReduction
ATTRIBUTION_METHOD_OCCLUSION: AttributionMethod
ATTRIBUTION_METHOD_ROLLOUT: AttributionMethod
ATTRIBUTION_UNIT_WORD: AttributionUnit
ATTRIBUTION_UNIT_TOKEN: AttributionUnit

class Subject(_message.Message):
    __slots__ = ("text", "token_ids", "chat", "image", "audio", "second_text", "no_special_tokens", "translation")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    SECOND_TEXT_FIELD_NUMBER: _ClassVar[int]
    NO_SPECIAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TRANSLATION_FIELD_NUMBER: _ClassVar[int]
    text: str
    token_ids: _generation_pb2.TokenIds
    chat: _generation_pb2.Chat
    image: bytes
    audio: bytes
    second_text: str
    no_special_tokens: bool
    translation: _generation_pb2.Translation
    def __init__(self, text: _Optional[str] = ..., token_ids: _Optional[_Union[_generation_pb2.TokenIds, _Mapping]] = ..., chat: _Optional[_Union[_generation_pb2.Chat, _Mapping]] = ..., image: _Optional[bytes] = ..., audio: _Optional[bytes] = ..., second_text: _Optional[str] = ..., no_special_tokens: _Optional[bool] = ..., translation: _Optional[_Union[_generation_pb2.Translation, _Mapping]] = ...) -> None: ...

class ExplainedAnswer(_message.Message):
    __slots__ = ("text", "token_ids", "max_tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: str
    token_ids: _generation_pb2.TokenIds
    max_tokens: int
    def __init__(self, text: _Optional[str] = ..., token_ids: _Optional[_Union[_generation_pb2.TokenIds, _Mapping]] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class AttentionRequest(_message.Message):
    __slots__ = ("model", "subject", "answer", "kind", "layers", "heads", "reduction", "first_query", "num_queries", "answer_only", "without_sink")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    FIRST_QUERY_FIELD_NUMBER: _ClassVar[int]
    NUM_QUERIES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ONLY_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_SINK_FIELD_NUMBER: _ClassVar[int]
    model: str
    subject: Subject
    answer: ExplainedAnswer
    kind: AttentionKind
    layers: _containers.RepeatedScalarFieldContainer[int]
    heads: _containers.RepeatedScalarFieldContainer[int]
    reduction: AttentionReduction
    first_query: int
    num_queries: int
    answer_only: bool
    without_sink: bool
    def __init__(self, model: _Optional[str] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ..., answer: _Optional[_Union[ExplainedAnswer, _Mapping]] = ..., kind: _Optional[_Union[AttentionKind, str]] = ..., layers: _Optional[_Iterable[int]] = ..., heads: _Optional[_Iterable[int]] = ..., reduction: _Optional[_Union[AttentionReduction, str]] = ..., first_query: _Optional[int] = ..., num_queries: _Optional[int] = ..., answer_only: _Optional[bool] = ..., without_sink: _Optional[bool] = ...) -> None: ...

class AttentionResponse(_message.Message):
    __slots__ = ("header", "weights", "end")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    header: AttentionHeader
    weights: AttentionWeights
    end: AttentionEnd
    def __init__(self, header: _Optional[_Union[AttentionHeader, _Mapping]] = ..., weights: _Optional[_Union[AttentionWeights, _Mapping]] = ..., end: _Optional[_Union[AttentionEnd, _Mapping]] = ...) -> None: ...

class ExplainedToken(_message.Message):
    __slots__ = ("id", "text", "start", "end", "special")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SPECIAL_FIELD_NUMBER: _ClassVar[int]
    id: int
    text: str
    start: int
    end: int
    special: bool
    def __init__(self, id: _Optional[int] = ..., text: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., special: _Optional[bool] = ...) -> None: ...

class AttentionHeader(_message.Message):
    __slots__ = ("model", "kind", "num_layers", "num_heads", "queries", "keys", "first_query", "num_prompt_tokens", "answer", "answer_ids", "answer_tokens", "grid", "frame_s", "source")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    FIRST_QUERY_FIELD_NUMBER: _ClassVar[int]
    NUM_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ANSWER_IDS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    FRAME_S_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    kind: AttentionKind
    num_layers: int
    num_heads: int
    queries: _containers.RepeatedCompositeFieldContainer[ExplainedToken]
    keys: _containers.RepeatedCompositeFieldContainer[ExplainedToken]
    first_query: int
    num_prompt_tokens: int
    answer: str
    answer_ids: _containers.RepeatedScalarFieldContainer[int]
    answer_tokens: _containers.RepeatedScalarFieldContainer[str]
    grid: Grid
    frame_s: float
    source: str
    def __init__(self, model: _Optional[str] = ..., kind: _Optional[_Union[AttentionKind, str]] = ..., num_layers: _Optional[int] = ..., num_heads: _Optional[int] = ..., queries: _Optional[_Iterable[_Union[ExplainedToken, _Mapping]]] = ..., keys: _Optional[_Iterable[_Union[ExplainedToken, _Mapping]]] = ..., first_query: _Optional[int] = ..., num_prompt_tokens: _Optional[int] = ..., answer: _Optional[str] = ..., answer_ids: _Optional[_Iterable[int]] = ..., answer_tokens: _Optional[_Iterable[str]] = ..., grid: _Optional[_Union[Grid, _Mapping]] = ..., frame_s: _Optional[float] = ..., source: _Optional[str] = ...) -> None: ...

class Grid(_message.Message):
    __slots__ = ("rows", "columns", "num_prefix")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    NUM_PREFIX_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    num_prefix: int
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ..., num_prefix: _Optional[int] = ...) -> None: ...

class AttentionWeights(_message.Message):
    __slots__ = ("layer", "heads", "data", "first_query")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FIRST_QUERY_FIELD_NUMBER: _ClassVar[int]
    layer: int
    heads: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    first_query: int
    def __init__(self, layer: _Optional[int] = ..., heads: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ..., first_query: _Optional[int] = ...) -> None: ...

class AttentionEnd(_message.Message):
    __slots__ = ("queue_s", "run_s", "total_s")
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    RUN_S_FIELD_NUMBER: _ClassVar[int]
    TOTAL_S_FIELD_NUMBER: _ClassVar[int]
    queue_s: float
    run_s: float
    total_s: float
    def __init__(self, queue_s: _Optional[float] = ..., run_s: _Optional[float] = ..., total_s: _Optional[float] = ...) -> None: ...

class CharacterSpan(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class AttributeRequest(_message.Message):
    __slots__ = ("model", "subject", "answer", "label", "method", "unit", "spans", "mask")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    model: str
    subject: Subject
    answer: ExplainedAnswer
    label: str
    method: AttributionMethod
    unit: AttributionUnit
    spans: _containers.RepeatedCompositeFieldContainer[CharacterSpan]
    mask: bool
    def __init__(self, model: _Optional[str] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ..., answer: _Optional[_Union[ExplainedAnswer, _Mapping]] = ..., label: _Optional[str] = ..., method: _Optional[_Union[AttributionMethod, str]] = ..., unit: _Optional[_Union[AttributionUnit, str]] = ..., spans: _Optional[_Iterable[_Union[CharacterSpan, _Mapping]]] = ..., mask: _Optional[bool] = ...) -> None: ...

class AttributedPart(_message.Message):
    __slots__ = ("text", "start", "end", "weight", "token_weights")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    start: int
    end: int
    weight: float
    token_weights: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, text: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., weight: _Optional[float] = ..., token_weights: _Optional[_Iterable[float]] = ...) -> None: ...

class AttributeResponse(_message.Message):
    __slots__ = ("model", "parts", "logprob", "answer", "answer_ids", "answer_tokens", "timings")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ANSWER_IDS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    model: str
    parts: _containers.RepeatedCompositeFieldContainer[AttributedPart]
    logprob: float
    answer: str
    answer_ids: _containers.RepeatedScalarFieldContainer[int]
    answer_tokens: _containers.RepeatedScalarFieldContainer[str]
    timings: _generation_pb2.Timings
    def __init__(self, model: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[AttributedPart, _Mapping]]] = ..., logprob: _Optional[float] = ..., answer: _Optional[str] = ..., answer_ids: _Optional[_Iterable[int]] = ..., answer_tokens: _Optional[_Iterable[str]] = ..., timings: _Optional[_Union[_generation_pb2.Timings, _Mapping]] = ...) -> None: ...

class WordInContext(_message.Message):
    __slots__ = ("text", "word", "occurrence")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    OCCURRENCE_FIELD_NUMBER: _ClassVar[int]
    text: str
    word: str
    occurrence: int
    def __init__(self, text: _Optional[str] = ..., word: _Optional[str] = ..., occurrence: _Optional[int] = ...) -> None: ...

class SimilarityRequest(_message.Message):
    __slots__ = ("model", "contexts")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTEXTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    contexts: _containers.RepeatedCompositeFieldContainer[WordInContext]
    def __init__(self, model: _Optional[str] = ..., contexts: _Optional[_Iterable[_Union[WordInContext, _Mapping]]] = ...) -> None: ...

class SimilarityResponse(_message.Message):
    __slots__ = ("model", "words", "cosines", "timings")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    COSINES_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    model: str
    words: _containers.RepeatedCompositeFieldContainer[SimilarityTokens]
    cosines: _containers.RepeatedScalarFieldContainer[float]
    timings: AttentionEnd
    def __init__(self, model: _Optional[str] = ..., words: _Optional[_Iterable[_Union[SimilarityTokens, _Mapping]]] = ..., cosines: _Optional[_Iterable[float]] = ..., timings: _Optional[_Union[AttentionEnd, _Mapping]] = ...) -> None: ...

class SimilarityTokens(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[ExplainedToken]
    def __init__(self, tokens: _Optional[_Iterable[_Union[ExplainedToken, _Mapping]]] = ...) -> None: ...
