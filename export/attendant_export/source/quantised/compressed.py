"""compressed-tensors: whole numbers packed or not, FP8 and FP4, whichever each weight is.

Packed: ``weight_packed`` [N, K * bits / 32, rounded up] int32, ``weight_scale`` [N, groups], ``weight_shape`` [2], and
where there are any ``weight_zero_point`` [N * bits / 32, rounded up, groups] int32 and ``weight_g_idx`` [K]. Values and
zero points are around 0, and stored with the middle of the range added. Not packed: ``weight`` [N, K] int8 with
``weight_scale`` and ``weight_zero_point`` [N, groups].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.codes import Codes, group_of, read_groups, unpack
from attendant_export.source.quantised.fp4 import add_fp4
from attendant_export.source.quantised.fp8 import read_fp8
from attendant_export.source.quantised.sizes import Sizes
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import FLOATS, Reading

_FORMATS = (
    *("dense", "pack-quantized", "int-quantized", "naive-quantized", "float-quantized", "mixed-precision"),
    *("nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized"),
)
_MIDDLE = 128  # of 8 bits
_MOST_BITS = 8


@dataclass(frozen=True)
class _Place:
    """Where a weight [outputs, channels] is; ``bits`` of a packed value, ``groups`` [channels] of its channels."""

    stem: str
    outputs: int
    channels: int
    groups: torch.Tensor
    bits: int = 8


def read_compressed(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every weight of whole numbers or of floats. What each of them is, its own tensors say.

    Raises:
        SourceError: a format that is not read, or a part that is missing or does not fit; names it.
    """
    _check_formats(tensors, settings)
    sizes = Sizes.of(settings)
    reading = read_bytes(tensors, settings)
    for name in tensors:
        if not name.endswith(".weight_packed"):
            continue
        if tensors.dtype(name) == "U8":
            add_fp4(reading, tensors, name)
            continue
        stem = name.removesuffix("weight_packed")
        outputs, channels, bits = _packed_sizes(tensors, name)
        groups = _groups(tensors, stem, channels, sizes)
        _add(reading, tensors, _packed, _Place(stem, outputs, channels, groups, bits))
    return reading


def read_bytes(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every weight of a byte a value: 8-bit floats, and whole numbers.

    Raises:
        SourceError: a part is missing or does not fit; names it.
    """
    reading, sizes = read_fp8(tensors, settings), Sizes.of(settings)
    for name, shape in tensors.items():
        if name.endswith(".weight") and tensors.dtype(name) == "I8":
            tensors.check(name, name, ("I8",), (None, None))
            stem = name.removesuffix("weight")
            place = _Place(stem, shape[0], shape[1], _groups(tensors, stem, shape[1], sizes))
            _add(reading, tensors, _unpacked, place)
    return reading


def _check_formats(tensors: Tensors, settings: Mapping[str, Any]) -> None:
    groups = settings.get("config_groups")
    formats = [settings.get("format"), (settings.get("sparsity_config") or {}).get("format")]
    formats += [group.get("format") for group in groups.values()] if isinstance(groups, dict) else []
    strange = next((name for name in formats if name is not None and name not in _FORMATS), None)
    if strange is not None:
        raise SourceError(
            f"{tensors.folder}: compressed-tensors has weights in the format {strange!r}; those that are read: "
            f"{', '.join(_FORMATS)}"
        )
    if settings.get("transform_config"):
        raise SourceError(
            f"{tensors.folder}: compressed-tensors has a transform_config: inputs are rotated while the model runs, "
            "which is not read"
        )


def _add(reading: Reading, tensors: Tensors, read: Callable[[Tensors, _Place], Codes], place: _Place) -> None:
    ends = ("weight", "weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx")
    parts = [place.stem + end for end in ends if place.stem + end in tensors]
    shape = (place.outputs, place.channels)
    reading.add_codes(f"{place.stem}weight", shape, partial(read, tensors, place), place.groups, *parts)


def _groups(tensors: Tensors, stem: str, channels: int, sizes: Sizes) -> torch.Tensor:
    """The group of each channel, [channels] int64."""
    scale = f"{stem}weight_scale"
    tensors.check(scale, f"{stem}weight", FLOATS)
    count = tensors[scale][-1] if len(tensors[scale]) > 1 else 1
    if f"{stem}weight_g_idx" in tensors:
        return read_groups(tensors, f"{stem}weight_g_idx", channels, count)
    group = sizes.channel(channels, count)
    if group is None:
        raise SourceError(
            f"{tensors.folder}: {count} groups of scales do not share the {channels} channels of {stem + 'weight'!r}"
        )
    return group_of(group, channels)


def _packed_sizes(tensors: Tensors, name: str) -> tuple[int, int, int]:
    """Outputs, channels and bits."""
    stem = name.removesuffix("weight_packed")
    tensors.check(name, name, ("I32",), (None, None))
    tensors.check(f"{stem}weight_shape", name, ("I64", "I32"), (2,))
    outputs, channels = (int(size) for size in tensors.read(f"{stem}weight_shape"))
    rows, words = tensors[name]
    bits = next((bits for bits in range(1, _MOST_BITS + 1) if -(-channels * bits // 32) == words), None)
    if bits is None or rows != outputs:
        raise SourceError(
            f"{tensors.folder}: {name!r} has shape {list(tensors[name])}, which does not hold the "
            f"[{outputs}, {channels}] of its weight_shape"
        )
    return outputs, channels, bits


def _packed(tensors: Tensors, place: _Place) -> Codes:
    values = unpack(tensors.read(f"{place.stem}weight_packed"), place.bits, place.channels)
    scales = _scales(tensors, place)
    zeros = torch.full(scales.shape, 2 ** (place.bits - 1), dtype=torch.int16)
    name = f"{place.stem}weight_zero_point"
    if name in tensors and tensors.dtype(name) == "I32":  # packed along the outputs
        tensors.check(name, f"{place.stem}weight", ("I32",), (-(-place.outputs * place.bits // 32), scales.shape[1]))
        words = tensors.read(name).T.contiguous()
        zeros = unpack(words, place.bits, place.outputs).T.to(torch.int16).contiguous()
    elif name in tensors:
        zeros = zeros + _zeros(tensors, place, scales)
    return Codes(place.bits, values, scales, zeros, place.groups)


def _unpacked(tensors: Tensors, place: _Place) -> Codes:
    values = (tensors.read(f"{place.stem}weight").to(torch.int16) + _MIDDLE).to(torch.uint8)
    scales = _scales(tensors, place)
    zeros = torch.full(scales.shape, _MIDDLE, dtype=torch.int16)
    if f"{place.stem}weight_zero_point" in tensors:
        zeros = zeros + _zeros(tensors, place, scales)
    return Codes(place.bits, values, scales, zeros, place.groups)


def _scales(tensors: Tensors, place: _Place) -> torch.Tensor:
    """[N, groups] float32; of a single scale, and of one for each row, too."""
    name = f"{place.stem}weight_scale"
    scales = tensors.read(name).to(torch.float32)
    if scales.numel() == 1:
        return scales.reshape(1, 1).expand(place.outputs, 1).contiguous()
    if scales.dim() == 1:
        scales = scales[:, None]
    if scales.dim() != 2 or scales.shape[0] != place.outputs:
        raise SourceError(
            f"{tensors.folder}: tensor {name!r} has shape {list(tensors[name])}; there must be one row for each of "
            f"{place.outputs} outputs"
        )
    return scales


def _zeros(tensors: Tensors, place: _Place, scales: torch.Tensor) -> torch.Tensor:
    name = f"{place.stem}weight_zero_point"
    tensors.check(name, f"{place.stem}weight", ("I8",))
    zeros = tensors.read(name).to(torch.int16)
    if zeros.numel() not in (1, scales.numel()):
        raise SourceError(
            f"{tensors.folder}: tensor {name!r} has shape {list(zeros.shape)}, its scales {list(scales.shape)}"
        )
    return zeros.reshape(-1, 1).expand(scales.shape) if zeros.numel() == 1 else zeros.reshape(scales.shape)
