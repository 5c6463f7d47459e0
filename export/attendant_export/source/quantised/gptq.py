"""GPTQ: whole numbers packed along the input channels, with a scale and a zero point for each group of them.

``qweight`` [K * bits / 32, N] int32, ``qzeros`` [groups, N * bits / 32] int32, ``scales`` [groups, N], and ``g_idx``
[K], the group of each channel. Zero points of the first version are stored less 1; those of ``gptq_v2`` are not.

Less 1 means two things, which differ where a zero point is 0. GPTQModel subtracts 1 from every value of a word at once,
as one whole number: what a value lacks is borrowed from the next one. AutoGPTQ takes each value for itself, and of what
is read, plus 1, the lowest bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.codes import Codes, group_of, read_groups, unpack
from attendant_export.source.quantised.sizes import Sizes
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import FLOATS, Reading

_LAYOUTS = ("gptq", "gptq_v2")
_BITS = (2, 3, 4, 8)
_WORDS = ("I32",)
_WORD = 32  # bits


class _Zeros(Enum):
    """How zero points are stored."""

    PLAIN = "as they are"
    LESS_ONE = "each less 1"
    WORDS_LESS_ONE = "words less 1 in each of their values"


@dataclass(frozen=True)
class _Place:
    """Where a weight is; ``groups`` [channels] of its channels."""

    stem: str
    bits: int
    channels: int
    groups: torch.Tensor
    zeros: _Zeros


def read_gptq(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every ``qweight``, with what belongs to it. How many bits a weight has, its own tensors say.

    Raises:
        SourceError: a part is missing or does not fit, or a layout that is made for one kernel; names it.
    """
    layout = str(settings.get("checkpoint_format") or "gptq")
    if layout not in _LAYOUTS:
        raise SourceError(
            f"{tensors.folder}: GPTQ's weights are in the layout {layout!r}, which is made for one kernel; those that "
            f"are read: {', '.join(_LAYOUTS)}"
        )
    zeros = _Zeros.PLAIN if layout == "gptq_v2" else _less_one(settings)
    reading = Reading()
    for name in tensors:
        if not name.endswith(".qweight"):
            continue
        place = _place(tensors, name, settings, zeros)
        codes = partial(_codes, tensors, place)
        shape = (tensors[name][1], place.channels)
        parts = [place.stem + part for part in ("qweight", "qzeros", "scales", "g_idx")]
        used = [part for part in parts if part in tensors]
        reading.add_codes(f"{place.stem}weight", shape, codes, place.groups, *used)
    return reading


def _less_one(settings: Mapping[str, Any]) -> _Zeros:
    """By who wrote the folder (``meta`` of its settings)."""
    meta = settings.get("meta")
    makers = str(meta.get("quantizer")) if isinstance(meta, dict) else ""
    return _Zeros.WORDS_LESS_ONE if "gptqmodel" in makers.lower() else _Zeros.LESS_ONE


def _place(tensors: Tensors, name: str, settings: Mapping[str, Any], zeros: _Zeros) -> _Place:
    stem = name.removesuffix("qweight")
    tensors.check(name, name, _WORDS, (None, None))
    rows, outputs = tensors[name]
    tensors.check(f"{stem}scales", name, FLOATS, (None, outputs))
    count = tensors[f"{stem}scales"][0]
    tensors.check(f"{stem}qzeros", name, _WORDS, (count, None))
    bits = tensors[f"{stem}qzeros"][1] * 32 // max(outputs, 1)
    if bits not in _BITS or rows % bits:
        raise SourceError(
            f"{tensors.folder}: the shapes of {name!r}, {list(tensors[name])}, and of its qzeros, "
            f"{list(tensors[f'{stem}qzeros'])}, do not make 2, 3, 4 or 8 bits"
        )
    channels = rows * 32 // bits
    if f"{stem}g_idx" in tensors:
        tensors.check(f"{stem}g_idx", name, ("I32", "I64"), (channels,))
    group = Sizes.of(settings).channel(channels, count)
    if group is None:
        raise SourceError(
            f"{tensors.folder}: {count} groups of scales do not share the {channels} channels of {name!r}"
        )
    groups = group_of(group, channels)
    if f"{stem}g_idx" in tensors:
        groups = read_groups(tensors, f"{stem}g_idx", channels, count)
    return _Place(stem, bits, channels, groups, zeros)


def _codes(tensors: Tensors, place: _Place) -> Codes:
    scales = tensors.read(f"{place.stem}scales").to(torch.float32).T.contiguous()
    words = tensors.read(f"{place.stem}qweight").T.contiguous()
    values = unpack(words, place.bits, place.channels)
    zeros = _zero_points(tensors.read(f"{place.stem}qzeros"), place, len(scales)).T
    return Codes(place.bits, values, scales, zeros.contiguous(), place.groups)


def _zero_points(words: torch.Tensor, place: _Place, outputs: int) -> torch.Tensor:
    """[groups, W] int32 -> [groups, outputs] int16."""
    bits, whole = place.bits, _WORD % place.bits == 0
    if place.zeros is _Zeros.WORDS_LESS_ONE and whole:
        ones = sum(1 << shift for shift in range(0, _WORD, bits))
        words = ((words.to(torch.int64) + ones) & (2**_WORD - 1)).to(torch.uint32).view(torch.int32)
        return unpack(words, bits, outputs).to(torch.int16)
    zeros = unpack(words, bits, outputs).to(torch.int16)
    if place.zeros is _Zeros.PLAIN:
        return zeros
    wraps = whole or place.zeros is _Zeros.WORDS_LESS_ONE  # AutoGPTQ's 3 bits reach 8
    return (zeros + 1) & (2**bits - 1) if wraps else zeros + 1
