"""Rounds weights so that the errors of a product's channels make up for one another on sample text.

Channel by channel, the error of a rounded weight is spread over the channels that are still to be rounded, as their
correlation in the activations has it (GPTQ, Frantar et al. 2023). The range of each block is the one that leaves the
smallest weighted error, which is often a little narrower than its extremes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from attendant_export.quantisation.blocks import BlockFormat, Blocks, pack, stored

Floats = npt.NDArray[np.float32]

_DAMPING = 0.05  # of the mean of the diagonal
_RANGES = (1.0, 0.95, 0.9, 0.85, 0.8)


def round_together(weight: Floats, gram: Floats, form: BlockFormat) -> Blocks | None:
    """Blocks (with zero points) of ``weight`` [K, N]; ``gram`` [K, K]: the mean of row' * row over sample rows.

    Returns:
        None where K is no multiple of the block, or the sample has no inverse in float64.
    """
    upper = _inverse_factor(gram)
    if weight.shape[0] % form.block or upper is None:
        return None
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # steps as small as these are slower with more
    try:
        return _rounded(weight, upper, form)
    finally:
        torch.set_num_threads(before)


def _rounded(weight: Floats, upper: torch.Tensor, form: BlockFormat) -> Blocks:
    channels, outputs = weight.shape
    left = torch.from_numpy(np.array(weight, np.float32, order="C"))  # [K, N], changed as errors are spread
    top = 2**form.bits - 1
    values = torch.empty(channels, outputs, dtype=torch.uint8)
    scales, zeros = [], []
    for start in range(0, channels, form.block):
        stop = start + form.block
        block, factor = left[start:stop], upper[start:stop, start:stop]
        scale, zero = _best_range(block, 1 / factor.diagonal() ** 2, top)
        inverse = torch.where(scale != 0, 1 / scale, 0.0)
        errors = torch.empty_like(block)
        for index in range(form.block):
            number = torch.round(block[index] * inverse).add_(zero).clamp_(0, top)
            values[start + index] = number.to(torch.uint8)
            errors[index] = (block[index] - (number - zero) * scale) / factor[index, index]
            block[index + 1 :] -= torch.outer(factor[index, index + 1 :], errors[index])
        left[stop:] -= upper[start:stop, stop:].T @ errors
        scales.append(scale)
        zeros.append(zero)
    numbers = np.ascontiguousarray(values.numpy().T).reshape(outputs, -1, form.block)
    return pack(numbers, torch.stack(scales, 1).numpy(), torch.stack(zeros, 1).numpy(), form)


def _inverse_factor(gram: Floats) -> torch.Tensor | None:
    """The upper Cholesky factor of the inverse of the damped ``gram``, float32."""
    matrix = torch.from_numpy(gram).double()
    matrix.diagonal().add_(_DAMPING * float(matrix.diagonal().mean()) + 1e-12)
    try:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
        return torch.linalg.cholesky(inverse, upper=True).float()
    except torch.linalg.LinAlgError:
        return None


def _best_range(block: torch.Tensor, importance: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point [N] float32 of each column of ``block`` [channels, N]; ``importance``: [channels]."""
    low, high = block.amin(0).clamp(max=0), block.amax(0).clamp(min=0)
    least = torch.full_like(low, torch.inf)
    best_scale, best_zero = torch.zeros_like(low), torch.zeros_like(low)
    for share in _RANGES:
        scale = torch.from_numpy(stored(((high - low) * (share / top)).numpy()))
        inverse = torch.where(scale != 0, 1 / scale, 0.0)
        zero = torch.round(-low * share * inverse).clamp(0, top)
        numbers = torch.round(block * inverse).add_(zero).clamp_(0, top)
        error = importance @ (((numbers - zero) * scale - block) ** 2)
        better = error < least
        least = torch.where(better, error, least)
        best_scale, best_zero = torch.where(better, scale, best_scale), torch.where(better, zero, best_zero)
    return best_scale, best_zero
