"""Moves what is large in activations into the weights, where constants alone can do it: exact, and free at run time.

A channel k of the activations is divided by s_k, in the norm or the product that makes it, and row k of the weights is
multiplied by s_k. s_k = p_k ** a, with p_k the channel's peak on sample text and the exponent a that leaves the
smallest error in the product's own format (after SmoothQuant, Xiao et al. 2023, and AWQ, Lin et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attendant_export.quantisation.errors import Trial

Floats = npt.NDArray[np.float32]

EXPONENTS: dict[int, tuple[float, ...]] = {8: (0.3, 0.4, 0.5, 0.6, 0.7, 0.8), 4: (0.1, 0.2, 0.3, 0.4)}
"""By bits. In 8 bits activations are what is hurt; in 4 it is weights, which gain by little of it and lose by much."""

_LEAST = 0.01  # of the mean peak: a channel that sample text hardly uses may well be used by another text

ROTATION_GAIN, ROTATION_GAIN_OF_READERS = 0.45, 0.9
"""A rotation is put in where it leaves less than this much of the error. Decoders rotate what gains most, since each
rotation costs some of their speed; what reads images, sound and texts is small, and its errors add up in one vector."""


@dataclass(frozen=True)
class Remedy:
    """What is done to the channels of a value before its products are quantised.

    Attributes:
        scale: channels are divided by it, [K] float32; None: they are left.
        rotation: block of the rotation; 1: none.
        error: what is left, of the error without a remedy.
    """

    scale: Floats | None
    rotation: int
    error: float


def find_remedy(
    trial: Trial, peaks: Floats, *, foldable: bool, rotation: int, bits: int = 8, gain: float = ROTATION_GAIN
) -> Remedy:
    """The remedy with the smallest error, without the rotation if that gains little.

    Args:
        peaks: [K] float32. foldable: whether channels can be scaled. rotation: the block to try, or 1. bits: of the
            weights. gain: see :data:`ROTATION_GAIN`.
    """
    plain = max(trial.error(), 1e-30)
    scales: list[Floats | None] = [None]
    if foldable:
        scales += [_scale(peaks, exponent) for exponent in EXPONENTS[bits]]

    def best(block: int) -> Remedy:
        errors = [trial.error(scale, block) for scale in scales]
        index = int(np.argmin(errors))
        return Remedy(scales[index], block, errors[index] / plain)

    still = best(1)
    if rotation == 1:
        return still
    turned = best(rotation)
    return turned if turned.error < gain * still.error else still


def _scale(peaks: Floats, exponent: float) -> Floats:
    """peaks ** exponent, with a geometric mean of 1."""
    raised = exponent * np.log(np.maximum(peaks, max(_LEAST * float(peaks.mean()), 1e-30)))
    scale: Floats = np.exp(raised - raised.mean()).astype(np.float32)
    return scale
