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

_DAMPING = 0.01  # of the mean of the diagonal
_RANGES = (1.0, 0.95, 0.9, 0.85, 0.8)


def round_together(weight: Floats, gram: Floats, form: BlockFormat) -> Blocks | None:
    """Blocks (with zero points) of ``weight`` [K, N]; ``gram`` [K, K]: the mean of row' * row over sample rows.

    Returns:
        None where K is no multiple of the block, or the sample has no inverse in float64.
    """
    channels, outputs = weight.shape
    upper = _inverse_factor(gram)
    if channels % form.block or upper is None:
        return None
    left = torch.from_numpy(np.ascontiguousarray(weight.T)).clone()  # [N, K], changed as errors are spread
    top = 2**form.bits - 1
    values = torch.empty(outputs, channels, dtype=torch.uint8)
    scales, zeros = [], []
    for start in range(0, channels, form.block):
        stop = start + form.block
        block, factor = left[:, start:stop], upper[start:stop, start:stop]
        scale, zero = _best_range(block, 1 / factor.diagonal() ** 2, top)
        inverse = torch.where(scale != 0, 1 / scale, 0.0)
        errors = torch.empty_like(block)
        for index in range(form.block):
            number = (torch.round(block[:, index] * inverse) + zero).clamp(0, top)
            values[:, start + index] = number.to(torch.uint8)
            errors[:, index] = (block[:, index] - (number - zero) * scale) / factor[index, index]
            block[:, index + 1 :] -= errors[:, index : index + 1] * factor[index, index + 1 :]
        left[:, stop:] -= errors @ upper[start:stop, stop:]
        scales.append(scale)
        zeros.append(zero)
    numbers = values.numpy().reshape(outputs, -1, form.block)
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
    """Scale and zero point [N] float32 of each row of ``block`` [N, channels]; ``importance``: of an error, by channel."""
    low, high = block.amin(1).clamp(max=0), block.amax(1).clamp(min=0)
    best: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    for share in _RANGES:
        scale = torch.from_numpy(stored(((high - low) * (share / top)).numpy()))
        inverse = torch.where(scale != 0, 1 / scale, 0.0)
        zero = torch.round(-low * share * inverse).clamp(0, top)
        numbers = (torch.round(block * inverse[:, None]) + zero[:, None]).clamp(0, top)
        error = (((numbers - zero[:, None]) * scale[:, None] - block) ** 2 * importance).sum(1)
        if best is None:
            best = error, scale, zero
        else:
            found = (error, scale, zero)
            best = tuple(torch.where(error < best[0], new, old) for new, old in zip(found, best, strict=True))  # type: ignore[assignment]
    assert best is not None
    return best[1], best[2]
