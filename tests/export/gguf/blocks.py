"""Tensors in the types of GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HALVES: Mapping[str, tuple[int, ...]] = {
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
}
"""Where the blocks of types that the package gguf does not write have numbers of half precision: their first bytes."""


def blocks_of(kind: str, values: Array) -> Array:
    """Rows in blocks of a type, [N, bytes] uint8: the nearest to ``values`` [N, K], or random ones where the package
    gguf does not write the type."""
    if kind in HALVES:
        return random_blocks(kind, *values.shape)
    return np.asarray(gguf.quantize(values, gguf.GGMLQuantizationType[kind]))


def random_blocks(kind: str, rows: int, channels: int, seed: int = 1) -> Array:
    """Random ones of a type in :data:`HALVES`, [rows, bytes] uint8, whose values are about as large as weights are."""
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 256, (rows, channels // elements, size), np.uint8)
    for place, start in enumerate(HALVES[kind]):  # a scale, and a minimum's
        least = (1e-4, 1e-3)[place]
        halves = generator.uniform(least, 2 * least, blocks.shape[:2]).astype(np.float16)
        blocks[..., start : start + 2] = halves[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)
