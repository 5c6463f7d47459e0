"""Rounds weights to whole numbers, for the writers of formats that have them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Whole:
    """A weight [N, K]: ``values`` [N, K] from 0 on, ``scales`` and ``zeros`` [N, groups]; ``groups`` [K]."""

    values: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor
    groups: torch.Tensor

    @property
    def plain(self) -> torch.Tensor:
        steps = self.values - self.zeros[:, self.groups]
        return steps.float() * self.scales.float()[:, self.groups]


def rounded(
    weight: torch.Tensor,
    bits: int,
    group: int,
    *,
    symmetric: bool = False,
    groups: torch.Tensor | None = None,
    scale_type: torch.dtype = torch.float16,
) -> Whole:
    """``weight`` [N, K] in ``bits`` bits, with a scale for each group of input channels, of neighbours by default."""
    channels = weight.shape[1]
    groups = torch.arange(channels) // group if groups is None else groups
    top, count = 2**bits - 1, int(groups.max()) + 1
    scales, zeros = torch.empty(len(weight), count), torch.empty(len(weight), count)
    for index in range(count):
        part = weight[:, groups == index]
        if symmetric:
            scales[:, index], zeros[:, index] = part.abs().amax(1) / (top // 2), 2 ** (bits - 1)
        else:
            low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
            scales[:, index] = (high - low) / top
            zeros[:, index] = (-low / scales[:, index]).round().clamp(1, top)
    scales = scales.to(scale_type)
    values = (weight / scales.float()[:, groups]).round() + zeros[:, groups]
    return Whole(values.clamp(0, top).to(torch.int16), scales, zeros.to(torch.int16), groups)


def packed(values: torch.Tensor, bits: int) -> torch.Tensor:
    """[..., n] -> words [..., n * bits / 32] int32, densely, the first value in the lowest bits."""
    count = values.shape[-1]
    missing = -count % 32
    values = torch.nn.functional.pad(values.long(), (0, missing))
    bitwise = (values[..., None] >> torch.arange(bits)) & 1  # [..., n, bits]
    words = bitwise.flatten(-2).unflatten(-1, (-1, 32))
    found = (words << torch.arange(32)).sum(-1)
    found = torch.where(found >= 2**31, found - 2**32, found).to(torch.int32)
    return found[..., : -(-count * bits // 32)].contiguous()
