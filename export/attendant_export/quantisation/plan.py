"""Which format each product gets in each precision."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import onnx_ir as ir

from attendant_export.quantisation.blocks import BlockFormat
from attendant_export.quantisation.errors import Format, RowFormat
from attendant_export.quantisation.products import Group

Quantised = Literal["int8", "int8_blocks", "int4", "int4_small"]

ROWS = RowFormat()
EIGHT_BITS = BlockFormat(8, 32)
HEAD = BlockFormat(8, 64)
FOUR_BITS = BlockFormat(4, 32, zeros=True)
CUDA_BLOCKS = BlockFormat(4, 32)


MORE_BITS: dict[Quantised, float] = {"int4": 0.2, "int4_small": 0.025}
"""Bytes that may be spent on 8 bits for those products that 4 hurt most, to those of all in 4."""


def format_of(group: Group, precision: Quantised, more_bits: Collection[Group] = ()) -> Format:
    """The format of a group's products; ``more_bits``: those that 4 bits hurt most.

    Of int4, the head has 8 bits, too: its errors go straight into the logits. Blocks are those that ONNX Runtime
    computes alike for a row alone and in company: 4 bits in blocks of 16 and 32, 8 bits in blocks of 32 and 64. On
    CUDA, weights of half precision all have 4 bits.
    """
    weight = group.nodes[0].inputs[1]
    assert weight is not None
    if precision == "int8":
        return ROWS
    if precision == "int8_blocks":
        return EIGHT_BITS
    if weight.dtype != ir.DataType.FLOAT:  # halves are for CUDA
        return CUDA_BLOCKS
    if group.role == "head":
        return HEAD
    return EIGHT_BITS if group in more_bits else FOUR_BITS
