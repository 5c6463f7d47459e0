"""`--precision auto`: exports in one precision after the other, the fastest first, until one is faithful enough.

On a CPU that is mixed (where more than 8 bits can promise is allowed), int8 with a scale a row, 8 bits in blocks, fp32.
int4 alone is left out: it is slower than mixed with prompts and with company, and no more faithful.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from attendant.bundle import EncoderManifest, GeneratorManifest, Precision, Target

from attendant_export.errors import ExportError, ParityError
from attendant_export.recipe import GENERATE, KVCache, Recipe

Tell = Callable[[str], None]
Manifest = TypeVar("Manifest", GeneratorManifest, EncoderManifest)

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


def fastest(recipes: Sequence[Recipe], attempt: Callable[[Recipe], Manifest], tell: Tell) -> Manifest:
    """The manifest of the first of ``recipes`` that ``attempt`` exports.

    Args:
        tell: is told of each attempt what was measured, in a line.

    Raises:
        ParityError: no precision is faithful enough; names what was measured of each.
    """
    refused = []
    for recipe in recipes:
        try:
            manifest = attempt(recipe)
        except ParityError as error:
            refused.append(f"{recipe.precision}: {error}")
            tell(f"{recipe.precision}: not faithful enough: {error}")
            continue
        tell(f"{recipe.precision}: {_measured(manifest)}; taken")
        return manifest
    raise ParityError("no precision is faithful enough: " + "; ".join(refused))


def say_nothing(line: str) -> None:
    """For those who do not want to be told."""


def _measured(manifest: GeneratorManifest | EncoderManifest) -> str:
    parity = manifest.parity
    if parity.fidelity is not None:
        return f"KL {parity.fidelity.kl:.5f} nats a token"
    if parity.vectors is not None:
        return f"cosine {parity.vectors.cosine:.5f}"
    return f"cosine {parity.cosine:.5f}"
