"""AWQ as its GEMM kernel has it: 4 bits packed along the outputs, eight a word in an interleaved order.

``qweight`` [K, N / 8] int32, ``qzeros`` [groups, N / 8] int32 and ``scales`` [groups, N].
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.codes import Codes, group_of, unpack
from attendant_export.source.quantised.sizes import Sizes
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import FLOATS, Reading

_BITS, _A_WORD = 4, 8
_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""By output, which of a word's four bits it has."""


def read_awq(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every ``qweight``, with what belongs to it.

    Raises:
        SourceError: a part is missing or does not fit, or the layout of another kernel; names it.
    """
    version = str(settings.get("version") or "gemm").lower()
    if version != "gemm":
        raise SourceError(f"{tensors.folder}: AWQ's weights are in the layout {version!r}; the one that is read: gemm")
    reading = Reading()
    for name in tensors:
        if not name.endswith(".qweight"):
            continue
        stem = name.removesuffix("qweight")
        tensors.check(name, name, ("I32",), (None, None))
        channels, words = tensors[name]
        tensors.check(f"{stem}scales", name, FLOATS, (None, words * _A_WORD))
        count = tensors[f"{stem}scales"][0]
        tensors.check(f"{stem}qzeros", name, ("I32",), (count, words))
        group = Sizes.of(settings).channel(channels, count)
        if group is None:
            raise SourceError(
                f"{tensors.folder}: {count} groups of scales do not share the {channels} channels of {name!r}"
            )
        codes = partial(_codes, tensors, stem, group)
        parts = (name, f"{stem}scales", f"{stem}qzeros")
        reading.add_codes(f"{stem}weight", (words * _A_WORD, channels), codes, group_of(group, channels), *parts)
    return reading


def _codes(tensors: Tensors, stem: str, group: int) -> Codes:
    values, zeros = (_unpacked(tensors.read(stem + part)).T for part in ("qweight", "qzeros"))
    scales = tensors.read(f"{stem}scales").to(torch.float32).T
    groups = group_of(group, values.shape[1])
    return Codes(_BITS, values.contiguous(), scales.contiguous(), zeros.to(torch.int16).contiguous(), groups)


def _unpacked(words: torch.Tensor) -> torch.Tensor:
    """[rows, W] int32 -> [rows, 8 W] uint8, in the order of the outputs."""
    rows, count = words.shape
    found = unpack(words, _BITS, count * _A_WORD)
    return found.reshape(rows, count, _A_WORD)[..., list(_PLACES)].reshape(rows, -1)
