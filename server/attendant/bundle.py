"""The bundle: a folder with ``bundle.json``, ONNX files and ``tokenizer.json``. The contract of exporter and server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from attendant.core.errors import BundleError

SCHEMA_VERSION = 1
MANIFEST_FILE = "bundle.json"
TOKENIZER_FILE = "tokenizer.json"

PAGED_RUN_TOKENS = 16_384
"""Most tokens of a run that every graph with a KV cache in pages takes, however short its context."""

Target = Literal["cpu", "cuda"]
Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]
Task = Literal["generate"]
CacheLayout = Literal["slots", "pages"]
DType = Literal["float32", "float16", "bfloat16", "int8", "uint8", "float8e4m3fn", "int32", "int64", "bool"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def element_size(dtype: DType) -> int:
    """Bytes of one element."""
    sizes = {"int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2}
    return sizes.get(dtype, 1)


class TensorSpec(_Section):
    """One graph input or output. A dimension is a fixed size or the name of a dynamic one."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]


class Graph(_Section):
    """One ONNX file. ``file`` is relative to the bundle."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class KVLayer(_Section):
    """The KV cache of one attention call, in call order: input ``past_key_{i}`` and output ``present_key_{i}``, each
    [batch, num_kv_heads, max_length, head_size] in slots, [num_blocks, block_size, num_kv_heads, head_size] in pages.
    ``window``: how many of the latest positions it reads, or None."""

    num_kv_heads: int = Field(ge=1)
    head_size: int = Field(ge=1)
    dtype: DType
    window: int | None = None

    @property
    def head_bytes(self) -> int:
        """Bytes of one head's key (or value) at one position."""
        return self.head_size * element_size(self.dtype)


class SpecialTokens(_Section):
    """Token ids. Any of ``eos`` ends a generation."""

    bos: int | None = None
    eos: tuple[int, ...] = ()
    pad: int | None = None


class GenerationDefaults(_Section):
    """Used where a request leaves a value out; from the model's generation_config.json. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_tokens: int | None = None


class FileEntry(_Section):
    """Size in bytes and SHA-256 of a file of the bundle."""

    size: int
    sha256: str


class ParityCase(_Section):
    """One comparison of the bundle with the source model. ``name``: prefill, chunk, ragged_decode, ..."""

    name: str
    max_abs_error: float
    cosine: float
    positions: int
    greedy_agreement: float


class Parity(_Section):
    """How far the bundle is from the source model, measured at export on fixed prompts.

    Errors are over logits; ``greedy_agreement`` is the share of positions with the same argmax. ``tolerance`` says in
    words what the precision allows.
    """

    max_abs_error: float
    cosine: float
    greedy_agreement: float
    tolerance: str
    cases: tuple[ParityCase, ...]


class Source(_Section):
    """Where the weights came from: a hub id or folder name, its revision, and the versions that exported it."""

    id: str
    revision: str | None = None
    versions: Mapping[str, str] = Field(default_factory=dict)


class BundleManifest(_Section):
    """The content of ``bundle.json``.

    A ``generate`` bundle with its cache in slots has the graph ``decoder`` with inputs (those it does not need are left
    out):
    input_ids [batch, sequence] int64; position_ids [batch, sequence] int64; seqlens_k [batch] int32, the valid length
    of each row after this run minus one; total_sequence_length [1] int32, the longest valid length after this run;
    logits_index [num_logits] int64, which rows of the flattened [batch * sequence] tokens want logits;
    past_key_{i}, past_value_{i} as :class:`KVLayer`. Outputs: logits [num_logits, vocab_size] float32;
    present_key_{i}, present_value_{i}, to be bound to the same memory as the pasts.

    With its cache in pages, ``decoder`` runs the tokens of all sequences in one row, [1, num_tokens]. Its inputs (those
    it does not need are left out): input_ids, position_ids [1, num_tokens] int64; cumulative_sequence_length
    [num_sequences + 1] int32, where each sequence's tokens begin, and their number; past_seqlens [num_sequences] int32;
    block_table [num_sequences, max_blocks] int32; slot_mapping [num_tokens] int32, block * block_size + offset that a
    token's keys and values are written to, or -1; attention_metadata [3] int32 in host memory, an upper bound of the
    new tokens of a sequence, an upper and a lower bound of the longest length after the run; logits_index [num_logits]
    int64; inverse_temperature, uniform [num_logits] float32; the pasts. Outputs: logits [num_logits, vocab_size] of the
    model's type, meant to stay on the device; top_logits [num_logits, K] float32 and top_ids [num_logits, K] int64, the
    largest; log_sum, scaled_log_sum [num_logits] float32; drawn [num_logits] int64 and drawn_logit [num_logits]
    float32; the presents, as above. The graph ``copy_blocks`` copies whole blocks: source, target [num_copies] int64,
    and for each of the pasts, in order, cache_{i} [num_blocks, words] int64, a view of the same memory, to
    copied_{i}, bound to it, too. ``pick_rows`` gives rows [num_rows] int64 of the logits as picked [num_rows,
    vocab_size] float32.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    version: str = "1"
    task: Task
    architecture: str
    target: Target
    precision: Precision
    cache_layout: CacheLayout = "slots"
    graphs: Mapping[str, Graph]
    kv_layers: tuple[KVLayer, ...]
    context_length: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    special_tokens: SpecialTokens
    generation_defaults: GenerationDefaults = GenerationDefaults()
    chat_template: str | None = None
    files: Mapping[str, FileEntry]
    parity: Parity
    source: Source
    exporter_version: str

    @model_validator(mode="after")
    def _has_a_runner(self) -> Self:
        if self.target == "cuda" and self.cache_layout != "pages":
            raise ValueError("target cuda has its KV cache in pages, not in slots: export the model again")
        return self

    def kv_bytes_per_token(self) -> int:
        """Bytes of KV cache that one position of one sequence takes over all layers."""
        return sum(2 * layer.num_kv_heads * layer.head_bytes for layer in self.kv_layers)


def read_manifest(bundle: Path) -> BundleManifest:
    """Read and check ``bundle.json``.

    Raises:
        BundleError: no folder, no manifest, not JSON, another schema version, or a field that is wrong.
    """
    path = bundle / MANIFEST_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        reason = "the file is missing" if bundle.is_dir() else f"{bundle} is not a folder"
        raise BundleError(path, f"{reason}; a bundle is made by `attendant export`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(path, f"cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise BundleError(path, f"is not valid JSON: {error}") from error
    found = data.get("schema_version") if isinstance(data, dict) else None
    if found != SCHEMA_VERSION:
        raise BundleError(
            path, f"has schema version {found!r}; this server reads version {SCHEMA_VERSION}: export the model again"
        )
    try:
        return BundleManifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(path, f"{where}: {first['msg']} ({error.error_count()} wrong in all)") from error


def verify_files(bundle: Path, manifest: BundleManifest) -> None:
    """Check that every file of the manifest is there, has its size and its SHA-256.

    Raises:
        BundleError: naming the first file that is missing or differs, and how.
    """
    for name, entry in manifest.files.items():
        path = bundle / name
        if not path.is_file():
            raise BundleError(path, "the file is missing from the bundle")
        size = path.stat().st_size
        if size != entry.size:
            raise BundleError(path, f"has {size} bytes, the manifest says {entry.size}: the file is corrupt or cut")
        digest = sha256(path)
        if digest != entry.sha256:
            raise BundleError(path, f"has SHA-256 {digest}, the manifest says {entry.sha256}: the file is corrupt")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
