"""FP4: 4-bit floats (E2M1), two a byte, the first in the low half, with a scale for each group of input channels.

Two kinds: MXFP4 has a power of two for each 32 channels. NVFP4 has an 8-bit float (E4M3) for each 16 and a scale for
the whole tensor, which is multiplied with (``weight_scale_2``) or divided by (``weight_global_scale``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from attendant_export.errors import SourceError
from attendant_export.source.quantised.fp8 import factors
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import Reading, Weight

_EXPONENTS = ("U8", "F8_E8M0")
FP4_SCALES = ("F8_E4M3", *_EXPONENTS)
"""Types of their scales, as safetensors writes them."""
_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_TABLE = torch.tensor([*_VALUES, *(-value for value in _VALUES)])
_GROUPS = {"F8_E4M3": 16, **dict.fromkeys(_EXPONENTS, 32)}
"""Channels of a scale, by its type."""


@dataclass(frozen=True)
class _Parts:
    """Names of a weight's tensors; ``whole`` is the scale of all, or None, and ``divides`` whether it is divided by."""

    packed: str
    scale: str
    whole: str | None
    divides: bool

    @property
    def names(self) -> tuple[str, ...]:
        return (self.packed, self.scale) if self.whole is None else (self.packed, self.scale, self.whole)


def from_pairs(codes: torch.Tensor) -> torch.Tensor:
    """Values, [..., 2 n] float32, of bytes [..., n] uint8."""
    return torch.stack([_TABLE[(codes & 15).int()], _TABLE[(codes >> 4).int()]], dim=-1).flatten(-2)


def add_fp4(reading: Reading, tensors: Tensors, packed: str) -> None:
    """Adds the weight [..., N, K] whose values are in ``packed``, [..., N, K / 2], by the names of its scales.

    Raises:
        SourceError: a scale is missing, or does not fit; names the tensor.
    """
    stem = packed.rpartition(".")[0]
    tensors.check(packed, packed, ("U8",))
    *outer, half = tensors[packed]
    parts = _parts(tensors, packed, f"{stem}.", (*outer, None))
    _check_groups(tensors, parts, half, tensors[parts.scale][-1])
    reading.add(f"{stem}.weight", Weight((*outer, 2 * half), partial(_dequantised, tensors, parts)), *parts.names)


def add_packed_fp4(reading: Reading, tensors: Tensors, packed: str) -> None:
    """Adds the weights [experts, K, N] whose values are in ``packed``, [experts, K / 2, N], and have its name.

    Raises:
        SourceError: a scale is missing, or does not fit; names the tensor.
    """
    tensors.check(packed, packed, ("U8",), (None, None, None))
    experts, half, outputs = tensors[packed]
    parts = _parts(tensors, packed, f"{packed}_", (experts, None, outputs))
    _check_groups(tensors, parts, half, tensors[parts.scale][1])
    weight = Weight((experts, 2 * half, outputs), partial(_dequantised, tensors, parts, turned=True))
    reading.add(packed, weight, *parts.names)


def _parts(tensors: Tensors, packed: str, stem: str, shape: tuple[int | None, ...]) -> _Parts:
    """``stem``: what names of scales begin with. ``shape``: of the scales."""
    scale, divisor, factor = (stem + end for end in ("weight_scale", "weight_global_scale", "weight_scale_2"))
    tensors.check(scale, packed, FP4_SCALES, shape)
    whole = next((name for name in (divisor, factor) if name in tensors), None)
    if tensors.dtype(scale) in _EXPONENTS:
        if whole is not None:
            raise SourceError(f"{tensors.folder}: {packed!r} has powers of two as scales, and beside them {whole!r}")
    elif whole is None:
        raise SourceError(f"{tensors.folder}: {packed!r} has no scale of the whole: neither {divisor!r} nor {factor!r}")
    else:
        tensors.check(whole, packed, ("F32",))
        if any(length != 1 for length in tensors[whole]):
            raise SourceError(
                f"{tensors.folder}: tensor {whole!r} has shape {list(tensors[whole])}; it must be one number"
            )
    return _Parts(packed, scale, whole, whole == divisor)


def _check_groups(tensors: Tensors, parts: _Parts, half: int, count: int) -> None:
    size = _GROUPS[tensors.dtype(parts.scale)]
    if half * 2 % size:
        raise SourceError(f"{tensors.folder}: {parts.packed!r} has {half * 2} channels, which are no groups of {size}")
    if count != half * 2 // size:
        raise SourceError(
            f"{tensors.folder}: tensor {parts.scale!r} has {count} scales for {half * 2} channels of {parts.packed!r}; "
            f"one for each {size} of them is {half * 2 // size}"
        )


def _dequantised(tensors: Tensors, parts: _Parts, *, turned: bool = False) -> torch.Tensor:
    """``turned``: the last two axes of values and scales are swapped in the file, and so they are in what comes out."""
    codes, scales = tensors.read(parts.packed), factors(tensors.read(parts.scale))
    if turned:
        codes, scales = codes.transpose(1, 2), scales.transpose(1, 2)
    values = from_pairs(codes)
    if parts.whole is not None:
        whole = tensors.read(parts.whole).reshape(())
        scales = scales / whole if parts.divides else scales * whole
    size = values.shape[-1] // scales.shape[-1]
    found = values.unflatten(-1, (-1, size)).mul_(scales[..., None]).flatten(-2)
    return found.transpose(1, 2).contiguous() if turned else found
