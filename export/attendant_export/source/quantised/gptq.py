"""GPTQ: whole numbers packed along the input channels, with a scale and a zero point for each group of them.

``qweight`` [K * bits / 32, N] int32, ``qzeros`` [groups, N * bits / 32] int32, ``scales`` [groups, N], and ``g_idx``
[K], the group of each channel. Zero points of the first version are stored less 1; those of ``gptq_v2`` are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.codes import Codes, even_groups, group_of, read_groups, unpack
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import FLOATS, Reading

_OFFSETS = {"gptq": 1, "gptq_v2": 0}
_BITS = (2, 3, 4, 8)
_WORDS = ("I32",)


@dataclass(frozen=True)
class _Place:
    """Where a weight is; ``groups`` [channels] of its channels."""

    stem: str
    bits: int
    channels: int
    groups: torch.Tensor
    offset: int


def read_gptq(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every ``qweight``, with what belongs to it. How many bits a weight has, its own tensors say.

    Raises:
        SourceError: a part is missing or does not fit, or a layout that is made for one kernel; names it.
    """
    layout = str(settings.get("checkpoint_format") or "gptq")
    if layout not in _OFFSETS:
        raise SourceError(
            f"{tensors.folder}: GPTQ's weights are in the layout {layout!r}, which is made for one kernel; those that "
            f"are read: {', '.join(_OFFSETS)}"
        )
    reading = Reading()
    for name in tensors:
        if not name.endswith(".qweight"):
            continue
        place = _place(tensors, name, settings, _OFFSETS[layout])
        codes = partial(_codes, tensors, place)
        shape = (tensors[name][1], place.channels)
        parts = [place.stem + part for part in ("qweight", "qzeros", "scales", "g_idx")]
        used = [part for part in parts if part in tensors]
        reading.add_codes(f"{place.stem}weight", shape, codes, place.groups, *used)
    return reading


def _place(tensors: Tensors, name: str, settings: Mapping[str, Any], offset: int) -> _Place:
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
    group = even_groups(channels, count)
    asked = settings.get("group_size")
    if group is None and isinstance(asked, int) and asked > 0 and -(-channels // asked) == count:
        group = asked
    if group is None:
        raise SourceError(
            f"{tensors.folder}: {count} groups of scales do not share the {channels} channels of {name!r}"
        )
    groups = group_of(group, channels)
    if f"{stem}g_idx" in tensors:
        groups = read_groups(tensors, f"{stem}g_idx", channels, count)
    return _Place(stem, bits, channels, groups, offset)


def _codes(tensors: Tensors, place: _Place) -> Codes:
    scales = tensors.read(f"{place.stem}scales").to(torch.float32).T.contiguous()
    words = tensors.read(f"{place.stem}qweight").T.contiguous()
    values = unpack(words, place.bits, place.channels)
    zeros = unpack(tensors.read(f"{place.stem}qzeros"), place.bits, len(scales)).T.to(torch.int16) + place.offset
    return Codes(place.bits, values, scales, zeros.contiguous(), place.groups)
