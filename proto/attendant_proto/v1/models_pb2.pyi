from attendant_proto.v1 import explain_pb2 as _explain_pb2
from attendant_proto.v1 import generation_pb2 as _generation_pb2
from attendant_proto.v1 import receipt_pb2 as _receipt_pb2
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
    MODEL_STATE_LOADING: _ClassVar[ModelState]
    MODEL_STATE_DRAINING: _ClassVar[ModelState]
    MODEL_STATE_UNLOADED: _ClassVar[ModelState]
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_READY: ModelState
MODEL_STATE_FAILED: ModelState
MODEL_STATE_LOADING: ModelState
MODEL_STATE_DRAINING: ModelState
MODEL_STATE_UNLOADED: ModelState

class LoadRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class LoadResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    def __init__(self, versions: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ...) -> None: ...

class UnloadRequest(_message.Message):
    __slots__ = ("model", "version", "drain_timeout_s")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    drain_timeout_s: float
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., drain_timeout_s: _Optional[float] = ...) -> None: ...

class UnloadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IndexRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IndexResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    def __init__(self, versions: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("model", "version", "state", "cause", "current")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    state: ModelState
    cause: str
    current: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., state: _Optional[_Union[ModelState, str]] = ..., cause: _Optional[str] = ..., current: _Optional[bool] = ...) -> None: ...

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
    __slots__ = ("name", "version", "capabilities", "state", "cause", "current", "bundle", "generation", "encodings", "recognition", "attention", "maker", "route", "architecture", "task", "precision", "target", "context_length", "vocab_size", "has_chat_template", "ready", "default_sampling", "default_max_tokens", "source", "parity", "max_running", "max_requests", "labels", "dimensions", "languages", "max_source_tokens", "default_num_beams", "speech", "recipe", "prompts", "default_prompt", "default_dimensions", "chat_templates", "default_stop", "default_min_length", "default_max_length", "warnings")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ENCODINGS_FIELD_NUMBER: _ClassVar[int]
    RECOGNITION_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
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
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_PROMPT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    CHAT_TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_STOP_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MIN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    state: ModelState
    cause: str
    current: bool
    bundle: BundleInfo
    generation: GenerationInfo
    encodings: _containers.RepeatedCompositeFieldContainer[EncodingInfo]
    recognition: SpeechInfo
    attention: AttentionInfo
    maker: _receipt_pb2.Maker
    route: RouteInfo
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
    prompts: _containers.RepeatedScalarFieldContainer[str]
    default_prompt: str
    default_dimensions: int
    chat_templates: _containers.RepeatedScalarFieldContainer[str]
    default_stop: _containers.RepeatedScalarFieldContainer[str]
    default_min_length: int
    default_max_length: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[ModelState, str]] = ..., cause: _Optional[str] = ..., current: _Optional[bool] = ..., bundle: _Optional[_Union[BundleInfo, _Mapping]] = ..., generation: _Optional[_Union[GenerationInfo, _Mapping]] = ..., encodings: _Optional[_Iterable[_Union[EncodingInfo, _Mapping]]] = ..., recognition: _Optional[_Union[SpeechInfo, _Mapping]] = ..., attention: _Optional[_Union[AttentionInfo, _Mapping]] = ..., maker: _Optional[_Union[_receipt_pb2.Maker, _Mapping]] = ..., route: _Optional[_Union[RouteInfo, _Mapping]] = ..., architecture: _Optional[str] = ..., task: _Optional[str] = ..., precision: _Optional[str] = ..., target: _Optional[str] = ..., context_length: _Optional[int] = ..., vocab_size: _Optional[int] = ..., has_chat_template: _Optional[bool] = ..., ready: _Optional[bool] = ..., default_sampling: _Optional[_Union[_generation_pb2.Sampling, _Mapping]] = ..., default_max_tokens: _Optional[int] = ..., source: _Optional[str] = ..., parity: _Optional[_Union[Parity, _Mapping]] = ..., max_running: _Optional[int] = ..., max_requests: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., dimensions: _Optional[int] = ..., languages: _Optional[_Iterable[str]] = ..., max_source_tokens: _Optional[int] = ..., default_num_beams: _Optional[int] = ..., speech: _Optional[bool] = ..., recipe: _Optional[_Iterable[str]] = ..., prompts: _Optional[_Iterable[str]] = ..., default_prompt: _Optional[str] = ..., default_dimensions: _Optional[int] = ..., chat_templates: _Optional[_Iterable[str]] = ..., default_stop: _Optional[_Iterable[str]] = ..., default_min_length: _Optional[int] = ..., default_max_length: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class RouteInfo(_message.Message):
    __slots__ = ("kind", "targets")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    targets: _containers.RepeatedCompositeFieldContainer[RouteTarget]
    def __init__(self, kind: _Optional[str] = ..., targets: _Optional[_Iterable[_Union[RouteTarget, _Mapping]]] = ...) -> None: ...

class RouteTarget(_message.Message):
    __slots__ = ("model", "role", "weight", "step", "ready", "cause")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    model: str
    role: str
    weight: float
    step: str
    ready: bool
    cause: str
    def __init__(self, model: _Optional[str] = ..., role: _Optional[str] = ..., weight: _Optional[float] = ..., step: _Optional[str] = ..., ready: _Optional[bool] = ..., cause: _Optional[str] = ...) -> None: ...

class AttentionInfo(_message.Message):
    __slots__ = ("source", "kinds", "max_abs_error", "grid", "frame_s")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    MAX_ABS_ERROR_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    FRAME_S_FIELD_NUMBER: _ClassVar[int]
    source: str
    kinds: _containers.RepeatedCompositeFieldContainer[AttentionLayers]
    max_abs_error: float
    grid: _explain_pb2.Grid
    frame_s: float
    def __init__(self, source: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[AttentionLayers, _Mapping]]] = ..., max_abs_error: _Optional[float] = ..., grid: _Optional[_Union[_explain_pb2.Grid, _Mapping]] = ..., frame_s: _Optional[float] = ...) -> None: ...

class AttentionLayers(_message.Message):
    __slots__ = ("kind", "num_layers", "num_heads")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    kind: _explain_pb2.AttentionKind
    num_layers: int
    num_heads: int
    def __init__(self, kind: _Optional[_Union[_explain_pb2.AttentionKind, str]] = ..., num_layers: _Optional[int] = ..., num_heads: _Optional[int] = ...) -> None: ...

class BundleInfo(_message.Message):
    __slots__ = ("architecture", "precision", "target", "source", "recipe", "warnings", "parity")
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PARITY_FIELD_NUMBER: _ClassVar[int]
    architecture: str
    precision: str
    target: str
    source: str
    recipe: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    parity: Parity
    def __init__(self, architecture: _Optional[str] = ..., precision: _Optional[str] = ..., target: _Optional[str] = ..., source: _Optional[str] = ..., recipe: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., parity: _Optional[_Union[Parity, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("context_length", "max_source_tokens", "max_running", "max_requests")
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_SOURCE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    context_length: int
    max_source_tokens: int
    max_running: int
    max_requests: int
    def __init__(self, context_length: _Optional[int] = ..., max_source_tokens: _Optional[int] = ..., max_running: _Optional[int] = ..., max_requests: _Optional[int] = ...) -> None: ...

class GenerationInfo(_message.Message):
    __slots__ = ("limits", "vocab_size", "defaults", "chat", "languages")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    limits: Limits
    vocab_size: int
    defaults: GenerationDefaults
    chat: ChatInfo
    languages: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, limits: _Optional[_Union[Limits, _Mapping]] = ..., vocab_size: _Optional[int] = ..., defaults: _Optional[_Union[GenerationDefaults, _Mapping]] = ..., chat: _Optional[_Union[ChatInfo, _Mapping]] = ..., languages: _Optional[_Iterable[str]] = ...) -> None: ...

class GenerationDefaults(_message.Message):
    __slots__ = ("sampling", "max_tokens", "num_beams", "stop", "min_length", "max_length")
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_BEAMS_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    MIN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    sampling: _generation_pb2.Sampling
    max_tokens: int
    num_beams: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    min_length: int
    max_length: int
    def __init__(self, sampling: _Optional[_Union[_generation_pb2.Sampling, _Mapping]] = ..., max_tokens: _Optional[int] = ..., num_beams: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ..., min_length: _Optional[int] = ..., max_length: _Optional[int] = ...) -> None: ...

class ChatInfo(_message.Message):
    __slots__ = ("templates", "tools", "documents", "parts", "thinking", "variables", "tool_format", "reasoning_format")
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    TOOL_FORMAT_FIELD_NUMBER: _ClassVar[int]
    REASONING_FORMAT_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedScalarFieldContainer[str]
    tools: bool
    documents: bool
    parts: bool
    thinking: bool
    variables: _containers.RepeatedScalarFieldContainer[str]
    tool_format: str
    reasoning_format: str
    def __init__(self, templates: _Optional[_Iterable[str]] = ..., tools: _Optional[bool] = ..., documents: _Optional[bool] = ..., parts: _Optional[bool] = ..., thinking: _Optional[bool] = ..., variables: _Optional[_Iterable[str]] = ..., tool_format: _Optional[str] = ..., reasoning_format: _Optional[str] = ...) -> None: ...

class EncodingInfo(_message.Message):
    __slots__ = ("task", "limits", "vocab_size", "labels", "vectors")
    TASK_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    task: str
    limits: Limits
    vocab_size: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    vectors: VectorInfo
    def __init__(self, task: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., vocab_size: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., vectors: _Optional[_Union[VectorInfo, _Mapping]] = ...) -> None: ...

class VectorInfo(_message.Message):
    __slots__ = ("dimensions", "default_dimensions", "prompts", "default_prompt")
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_PROMPT_FIELD_NUMBER: _ClassVar[int]
    dimensions: int
    default_dimensions: int
    prompts: _containers.RepeatedScalarFieldContainer[str]
    default_prompt: str
    def __init__(self, dimensions: _Optional[int] = ..., default_dimensions: _Optional[int] = ..., prompts: _Optional[_Iterable[str]] = ..., default_prompt: _Optional[str] = ...) -> None: ...

class SpeechInfo(_message.Message):
    __slots__ = ("languages", "tasks", "sampling_rate")
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_RATE_FIELD_NUMBER: _ClassVar[int]
    languages: _containers.RepeatedScalarFieldContainer[str]
    tasks: _containers.RepeatedScalarFieldContainer[str]
    sampling_rate: int
    def __init__(self, languages: _Optional[_Iterable[str]] = ..., tasks: _Optional[_Iterable[str]] = ..., sampling_rate: _Optional[int] = ...) -> None: ...

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
