"""`--precision auto`: exports in one precision after the other, the fastest first, until one is faithful enough.

On a CPU that is mixed (where more than 8 bits can promise is allowed), int8 with a scale a row, 8 bits in blocks, fp32.
int4 alone is left out: it is slower than mixed with prompts and with company, and no more faithful.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attendant.bundle import Precision, Target

from attendant_export.errors import ExportError
from attendant_export.recipe import GENERATE, KVCache, Recipe, RecipeRequest

MAX_KL = 0.01
"""What is asked for by default: no reader tells such a bundle's answers from the model's."""
FASTEST_FIRST: dict[Target, tuple[str, ...]] = {
    "cpu": ("mixed", "int8", "int8_blocks", "fp32"),
    "cuda": ("int4", "bf16", "fp16"),
}
_FOUR_BITS = ("mixed", "int4", "int4_small")
_FOUR_BITS_FROM = 0.02  # 4 bits never come below; trying them would only cost time


@dataclass(frozen=True)
class Auto:
    """The fastest precision whose divergence from the model is at most ``max_kl``, nats a token.

    Models that encode have no such divergence; for them, precisions have to keep their own limits.

    Raises:
        ExportError: ``max_kl`` is no positive number.
    """

    target: Target = "cpu"
    max_kl: float = MAX_KL
    kv_cache: KVCache = "model"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_kl) and self.max_kl > 0):
            raise ExportError(f"the largest divergence must be a positive number of nats, not {self.max_kl:g}")
        Recipe(self.target, "fp32" if self.target == "cpu" else "bf16", self.kv_cache)  # or it says what is wrong

    def recipes(self, allowed: Sequence[Precision], task: str = GENERATE) -> list[Recipe]:
        """What is tried, in this order: those of ``allowed`` that may be faithful enough."""
        names = [name for name in FASTEST_FIRST[self.target] if name in allowed]
        if self.max_kl < _FOUR_BITS_FROM:
            names = [name for name in names if name not in _FOUR_BITS]
        tried: list[Precision] = [precision for name in names for precision in allowed if precision == name]
        return [Recipe(self.target, precision, self.kv_cache).for_task(task) for precision in tried]


Asked = Recipe | RecipeRequest | Auto
"""What somebody asks for: a recipe, one whose precision may be left to the task, or the fastest that is faithful."""


def asked_recipes(asked: Asked, task: str, allowed: Mapping[Target, Sequence[Precision]]) -> list[Recipe]:
    """What is tried for models of ``task``, in this order; one recipe unless ``asked`` is for the fastest.

    Raises:
        ExportError: models of ``task`` have no such recipe; says which they have.
    """
    if isinstance(asked, Auto):
        return asked.recipes(allowed[asked.target], task)
    return [asked.for_task(task)]
