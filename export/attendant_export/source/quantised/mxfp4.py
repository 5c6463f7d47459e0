"""MXFP4 as gpt-oss is published: 4-bit floats (E2M1), two a byte, and a power of two for each 32 of them.

``*_blocks`` [experts, N, K / 32, 16] uint8 and ``*_scales`` [experts, N, K / 32] uint8 make [experts, K, N].
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.fp4 import from_pairs
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import Reading, Weight

_BLOCKS, _SCALES = "_blocks", "_scales"
_BYTES = 16  # of a block
_EXPONENT_OF_ONE = 127


def read_mxfp4(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every pair of blocks and scales.

    Raises:
        SourceError: one of a pair is missing, or does not fit; names the tensor.
    """
    reading = Reading()
    for blocks, shape in tensors.items():
        if blocks.endswith(_SCALES) and blocks.removesuffix(_SCALES) + _BLOCKS not in tensors:
            raise SourceError(
                f"{tensors.folder}: {blocks!r} has no {blocks.removesuffix(_SCALES) + _BLOCKS!r} beside it"
            )
        if not blocks.endswith(_BLOCKS):
            continue
        name = blocks.removesuffix(_BLOCKS)
        tensors.check(blocks, name, ("U8",), (None, None, None, _BYTES))
        tensors.check(name + _SCALES, blocks, ("U8",), shape[:-1])
        experts, outputs, groups, _ = shape
        read = partial(_dequantised, tensors, blocks, name + _SCALES)
        reading.add(name, Weight((experts, 2 * _BYTES * groups, outputs), read), blocks, name + _SCALES)
    return reading


def _dequantised(tensors: Tensors, blocks: str, scales: str) -> torch.Tensor:
    codes, exponents = tensors.read(blocks), tensors.read(scales).to(torch.int32) - _EXPONENT_OF_ONE
    experts, outputs, groups, _ = codes.shape
    found = torch.empty(experts, 2 * _BYTES * groups, outputs)
    for index in range(experts):  # one at a time: table look-ups need wide indices
        values = torch.ldexp(from_pairs(codes[index]), exponents[index][..., None])  # [N, groups, 32]
        found[index] = values.flatten(1).T
    return found
