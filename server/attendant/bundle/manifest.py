"""What every bundle's manifest holds, whatever its task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from attendant.bundle.attention import AttentionManifest
from attendant.bundle.capabilities import Capability
from attendant.bundle.section import Section

SCHEMA_VERSION = 1
MANIFEST_FILE = "bundle.json"
TOKENIZER_FILE = "tokenizer.json"

Target = Literal["cpu", "cuda"]
Precision = Literal["fp32", "fp16", "bf16", "int8", "int8_blocks", "int4", "int4_small", "mixed"]
DType = Literal["float32", "float16", "bfloat16", "int8", "uint8", "float8e4m3fn", "int32", "int64", "bool"]


def element_size(dtype: DType) -> int:
    """Bytes of one element."""
    sizes = {"int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2}
    return sizes.get(dtype, 1)


class TensorSpec(Section):
    """One graph input or output. A dimension is a fixed size or the name of a dynamic one."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]


class Graph(Section):
    """One ONNX file. ``file`` is relative to the bundle."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class FileEntry(Section):
    """Size in bytes and SHA-256 of a file of the bundle."""

    size: int
    sha256: str


class ParityCase(Section):
    """One comparison of the bundle with the source model. ``name``: prefill, chunk, ragged_decode, ..."""

    name: str
    max_abs_error: float
    cosine: float
    positions: int
    greedy_agreement: float


class Distance(Section):
    """How far the bundle's next tokens are from the source model's, over ``positions`` of the same text.

    Attributes:
        nll, reference_nll: mean negative log likelihood of the text by the bundle and by the model, nats a token.
        kl: mean Kullback-Leibler divergence of the bundle's distribution from the model's, KL(model || bundle), nats.
        greedy_agreement: share of positions with the same most probable token.
    """

    positions: int
    nll: float
    reference_nll: float
    kl: float
    greedy_agreement: float


class Fidelity(Section):
    """What the precision changed of a model that generates, measured at export on natural text.

    Attributes:
        trained: whether the source model knows natural text; one that does not (random weights) has weaker limits.
        entropy: mean entropy of the source model's next token, nats.
        prompt: positions that run together, as those of a prompt do.
        decode: positions that run one by one, several sequences at once, as generated tokens do.
    """

    trained: bool
    entropy: float
    prompt: Distance
    decode: Distance

    @property
    def kl(self) -> float:
        """The larger one of both divergences, nats."""
        return max(self.prompt.kl, self.decode.kl)


class VectorFidelity(Section):
    """What the precision changed of a model that encodes, measured at export on natural text (or images, or sound).

    Attributes:
        vectors: how many were compared: one for each input that has one, or for each token.
        cosine, least_cosine: between the bundle's and the source model's, mean and least.
    """

    vectors: int
    cosine: float
    least_cosine: float


class Parity(Section):
    """How far the bundle is from the source model, measured at export.

    ``cases`` look for damage on fixed inputs: errors are over logits; ``greedy_agreement`` is the share of positions
    with the same argmax; ``tolerance`` says in words what the precision allows. ``fidelity`` and ``vectors`` say what a
    user feels; bundles of older exporters have neither.
    """

    max_abs_error: float
    cosine: float
    greedy_agreement: float
    tolerance: str
    cases: tuple[ParityCase, ...]
    fidelity: Fidelity | None = None
    vectors: VectorFidelity | None = None


class Origin(Section):
    """Where the weights came from: a hub id or folder name, its revision, and the versions that exported it."""

    id: str
    revision: str | None = None
    versions: Mapping[str, str] = Field(default_factory=dict)


class ManifestBase(Section):
    """The fields that all tasks share.

    ``graphs``: the ONNX files by what they are for. ``recipe``: what quantisation did to them, in words.
    ``warnings``: what the checkpoint says that is not served as it says it, one sentence each.
    ``further_capabilities``: what the bundle can do besides what its task and its sections say.
    ``attention``: what it tells of its attention; None: it has no graph for that.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    version: str = "1"
    architecture: str
    target: Target
    precision: Precision
    recipe: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    graphs: Mapping[str, Graph]
    files: Mapping[str, FileEntry]
    parity: Parity
    source: Origin
    exporter_version: str
    further_capabilities: tuple[Capability, ...] = ()
    attention: AttentionManifest | None = None

    @property
    @abstractmethod
    def own_capabilities(self) -> tuple[Capability, ...]:
        """What follows from the task and the sections: bundles of every age have it. The first is the task."""

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """All that the bundle can do, each once."""
        explains: tuple[Capability, ...] = () if self.attention is None else ("attention",)
        return tuple(dict.fromkeys((*self.own_capabilities, *self.further_capabilities, *explains)))
