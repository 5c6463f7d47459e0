"""FP8: 8-bit floats, and a scale for the tensor, for each row, or for each block.

Layouts: DeepSeek's and Qwen's (``weight_scale_inv`` for blocks of ``weight_block_size``), and ``weight_scale`` of
compressed-tensors, FBGEMM and ModelOpt. All of them are multiplied with, whatever the name says.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.sizes import Sizes, size_of
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import FLOATS, Reading, Weight

TYPES = ("F8_E4M3", "F8_E5M2")
_SCALES = ("_scale_inv", "_scale")
_SCALE_TYPES = (*FLOATS, "F8_E8M0", "U8")
# Scales of activations and of the KV cache: here, both are computed in float32.
_UNREAD = ("input_scale", "activation_scale", "output_scale", "k_scale", "v_scale", "q_scale", "prob_scale")
_UNREAD_BESIDE = ("input_scale_ub", "input_zero_point", "input_global_scale", "input_scale_2")
_UNREAD_OF_PACKED = "_input_scale"
_EXPONENT_OF_ONE = 127
_TURNED, _PACKED = "fbgemm_fp8", 3
"""Who has experts packed as [experts, K, N], and scales of their outputs as [experts, N, 1] or [experts, 1, N]."""


def read_fp8(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every tensor of 8-bit floats, with its scale.

    Raises:
        SourceError: a scale is missing, or does not fit; names the tensor.
    """
    reading = Reading()
    sizes = Sizes.of(settings)
    turned = settings.get("quant_method") == _TURNED
    for name, shape in tensors.items():
        if tensors.dtype(name) in TYPES and not name.endswith(_SCALES):  # scales of FP4 are FP8
            scale = _scale_of(tensors, name)
            if turned and len(shape) == _PACKED and tensors[scale] == (shape[0], shape[2], 1):
                reading.add(name, Weight(shape, partial(_of_outputs, tensors, name, scale)), name, scale)
                continue
            blocks = _blocks(tensors, name, scale, sizes)
            reading.add(name, Weight(shape, partial(_dequantised, tensors, name, scale, blocks)), name, scale)
        elif name.rpartition(".")[2] in (*_UNREAD, *_UNREAD_BESIDE) or _of_packed(tensors, name):
            reading.used.add(name)
    return reading


def _of_packed(tensors: Tensors, name: str) -> bool:
    """Whether it is the scale of what goes into experts that are one tensor."""
    return name.endswith(_UNREAD_OF_PACKED) and name.removesuffix(_UNREAD_OF_PACKED) in tensors


def _scale_of(tensors: Tensors, name: str) -> str:
    stem = name.removesuffix(".weight")
    known = [name + ending for ending in _SCALES] + ([f"{stem}.scale"] if stem != name else [f"{name}_weight_scale"])
    scale = next((each for each in known if each in tensors), None)
    if scale is None:
        raise SourceError(f"{tensors.folder}: {name!r} is FP8 without a scale; there is none of {', '.join(known)}")
    tensors.check(scale, name, _SCALE_TYPES)
    return scale


def _blocks(tensors: Tensors, name: str, scale: str, named: Sizes) -> tuple[int, ...]:
    """How many elements of the weight, axis by axis, have one scale.

    Raises:
        SourceError: the shapes do not go together.
    """
    shape, given = tensors[name], tensors[scale]
    if given in ((), (1,)):
        return shape
    if len(given) == 1 and len(shape) > 1:  # a scale for each row
        given = (*given, *(1,) * (len(shape) - 1))
    sizes = tuple(_size(shape, given, axis, named) for axis in range(min(len(shape), len(given))))
    if len(given) != len(shape) or None in sizes:
        named_sizes = (("rows", named.rows), ("channels", named.channels))
        asked = ", ".join(f"blocks of {sorted(sizes)} {what}" for what, sizes in named_sizes if sizes)
        raise SourceError(
            f"{tensors.folder}: the scale {scale!r} has shape {list(tensors[scale])}, which does not go with {name!r}, "
            f"{list(shape)}{', with ' if asked else ''}{asked}"
        )
    return tuple(size for size in sizes if size is not None)


def _size(shape: tuple[int, ...], given: tuple[int, ...], axis: int, named: Sizes) -> int | None:
    """The elements of one scale on an axis. A single one there is for all of it where rows have one each, or experts;
    in blocks it is where a block is that large."""
    length, count, last = shape[axis], given[axis], axis == len(shape) - 1
    sizes = named.channels if last else named.rows
    inner = axis > 0 and given[:axis] == shape[:axis] and set(given[axis:]) == {1}
    if count == 1 < length and sizes and not inner and max(sizes) < length:
        return None
    return size_of(length, count, sizes)


def _dequantised(tensors: Tensors, name: str, scale: str, blocks: tuple[int, ...]) -> torch.Tensor:
    values, scales = tensors.read(name).to(torch.float32), factors(tensors.read(scale))
    if scales.numel() == 1:
        return values.mul_(scales.reshape(()))
    scales = scales.reshape(*scales.shape, *(1,) * (values.dim() - scales.dim()))
    for axis, size in enumerate(blocks):
        if size > 1 and scales.shape[axis] > 1:
            scales = scales.repeat_interleave(size, dim=axis).narrow(axis, 0, values.shape[axis])
    return values.mul_(scales)


def _of_outputs(tensors: Tensors, name: str, scale: str) -> torch.Tensor:
    return tensors.read(name).to(torch.float32).mul_(factors(tensors.read(scale)).transpose(1, 2))


def factors(scale: torch.Tensor) -> torch.Tensor:
    """Scales in float32; bytes are exponents of two."""
    if scale.dtype == torch.uint8:
        return torch.exp2(scale.to(torch.float32) - _EXPONENT_OF_ONE)
    return scale.to(torch.float32)
