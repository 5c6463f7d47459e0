"""What an export makes of a model: for which device, in which precision, with what KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from attendant.bundle import DType, Precision, Target

from attendant_export.errors import ExportError

GENERATE = "generate"
KVCache = Literal["model", "int8", "fp8"]
PRECISIONS: dict[Target, tuple[Precision, ...]] = {
    "cpu": ("fp32", "int8", "int8_blocks", "int4", "int4_small", "mixed"),
    "cuda": ("bf16", "fp16", "int4"),
}
"""By target, the default first. ``int8_blocks``: 8 bits with a scale for each 32 channels. ``int4_small``: 4 bits for
the last products of MLPs, too. ``mixed``: int8 for prompts and int4 for the tokens after them, in a graph each."""
ENCODER_PRECISIONS: dict[Target, tuple[Precision, ...]] = {"cpu": ("fp32", "int8"), "cuda": ("fp16",)}
"""The same for models that encode, which have no KV cache, and for encoder-decoders."""

# Weights and activations; int4 keeps half precision for everything that is not a quantised weight.
_CUDA_DTYPES: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16, "int4": torch.float16}
_CACHE_DTYPES: dict[KVCache, DType] = {"int8": "int8", "fp8": "float8e4m3fn"}
_MANIFEST_DTYPES: dict[torch.dtype, DType] = {
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}


@dataclass(frozen=True)
class Recipe:
    """``kv_cache``: 8 bits an element with scales calibrated at export, or the type of the model's activations.

    Raises:
        ExportError: a combination that does not exist; says which do.
    """

    target: Target = "cpu"
    precision: Precision = "fp32"
    kv_cache: KVCache = "model"

    def __post_init__(self) -> None:
        if self.target not in PRECISIONS:
            raise ExportError(f"unknown target {self.target!r}; allowed: {', '.join(PRECISIONS)}")
        allowed = PRECISIONS[self.target]
        if self.precision not in allowed:
            known = any(self.precision in precisions for precisions in PRECISIONS.values())
            what = f"target {self.target} has no precision" if known else "unknown precision"
            raise ExportError(f"{what} {self.precision!r}; allowed for target {self.target}: {', '.join(allowed)}")
        if self.kv_cache not in get_args(KVCache):
            raise ExportError(f"unknown KV cache {self.kv_cache!r}; allowed: {', '.join(get_args(KVCache))}")
        if self.kv_cache != "model" and self.target != "cuda":
            raise ExportError(f"target {self.target} has no {self.kv_cache} KV cache; only target cuda has")

    def for_task(self, task: str) -> Recipe:
        """Itself, if models for ``task`` have it.

        Raises:
            ExportError: they do not; says which they have.
        """
        allowed = _precisions(task)[self.target]
        if self.precision not in allowed:
            raise ExportError(
                f"task {task} on target {self.target} has no precision {self.precision!r}; "
                f"allowed: {', '.join(allowed)}"
            )
        if task != GENERATE and self.kv_cache != "model":
            raise ExportError(f"task {task} has no KV cache, so none of {self.kv_cache}")
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The type of the traced model."""
        return torch.float32 if self.target == "cpu" else _CUDA_DTYPES[self.precision]

    @property
    def cache_dtype(self) -> DType:
        """The type of the KV cache."""
        return _CACHE_DTYPES.get(self.kv_cache) or _MANIFEST_DTYPES[self.dtype]


@dataclass(frozen=True)
class RecipeRequest:
    """A recipe whose precision, if None, is the default of a task that is not known yet."""

    target: Target = "cpu"
    precision: Precision | None = None
    kv_cache: KVCache = "model"

    def for_task(self, task: str) -> Recipe:
        """The recipe for models of ``task``.

        Raises:
            ExportError: see :class:`Recipe`.
        """
        precision = self.precision or _precisions(task).get(self.target, ("fp32",))[0]
        return Recipe(self.target, precision, self.kv_cache).for_task(task)


def _precisions(task: str) -> dict[Target, tuple[Precision, ...]]:
    return PRECISIONS if task == GENERATE else ENCODER_PRECISIONS
