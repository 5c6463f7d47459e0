"""torchao in safetensors: plain whole numbers and FP8, by the classes of tensors that the files' metadata name.

A tensor ``x.weight`` of a class lies in ``x._weight_qdata``, ``x._weight_scale`` and, where there is one,
``x._weight_zero_point``; the metadata have its class and its blocks as JSON by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.fp8 import TYPES
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import FLOATS, Reading, Weight

_CLASSES = {
    "Int8Tensor": ("I8",),
    "IntxUnpackedToInt8Tensor": ("I8",),
    "Float8Tensor": TYPES,
}
"""What is read, and of which types its values are."""
_PLAIN = ("Tensor", "Parameter")
_OF_ACTIVATIONS = ("act_quant_scale", "act_quant_zero_point")


def read_torchao(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every tensor that the metadata give a class.

    Raises:
        SourceError: a class that is not read, or a part that is missing or does not fit; names it.
    """
    reading = Reading()
    for name, text in tensors.metadata.items():
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if not isinstance(found, dict) or "_type" not in found or found["_type"] in _PLAIN:
            continue
        kind = str(found["_type"])
        if kind not in _CLASSES:
            raise SourceError(
                f"{tensors.folder}: {name!r} is torchao's {kind}, which is not read; what is: {', '.join(_CLASSES)}"
            )
        _add(reading, tensors, name, _CLASSES[kind])
    return reading


def _add(reading: Reading, tensors: Tensors, name: str, types: tuple[str, ...]) -> None:
    module, _, part = name.rpartition(".")
    stem = f"{module}._{part}_"
    if f"{stem}act_pre_scale" in tensors:
        raise SourceError(f"{tensors.folder}: {name!r} has its inputs scaled (act_pre_scale), which is not read")
    values, scale, zero = f"{stem}qdata", f"{stem}scale", f"{stem}zero_point"
    tensors.check(values, name, types)
    tensors.check(scale, name, FLOATS)
    shape = tensors[values]
    parts = [values, scale]
    if zero in tensors:
        tensors.check(zero, name, ("I8", "I32", "I64", *FLOATS), tensors[scale])
        parts.append(zero)
    parts += [stem + part for part in _OF_ACTIVATIONS if stem + part in tensors]
    _spread(torch.empty(tensors[scale], device="meta"), shape, f"{tensors.folder}: {scale!r}")
    read = partial(_dequantised, tensors, stem, zero in tensors)
    reading.add(name, Weight(shape, read), *parts)


def _dequantised(tensors: Tensors, stem: str, zeros: bool) -> torch.Tensor:
    values = tensors.read(f"{stem}qdata").to(torch.float32)
    if zeros:
        values -= _spread(tensors.read(f"{stem}zero_point").to(torch.float32), values.shape, stem)
    return values.mul_(_spread(tensors.read(f"{stem}scale").to(torch.float32), values.shape, stem))


def _spread(scales: torch.Tensor, shape: tuple[int, ...], name: str) -> torch.Tensor:
    """One scale for each value.

    Raises:
        SourceError: they do not go together.
    """
    if scales.numel() == 1:
        return scales.reshape(()).expand(shape)
    if scales.dim() == len(shape) - 1:
        scales = scales[..., None]
    fits = scales.dim() == len(shape) and all(
        size % count == 0 for size, count in zip(shape, scales.shape, strict=True)
    )
    if not fits:
        raise SourceError(f"{name} has shape {list(scales.shape)}, which does not go with {list(shape)}")
    for axis, size in enumerate(shape):
        scales = scales.repeat_interleave(size // scales.shape[axis], dim=axis)
    return scales
