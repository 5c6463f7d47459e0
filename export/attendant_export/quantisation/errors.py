"""How much a product loses in a format, measured on sample rows: what smoothing and rotation are chosen by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from attendant_export.quantisation.blocks import BlockFormat
from attendant_export.quantisation.rotation import hadamard

Floats = npt.NDArray[np.float32]

_COLUMNS = 256  # of a weight, which stand for all
_TINY = 1e-30


@dataclass(frozen=True)
class RowFormat:
    """int8 weights with a scale per output channel; activations in 8 bits with a scale per row."""


Format = RowFormat | BlockFormat


class Trial:
    """The products of ``rows`` [n, K] float32 with some columns of ``weights``, each [K, N] float32."""

    def __init__(self, rows: Floats, weights: list[Floats], form: Format) -> None:
        self._rows = torch.from_numpy(rows)
        columns = [weight[:, :: max(1, weight.shape[1] * len(weights) // _COLUMNS)] for weight in weights]
        self._weight = torch.from_numpy(np.ascontiguousarray(np.concatenate(columns, axis=1), np.float32))
        self._wanted = self._rows @ self._weight
        self._form = form

    def error(self, scale: Floats | None = None, rotation: int = 1) -> float:
        """The mean squared error of the products, to their mean square, after channels were divided by ``scale`` [K]
        and mixed in blocks of ``rotation``."""
        rows, weight = self._rows, self._weight
        if scale is not None:
            factor = torch.from_numpy(scale)
            rows, weight = rows / factor, weight * factor[:, None]
        if rotation > 1:
            matrix = torch.from_numpy(hadamard(rotation))
            channels, columns = weight.shape
            rows = (rows.reshape(-1, rotation) @ matrix).reshape(rows.shape)
            weight = (matrix @ weight.reshape(channels // rotation, rotation, columns)).reshape(channels, columns)
        found = _product(rows, weight, self._form)
        wanted = float((self._wanted**2).mean())
        return float(((found - self._wanted) ** 2).mean()) / max(wanted, _TINY)


def _product(rows: torch.Tensor, weight: torch.Tensor, form: Format) -> torch.Tensor:
    """What ONNX Runtime's kernels give, up to rounding in float32."""
    if isinstance(form, RowFormat):
        return _symmetric(rows, 127) @ _symmetric(weight.T, 127).T
    missing = -weight.shape[0] % form.block
    padded = torch.nn.functional.pad(rows, (0, missing))
    rounded_rows = _symmetric(padded.reshape(len(rows), -1, form.block), 127).reshape(padded.shape)
    return rounded_rows[:, : weight.shape[0]] @ rounded(weight, form)


def rounded(weight: torch.Tensor, form: BlockFormat) -> torch.Tensor:
    """What is left of ``weight`` [K, N] float32 when each value becomes the nearest one of its block."""
    channels, columns = weight.shape
    blocks = torch.nn.functional.pad(weight.T, (0, -channels % form.block)).reshape(columns, -1, form.block)
    top = 2**form.bits - 1
    if form.zeros:
        low, high = blocks.amin(-1, keepdim=True).clamp(max=0), blocks.amax(-1, keepdim=True).clamp(min=0)
        step = ((high - low) / top).clamp(min=_TINY)
        zero = torch.round(-low / step)
        blocks = (torch.round(blocks / step).add_(zero).clamp_(0, top) - zero) * step
    else:
        blocks = _symmetric(blocks, (top + 1) // 2)
    return blocks.reshape(columns, -1)[:, :channels].T.contiguous()


def _symmetric(values: torch.Tensor, steps: int) -> torch.Tensor:
    """Rounded to ``steps`` steps on each side of zero, of a size for each row of the last axis."""
    step = (values.abs().amax(-1, keepdim=True) / steps).clamp(min=_TINY)
    return torch.round(values / step) * step
