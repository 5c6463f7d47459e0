"""bitsandbytes: NF4 and FP4 with scales for blocks, which may be quantised in turn, and int8 with a scale for each row.

4 bits: ``weight`` uint8, two values a byte, the first one high; ``weight.absmax`` and ``weight.quant_map`` [16], and
the rest as JSON in the bytes of ``weight.quant_state.bitsandbytes__nf4`` (or ``fp4``). Of nested scales,
``weight.absmax`` are places in ``weight.nested_quant_map`` [256]. 8 bits: ``weight`` [N, K] int8 and ``SCB`` [N], the
largest magnitudes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import Reading, Weight

_STATE = ".quant_state.bitsandbytes__"
_TOP = 127
_UNREAD = "weight_format"  # row by row is the only one that is saved


@dataclass(frozen=True)
class _State:
    """What the JSON of a 4-bit weight says."""

    shape: tuple[int, ...]
    block: int
    nested_block: int | None
    nested_offset: float


def read_bitsandbytes(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every weight that has a state, or scales of rows.

    Raises:
        SourceError: a part is missing or does not fit; names the tensor.
    """
    reading = Reading()
    for name in tensors:
        if _STATE in name:
            _add_four_bits(reading, tensors, name)
        elif name.endswith(".SCB"):
            weight = name.removesuffix("SCB") + "weight"
            tensors.check(weight, name, ("I8",), (None, None))
            tensors.check(name, weight, ("F32", "F16", "BF16"), tensors[weight][:1])
            reading.add(weight, Weight(tensors[weight], partial(_rows, tensors, weight, name)), weight, name)
        elif name.endswith(_UNREAD):
            reading.used.add(name)
        elif tensors.dtype(name) == "U8" and name.endswith("weight") and not _states(tensors, name):
            raise SourceError(f"{tensors.folder}: {name!r} is of 4 bits, and there is no {name}{_STATE}*")
        elif (
            tensors.dtype(name) == "I8"
            and name.endswith(".weight")
            and name.removesuffix("weight") + "SCB" not in tensors
        ):
            raise SourceError(
                f"{tensors.folder}: {name!r} is of 8 bits, and there is no {name.removesuffix('weight')}SCB"
            )
    return reading


def _states(tensors: Tensors, weight: str) -> list[str]:
    return [weight + _STATE + kind for kind in ("nf4", "fp4") if weight + _STATE + kind in tensors]


def _add_four_bits(reading: Reading, tensors: Tensors, name: str) -> None:
    weight = name.partition(_STATE)[0]
    state = _state(tensors, name)
    count = math.prod(state.shape)
    blocks = -(-count // state.block)
    tensors.check(weight, name, ("U8",))
    if math.prod(tensors[weight]) != -(-count // 2):
        raise SourceError(
            f"{tensors.folder}: tensor {weight!r} has shape {list(tensors[weight])}, which does not hold the "
            f"{list(state.shape)} of its state in 4 bits"
        )
    tensors.check(f"{weight}.quant_map", weight, ("F32",), (16,))
    used = [weight, name, f"{weight}.absmax", f"{weight}.quant_map"]
    if state.nested_block is None:
        tensors.check(f"{weight}.absmax", weight, ("F32",), (blocks,))
    else:
        nested = -(-blocks // state.nested_block)
        tensors.check(f"{weight}.absmax", weight, ("U8",), (blocks,))
        tensors.check(f"{weight}.nested_absmax", weight, ("F32",), (nested,))
        tensors.check(f"{weight}.nested_quant_map", weight, ("F32",), (256,))
        used += [f"{weight}.nested_absmax", f"{weight}.nested_quant_map"]
    reading.add(weight, Weight(state.shape, partial(_four_bits, tensors, weight, state)), *used)


def _state(tensors: Tensors, name: str) -> _State:
    tensors.check(name, name, ("U8",), (None,))
    try:
        found = json.loads(bytes(tensors.read(name).tolist()))
        shape, block = tuple(int(size) for size in found["shape"]), int(found["blocksize"])
        nested = found.get("nested_blocksize")
        state = _State(shape, block, None if nested is None else int(nested), float(found.get("nested_offset") or 0))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise SourceError(f"{tensors.folder}: tensor {name!r} holds no state of bitsandbytes") from error
    if min((*shape, block, state.nested_block or 1), default=0) < 1:
        raise SourceError(f"{tensors.folder}: tensor {name!r} has sizes below 1")
    return state


def _four_bits(tensors: Tensors, weight: str, state: _State) -> torch.Tensor:
    scales = tensors.read(f"{weight}.absmax")
    if state.nested_block is not None:
        values = tensors.read(f"{weight}.nested_quant_map")[scales.int()]
        scales = _times(values, tensors.read(f"{weight}.nested_absmax"), state.nested_block) + state.nested_offset
    packed, table = tensors.read(weight).flatten(), tensors.read(f"{weight}.quant_map")
    values = torch.empty(len(packed), 2)
    values[:, 0], values[:, 1] = table[(packed >> 4).int()], table[(packed & 15).int()]
    return _times(values.flatten()[: math.prod(state.shape)], scales, state.block).reshape(state.shape)


def _times(values: torch.Tensor, scales: torch.Tensor, block: int) -> torch.Tensor:
    """``values`` [n] with each ``block`` of them times its scale."""
    return values * scales.repeat_interleave(block)[: len(values)]


def _rows(tensors: Tensors, weight: str, scales: str) -> torch.Tensor:
    return tensors.read(weight).to(torch.float32) * (tensors.read(scales).to(torch.float32) / _TOP)[:, None]
