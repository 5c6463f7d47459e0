"""What a precision may do to the outputs of a graph, on fixed cases, and the report of what it did.

Fixed cases find damage in a graph of any model: a wrong mask, a lost bias or a mixed-up cache moves outputs by a good
part of their spread, while rounding stays orders of magnitude below. Over tiny random models of eleven architectures
fp32 stays below 1e-5; int8 keeps a cosine of 0.991 (latent attention) to 0.9999, int4 of 0.90 to 0.996; the tolerances
are bounds on damage, not on rounding. What rounding does to a trained model is measured on natural text, in
:mod:`attendant_export.fidelity`, with stricter limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from attendant.bundle import Parity, ParityCase

from attendant_export.errors import ParityError
from attendant_export.recipe import Recipe

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tolerance:
    """What a precision may change.

    Attributes:
        max_error: bound on the largest logit error, in units of the logits' standard deviation (at least 1).
        cosine: least cosine between all logits of a case and the model's, after taking each position's mean away.
    """

    max_error: float | None
    cosine: float

    def describe(self) -> str:
        """The tolerance in words, for the manifest."""
        error = "" if self.max_error is None else f"max abs error <= {self.max_error:g} * max(1, std of the logits), "
        return f"{error}cosine >= {self.cosine:g}"


TOLERANCES: dict[str, Tolerance] = {
    "fp32": Tolerance(max_error=1e-3, cosine=0.99999),
    "int8": Tolerance(max_error=None, cosine=0.98),
    "int8_blocks": Tolerance(max_error=None, cosine=0.98),
    "int4": Tolerance(max_error=None, cosine=0.85),
    "int4_small": Tolerance(max_error=None, cosine=0.85),
    "mixed": Tolerance(max_error=None, cosine=0.85),
    "fp16": Tolerance(max_error=None, cosine=0.995),
    "bf16": Tolerance(max_error=None, cosine=0.98),
}
_EIGHT_BIT_CACHE = Tolerance(max_error=None, cosine=0.95)


@dataclass(frozen=True)
class Case:
    """Logits of the graph beside the model's, both [positions, vocab_size] float32."""

    name: str
    found: Floats
    wanted: Floats


def judge(
    cases: Sequence[ParityCase], spread: float, recipe: Recipe, output: Literal["logits", "output"] = "logits"
) -> Parity:
    """The parity report of ``cases``.

    Args:
        spread: the standard deviation of the model's outputs. output: what these are called in errors.

    Raises:
        ParityError: a case breaks the tolerance of ``recipe``, or is not a number.
    """
    name, tolerance = str(recipe.precision), TOLERANCES[recipe.precision]
    if recipe.kv_cache != "model" and tolerance.cosine > _EIGHT_BIT_CACHE.cosine:
        name, tolerance = f"{name} with a cache of {recipe.kv_cache}", _EIGHT_BIT_CACHE
    error = "logit error" if output == "logits" else "error"
    for case in cases:
        bound = None if tolerance.max_error is None else tolerance.max_error * max(1.0, spread)
        if bound is not None and not case.max_abs_error <= bound:
            raise ParityError(
                f"verification failed in {case.name}: the largest {error} is {case.max_abs_error:.3g}, "
                f"{name} allows {bound:.3g} (cosine {case.cosine:.6f})"
            )
        if not case.cosine >= tolerance.cosine:
            raise ParityError(
                f"verification failed in {case.name}: the cosine with the model's {output} is {case.cosine:.6f}, "
                f"{name} asks for at least {tolerance.cosine:g} (largest error {case.max_abs_error:.3g})"
            )
    positions = sum(case.positions for case in cases)
    agreement = sum(case.greedy_agreement * case.positions for case in cases) / positions
    return Parity(
        max_abs_error=max(case.max_abs_error for case in cases),
        cosine=min(case.cosine for case in cases),
        greedy_agreement=agreement,
        tolerance=tolerance.describe(),
        cases=tuple(cases),
    )


def compare(case: Case) -> ParityCase:
    """The distance of two sets of logits."""
    found, wanted = case.found.astype(np.float64), case.wanted.astype(np.float64)
    same = float((found.argmax(-1) == wanted.argmax(-1)).mean())
    # A constant added to all logits of a position changes no probability, but would flatter the cosine.
    left = found - found.mean(-1, keepdims=True)
    right = wanted - wanted.mean(-1, keepdims=True)
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    return ParityCase(
        name=case.name,
        max_abs_error=float(np.abs(found - wanted).max()),
        cosine=float((left * right).sum()) / norms if norms else float("nan"),
        positions=len(wanted),
        greedy_agreement=same,
    )
