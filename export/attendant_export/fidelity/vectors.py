"""How far the vectors and logits of an encoder's bundle are from its source model's on natural inputs, and may be.

An encoder's loss on text says nothing of whether it was trained, so the limits hold for all of them. They are stricter
than those of the fixed inputs, for trained models: users compare vectors with each other, and neighbours change places
by far less than 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from attendant.bundle import Precision, VectorFidelity

from attendant_export.errors import ParityError
from attendant_export.fidelity.distance import Floats

_SMALLEST = 1e-12


@dataclass(frozen=True)
class VectorLimit:
    """``mean``, ``least``: of the cosines."""

    mean: float
    least: float


VECTOR_LIMITS: dict[str, VectorLimit] = {
    "fp32": VectorLimit(0.99999, 0.9999),
    "fp16": VectorLimit(0.999, 0.99),
    "bf16": VectorLimit(0.998, 0.98),
    "int8_blocks": VectorLimit(0.998, 0.98),
    "int8": VectorLimit(0.995, 0.97),
}


def compare_vectors(wanted: Floats, found: Floats) -> VectorFidelity:
    """Compares rows [n, width], each with the one in the same place."""
    left, right = wanted.astype(np.float64), found.astype(np.float64)
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    dots = (left * right).sum(-1)
    cosines = np.divide(dots, norms, out=np.ones_like(dots), where=norms > _SMALLEST)
    return VectorFidelity(vectors=len(cosines), cosine=float(cosines.mean()), least_cosine=float(cosines.min()))


def check_vectors(found: VectorFidelity, precision: Precision) -> None:
    """Refuses a bundle whose vectors point elsewhere.

    Raises:
        ParityError: names what was measured, the limit, and what to do.
    """
    limit = VECTOR_LIMITS[precision]
    if not (found.cosine >= limit.mean and found.least_cosine >= limit.least):
        raise ParityError(
            f"verification failed on natural text: the cosine with the model's output is {found.cosine:.5f} in the "
            f"mean and {found.least_cosine:.5f} at least, over {found.vectors} vectors; {precision} asks for "
            f"{limit.mean:g} and {limit.least:g}; export in another precision (--precision auto picks one), or "
            "calibrate with text like that which the model is for (--calibration FILE)"
        )
