from attendant_proto.v1 import generation_pb2 as _generation_pb2
from attendant_proto.v1 import receipt_pb2 as _receipt_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Aggregation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGGREGATION_UNSPECIFIED: _ClassVar[Aggregation]
    AGGREGATION_NONE: _ClassVar[Aggregation]
    AGGREGATION_SIMPLE: _ClassVar[Aggregation]
    AGGREGATION_FIRST: _ClassVar[Aggregation]
    AGGREGATION_AVERAGE: _ClassVar[Aggregation]
    AGGREGATION_MAX: _ClassVar[Aggregation]
AGGREGATION_UNSPECIFIED: Aggregation
AGGREGATION_NONE: Aggregation
AGGREGATION_SIMPLE: Aggregation
AGGREGATION_FIRST: Aggregation
AGGREGATION_AVERAGE: Aggregation
AGGREGATION_MAX: Aggregation

class EncodingRequest(_message.Message):
    __slots__ = ("id", "embed", "classify", "classify_tokens", "answer", "rerank", "fill_mask", "classify_image", "embed_image", "transcribe", "classify_audio")
    ID_FIELD_NUMBER: _ClassVar[int]
    EMBED_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    FILL_MASK_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_IMAGE_FIELD_NUMBER: _ClassVar[int]
    EMBED_IMAGE_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIBE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_AUDIO_FIELD_NUMBER: _ClassVar[int]
    id: str
    embed: EmbedRequest
    classify: ClassifyRequest
    classify_tokens: ClassifyTokensRequest
    answer: AnswerRequest
    rerank: RerankRequest
    fill_mask: FillMaskRequest
    classify_image: ClassifyImageRequest
    embed_image: EmbedImageRequest
    transcribe: TranscribeRequest
    classify_audio: ClassifyAudioRequest
    def __init__(self, id: _Optional[str] = ..., embed: _Optional[_Union[EmbedRequest, _Mapping]] = ..., classify: _Optional[_Union[ClassifyRequest, _Mapping]] = ..., classify_tokens: _Optional[_Union[ClassifyTokensRequest, _Mapping]] = ..., answer: _Optional[_Union[AnswerRequest, _Mapping]] = ..., rerank: _Optional[_Union[RerankRequest, _Mapping]] = ..., fill_mask: _Optional[_Union[FillMaskRequest, _Mapping]] = ..., classify_image: _Optional[_Union[ClassifyImageRequest, _Mapping]] = ..., embed_image: _Optional[_Union[EmbedImageRequest, _Mapping]] = ..., transcribe: _Optional[_Union[TranscribeRequest, _Mapping]] = ..., classify_audio: _Optional[_Union[ClassifyAudioRequest, _Mapping]] = ...) -> None: ...

class EncodingResponse(_message.Message):
    __slots__ = ("id", "error", "embed", "classify", "classify_tokens", "answer", "rerank", "fill_mask", "transcribe")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EMBED_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    FILL_MASK_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIBE_FIELD_NUMBER: _ClassVar[int]
    id: str
    error: CallError
    embed: EmbedResponse
    classify: ClassifyResponse
    classify_tokens: ClassifyTokensResponse
    answer: AnswerResponse
    rerank: RerankResponse
    fill_mask: FillMaskResponse
    transcribe: TranscribeResponse
    def __init__(self, id: _Optional[str] = ..., error: _Optional[_Union[CallError, _Mapping]] = ..., embed: _Optional[_Union[EmbedResponse, _Mapping]] = ..., classify: _Optional[_Union[ClassifyResponse, _Mapping]] = ..., classify_tokens: _Optional[_Union[ClassifyTokensResponse, _Mapping]] = ..., answer: _Optional[_Union[AnswerResponse, _Mapping]] = ..., rerank: _Optional[_Union[RerankResponse, _Mapping]] = ..., fill_mask: _Optional[_Union[FillMaskResponse, _Mapping]] = ..., transcribe: _Optional[_Union[TranscribeResponse, _Mapping]] = ...) -> None: ...

class CallError(_message.Message):
    __slots__ = ("code", "message", "field", "retry_after_s")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    field: str
    retry_after_s: float
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class TextInput(_message.Message):
    __slots__ = ("text", "token_ids", "pair")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    PAIR_FIELD_NUMBER: _ClassVar[int]
    text: str
    token_ids: _generation_pb2.TokenIds
    pair: str
    def __init__(self, text: _Optional[str] = ..., token_ids: _Optional[_Union[_generation_pb2.TokenIds, _Mapping]] = ..., pair: _Optional[str] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class EncodingUsage(_message.Message):
    __slots__ = ("num_tokens", "num_truncated", "queue_s", "preprocess_s", "compute_s", "total_s", "steps")
    NUM_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_S_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    TOTAL_S_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    num_tokens: int
    num_truncated: int
    queue_s: float
    preprocess_s: float
    compute_s: float
    total_s: float
    steps: _containers.RepeatedCompositeFieldContainer[_generation_pb2.StepTime]
    def __init__(self, num_tokens: _Optional[int] = ..., num_truncated: _Optional[int] = ..., queue_s: _Optional[float] = ..., preprocess_s: _Optional[float] = ..., compute_s: _Optional[float] = ..., total_s: _Optional[float] = ..., steps: _Optional[_Iterable[_Union[_generation_pb2.StepTime, _Mapping]]] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("model", "inputs", "truncate", "dimensions", "normalize", "per_token", "prompt", "no_prompt", "receipt", "truncate_left")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    PER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NO_PROMPT_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_LEFT_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedCompositeFieldContainer[TextInput]
    truncate: bool
    dimensions: int
    normalize: bool
    per_token: bool
    prompt: str
    no_prompt: bool
    receipt: bool
    truncate_left: bool
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[TextInput, _Mapping]]] = ..., truncate: _Optional[bool] = ..., dimensions: _Optional[int] = ..., normalize: _Optional[bool] = ..., per_token: _Optional[bool] = ..., prompt: _Optional[str] = ..., no_prompt: _Optional[bool] = ..., receipt: _Optional[bool] = ..., truncate_left: _Optional[bool] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("embeddings", "usage", "receipt")
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    usage: EncodingUsage
    receipt: _receipt_pb2.Receipt
    def __init__(self, embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., usage: _Optional[_Union[EncodingUsage, _Mapping]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("values", "tokens")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    tokens: _containers.RepeatedCompositeFieldContainer[TokenEmbedding]
    def __init__(self, values: _Optional[_Iterable[float]] = ..., tokens: _Optional[_Iterable[_Union[TokenEmbedding, _Mapping]]] = ...) -> None: ...

class TokenEmbedding(_message.Message):
    __slots__ = ("token_id", "span", "values")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    token_id: int
    span: Span
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, token_id: _Optional[int] = ..., span: _Optional[_Union[Span, _Mapping]] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("model", "inputs", "truncate", "top_k", "raw_scores", "receipt", "truncate_left")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    RAW_SCORES_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_LEFT_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedCompositeFieldContainer[TextInput]
    truncate: bool
    top_k: int
    raw_scores: bool
    receipt: bool
    truncate_left: bool
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[TextInput, _Mapping]]] = ..., truncate: _Optional[bool] = ..., top_k: _Optional[int] = ..., raw_scores: _Optional[bool] = ..., receipt: _Optional[bool] = ..., truncate_left: _Optional[bool] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("results", "usage", "receipt")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Classification]
    usage: EncodingUsage
    receipt: _receipt_pb2.Receipt
    def __init__(self, results: _Optional[_Iterable[_Union[Classification, _Mapping]]] = ..., usage: _Optional[_Union[EncodingUsage, _Mapping]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("labels",)
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("label", "score", "index")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    label: str
    score: float
    index: int
    def __init__(self, label: _Optional[str] = ..., score: _Optional[float] = ..., index: _Optional[int] = ...) -> None: ...

class ClassifyTokensRequest(_message.Message):
    __slots__ = ("model", "texts", "truncate", "aggregation", "stride", "keep_outside", "receipt")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    AGGREGATION_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    KEEP_OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    model: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    truncate: bool
    aggregation: Aggregation
    stride: int
    keep_outside: bool
    receipt: bool
    def __init__(self, model: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., truncate: _Optional[bool] = ..., aggregation: _Optional[_Union[Aggregation, str]] = ..., stride: _Optional[int] = ..., keep_outside: _Optional[bool] = ..., receipt: _Optional[bool] = ...) -> None: ...

class ClassifyTokensResponse(_message.Message):
    __slots__ = ("results", "usage", "receipt")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[TokenClassification]
    usage: EncodingUsage
    receipt: _receipt_pb2.Receipt
    def __init__(self, results: _Optional[_Iterable[_Union[TokenClassification, _Mapping]]] = ..., usage: _Optional[_Union[EncodingUsage, _Mapping]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ...) -> None: ...

class TokenClassification(_message.Message):
    __slots__ = ("entities",)
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    def __init__(self, entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("label", "score", "span", "text")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    label: str
    score: float
    span: Span
    text: str
    def __init__(self, label: _Optional[str] = ..., score: _Optional[float] = ..., span: _Optional[_Union[Span, _Mapping]] = ..., text: _Optional[str] = ...) -> None: ...

class AnswerRequest(_message.Message):
    __slots__ = ("model", "inputs", "top_k", "max_answer_tokens", "stride", "truncate", "allow_no_answer", "receipt")
    class Input(_message.Message):
        __slots__ = ("question", "context")
        QUESTION_FIELD_NUMBER: _ClassVar[int]
        CONTEXT_FIELD_NUMBER: _ClassVar[int]
        question: str
        context: str
        def __init__(self, question: _Optional[str] = ..., context: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MAX_ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_NO_ANSWER_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedCompositeFieldContainer[AnswerRequest.Input]
    top_k: int
    max_answer_tokens: int
    stride: int
    truncate: bool
    allow_no_answer: bool
    receipt: bool
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[AnswerRequest.Input, _Mapping]]] = ..., top_k: _Optional[int] = ..., max_answer_tokens: _Optional[int] = ..., stride: _Optional[int] = ..., truncate: _Optional[bool] = ..., allow_no_answer: _Optional[bool] = ..., receipt: _Optional[bool] = ...) -> None: ...

class AnswerResponse(_message.Message):
    __slots__ = ("results", "usage", "receipt")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Answers]
    usage: EncodingUsage
    receipt: _receipt_pb2.Receipt
    def __init__(self, results: _Optional[_Iterable[_Union[Answers, _Mapping]]] = ..., usage: _Optional[_Union[EncodingUsage, _Mapping]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ...) -> None: ...

class Answers(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[Answer]
    def __init__(self, answers: _Optional[_Iterable[_Union[Answer, _Mapping]]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("text", "score", "span")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    text: str
    score: float
    span: Span
    def __init__(self, text: _Optional[str] = ..., score: _Optional[float] = ..., span: _Optional[_Union[Span, _Mapping]] = ...) -> None: ...

class RerankRequest(_message.Message):
    __slots__ = ("model", "query", "documents", "truncate", "top_k", "return_documents", "raw_scores", "receipt", "truncate_left")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    RETURN_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    RAW_SCORES_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_LEFT_FIELD_NUMBER: _ClassVar[int]
    model: str
    query: str
    documents: _containers.RepeatedScalarFieldContainer[str]
    truncate: bool
    top_k: int
    return_documents: bool
    raw_scores: bool
    receipt: bool
    truncate_left: bool
    def __init__(self, model: _Optional[str] = ..., query: _Optional[str] = ..., documents: _Optional[_Iterable[str]] = ..., truncate: _Optional[bool] = ..., top_k: _Optional[int] = ..., return_documents: _Optional[bool] = ..., raw_scores: _Optional[bool] = ..., receipt: _Optional[bool] = ..., truncate_left: _Optional[bool] = ...) -> None: ...

class RerankResponse(_message.Message):
    __slots__ = ("results", "usage", "receipt")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RankedDocument]
    usage: EncodingUsage
    receipt: _receipt_pb2.Receipt
    def __init__(self, results: _Optional[_Iterable[_Union[RankedDocument, _Mapping]]] = ..., usage: _Optional[_Union[EncodingUsage, _Mapping]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ...) -> None: ...

class RankedDocument(_message.Message):
    __slots__ = ("index", "score", "document")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    index: int
    score: float
    document: str
    def __init__(self, index: _Optional[int] = ..., score: _Optional[float] = ..., document: _Optional[str] = ...) -> None: ...

class FillMaskRequest(_message.Message):
    __slots__ = ("model", "texts", "truncate", "top_k", "receipt")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    model: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    truncate: bool
    top_k: int
    receipt: bool
    def __init__(self, model: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., truncate: _Optional[bool] = ..., top_k: _Optional[int] = ..., receipt: _Optional[bool] = ...) -> None: ...

class FillMaskResponse(_message.Message):
    __slots__ = ("results", "usage", "receipt")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[FilledText]
    usage: EncodingUsage
    receipt: _receipt_pb2.Receipt
    def __init__(self, results: _Optional[_Iterable[_Union[FilledText, _Mapping]]] = ..., usage: _Optional[_Union[EncodingUsage, _Mapping]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ...) -> None: ...

class FilledText(_message.Message):
    __slots__ = ("masks",)
    MASKS_FIELD_NUMBER: _ClassVar[int]
    masks: _containers.RepeatedCompositeFieldContainer[FilledMask]
    def __init__(self, masks: _Optional[_Iterable[_Union[FilledMask, _Mapping]]] = ...) -> None: ...

class FilledMask(_message.Message):
    __slots__ = ("span", "fills")
    SPAN_FIELD_NUMBER: _ClassVar[int]
    FILLS_FIELD_NUMBER: _ClassVar[int]
    span: Span
    fills: _containers.RepeatedCompositeFieldContainer[Fill]
    def __init__(self, span: _Optional[_Union[Span, _Mapping]] = ..., fills: _Optional[_Iterable[_Union[Fill, _Mapping]]] = ...) -> None: ...

class Fill(_message.Message):
    __slots__ = ("token_id", "token", "score", "text")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    token_id: int
    token: str
    score: float
    text: str
    def __init__(self, token_id: _Optional[int] = ..., token: _Optional[str] = ..., score: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class ClassifyImageRequest(_message.Message):
    __slots__ = ("model", "images", "top_k", "raw_scores", "receipt")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    RAW_SCORES_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    model: str
    images: _containers.RepeatedScalarFieldContainer[bytes]
    top_k: int
    raw_scores: bool
    receipt: bool
    def __init__(self, model: _Optional[str] = ..., images: _Optional[_Iterable[bytes]] = ..., top_k: _Optional[int] = ..., raw_scores: _Optional[bool] = ..., receipt: _Optional[bool] = ...) -> None: ...

class EmbedImageRequest(_message.Message):
    __slots__ = ("model", "images", "dimensions", "normalize", "receipt")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    model: str
    images: _containers.RepeatedScalarFieldContainer[bytes]
    dimensions: int
    normalize: bool
    receipt: bool
    def __init__(self, model: _Optional[str] = ..., images: _Optional[_Iterable[bytes]] = ..., dimensions: _Optional[int] = ..., normalize: _Optional[bool] = ..., receipt: _Optional[bool] = ...) -> None: ...

class AudioInput(_message.Message):
    __slots__ = ("wav", "samples", "sampling_rate")
    WAV_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_RATE_FIELD_NUMBER: _ClassVar[int]
    wav: bytes
    samples: bytes
    sampling_rate: int
    def __init__(self, wav: _Optional[bytes] = ..., samples: _Optional[bytes] = ..., sampling_rate: _Optional[int] = ...) -> None: ...

class ClassifyAudioRequest(_message.Message):
    __slots__ = ("model", "inputs", "truncate", "top_k", "raw_scores", "receipt")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    RAW_SCORES_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedCompositeFieldContainer[AudioInput]
    truncate: bool
    top_k: int
    raw_scores: bool
    receipt: bool
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[AudioInput, _Mapping]]] = ..., truncate: _Optional[bool] = ..., top_k: _Optional[int] = ..., raw_scores: _Optional[bool] = ..., receipt: _Optional[bool] = ...) -> None: ...

class TranscribeRequest(_message.Message):
    __slots__ = ("model", "inputs", "receipt")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedCompositeFieldContainer[AudioInput]
    receipt: bool
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[AudioInput, _Mapping]]] = ..., receipt: _Optional[bool] = ...) -> None: ...

class TranscribeResponse(_message.Message):
    __slots__ = ("results", "usage", "receipt")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Transcript]
    usage: EncodingUsage
    receipt: _receipt_pb2.Receipt
    def __init__(self, results: _Optional[_Iterable[_Union[Transcript, _Mapping]]] = ..., usage: _Optional[_Union[EncodingUsage, _Mapping]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ...) -> None: ...

class Transcript(_message.Message):
    __slots__ = ("text", "words", "warnings")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    text: str
    words: _containers.RepeatedCompositeFieldContainer[Word]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, text: _Optional[str] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("text", "start_s", "end_s")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    text: str
    start_s: float
    end_s: float
    def __init__(self, text: _Optional[str] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ...) -> None: ...
