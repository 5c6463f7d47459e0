from attendant_proto.v1 import generation_pb2 as _generation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STATE_UNSPECIFIED: _ClassVar[ModelState]
    MODEL_STATE_READY: _ClassVar[ModelState]
    MODEL_STATE_FAILED: _ClassVar[ModelState]
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_READY: ModelState
MODEL_STATE_FAILED: ModelState

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "architecture", "task", "precision", "target", "context_length", "vocab_size", "has_chat_template", "ready", "default_sampling", "default_max_tokens", "source", "parity", "max_running", "max_requests", "labels", "dimensions", "languages", "max_source_tokens", "default_num_beams", "speech", "recipe", "state", "cause", "prompts", "default_prompt", "default_dimensions", "chat_templates")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    HAS_CHAT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_SAMPLING_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PARITY_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_SOURCE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_NUM_BEAMS_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_PROMPT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    CHAT_TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    architecture: str
    task: str
    precision: str
    target: str
    context_length: int
    vocab_size: int
    has_chat_template: bool
    ready: bool
    default_sampling: _generation_pb2.Sampling
    default_max_tokens: int
    source: str
    parity: Parity
    max_running: int
    max_requests: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    dimensions: int
    languages: _containers.RepeatedScalarFieldContainer[str]
    max_source_tokens: int
    default_num_beams: int
    speech: bool
    recipe: _containers.RepeatedScalarFieldContainer[str]
    state: ModelState
    cause: str
    prompts: _containers.RepeatedScalarFieldContainer[str]
    default_prompt: str
    default_dimensions: int
    chat_templates: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., architecture: _Optional[str] = ..., task: _Optional[str] = ..., precision: _Optional[str] = ..., target: _Optional[str] = ..., context_length: _Optional[int] = ..., vocab_size: _Optional[int] = ..., has_chat_template: _Optional[bool] = ..., ready: _Optional[bool] = ..., default_sampling: _Optional[_Union[_generation_pb2.Sampling, _Mapping]] = ..., default_max_tokens: _Optional[int] = ..., source: _Optional[str] = ..., parity: _Optional[_Union[Parity, _Mapping]] = ..., max_running: _Optional[int] = ..., max_requests: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., dimensions: _Optional[int] = ..., languages: _Optional[_Iterable[str]] = ..., max_source_tokens: _Optional[int] = ..., default_num_beams: _Optional[int] = ..., speech: _Optional[bool] = ..., recipe: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[ModelState, str]] = ..., cause: _Optional[str] = ..., prompts: _Optional[_Iterable[str]] = ..., default_prompt: _Optional[str] = ..., default_dimensions: _Optional[int] = ..., chat_templates: _Optional[_Iterable[str]] = ...) -> None: ...

class Parity(_message.Message):
    __slots__ = ("max_abs_error", "cosine", "greedy_agreement", "fidelity", "vectors")
    MAX_ABS_ERROR_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    GREEDY_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    max_abs_error: float
    cosine: float
    greedy_agreement: float
    fidelity: Fidelity
    vectors: VectorFidelity
    def __init__(self, max_abs_error: _Optional[float] = ..., cosine: _Optional[float] = ..., greedy_agreement: _Optional[float] = ..., fidelity: _Optional[_Union[Fidelity, _Mapping]] = ..., vectors: _Optional[_Union[VectorFidelity, _Mapping]] = ...) -> None: ...

class Fidelity(_message.Message):
    __slots__ = ("trained", "entropy", "prompt", "decode")
    TRAINED_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    DECODE_FIELD_NUMBER: _ClassVar[int]
    trained: bool
    entropy: float
    prompt: Distance
    decode: Distance
    def __init__(self, trained: _Optional[bool] = ..., entropy: _Optional[float] = ..., prompt: _Optional[_Union[Distance, _Mapping]] = ..., decode: _Optional[_Union[Distance, _Mapping]] = ...) -> None: ...

class Distance(_message.Message):
    __slots__ = ("positions", "nll", "reference_nll", "kl", "greedy_agreement")
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    NLL_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_NLL_FIELD_NUMBER: _ClassVar[int]
    KL_FIELD_NUMBER: _ClassVar[int]
    GREEDY_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    positions: int
    nll: float
    reference_nll: float
    kl: float
    greedy_agreement: float
    def __init__(self, positions: _Optional[int] = ..., nll: _Optional[float] = ..., reference_nll: _Optional[float] = ..., kl: _Optional[float] = ..., greedy_agreement: _Optional[float] = ...) -> None: ...

class VectorFidelity(_message.Message):
    __slots__ = ("vectors", "cosine", "least_cosine")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    LEAST_COSINE_FIELD_NUMBER: _ClassVar[int]
    vectors: int
    cosine: float
    least_cosine: float
    def __init__(self, vectors: _Optional[int] = ..., cosine: _Optional[float] = ..., least_cosine: _Optional[float] = ...) -> None: ...

class TokenizeRequest(_message.Message):
    __slots__ = ("model", "text", "chat", "no_special_tokens")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    NO_SPECIAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: str
    chat: _generation_pb2.Chat
    no_special_tokens: bool
    def __init__(self, model: _Optional[str] = ..., text: _Optional[str] = ..., chat: _Optional[_Union[_generation_pb2.Chat, _Mapping]] = ..., no_special_tokens: _Optional[bool] = ...) -> None: ...

class TokenizeResponse(_message.Message):
    __slots__ = ("token_ids", "tokens")
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, token_ids: _Optional[_Iterable[int]] = ..., tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class DetokenizeRequest(_message.Message):
    __slots__ = ("model", "token_ids", "keep_special_tokens")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    KEEP_SPECIAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    model: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    keep_special_tokens: bool
    def __init__(self, model: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ..., keep_special_tokens: _Optional[bool] = ...) -> None: ...

class DetokenizeResponse(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...
