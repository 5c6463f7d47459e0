"""Weights as whole numbers with scales and zero points, and how whole numbers are packed into words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from attendant_export.errors import SourceError
from attendant_export.quantisation.stored import StoredBlocks
from attendant_export.source.quantised.tensors import Tensors

_SMALL = 4  # bits


@dataclass(frozen=True)
class Codes:
    """A weight [N, K]: (values - zeros) * scales, with a scale and a zero point for each group of input channels.

    Attributes:
        bits: of a value. values: [N, K] uint8. scales: [N, groups] float32. zeros: [N, groups] int16.
        groups: the group of each channel, [K] int64.
    """

    bits: int
    values: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor
    groups: torch.Tensor

    def plain(self) -> torch.Tensor:
        """The weight, [N, K] float32."""
        steps = self.values.to(torch.int16) - self.zeros[:, self.groups]
        return steps.to(torch.float32).mul_(self.scales[:, self.groups])

    def blocks(self, block: int) -> StoredBlocks:
        """The same in blocks of ``block`` channels, none of which lies in two groups; in 4 bits, or 8 where it takes
        more. Zero points that are not in the range of values become minimums."""
        bits = 4 if self.bits <= _SMALL else 8
        starts = self.groups[::block]
        values = self.values.reshape(len(self.values), -1, block).numpy()
        scales = self.scales[:, starts].numpy()
        zeros = self.zeros[:, starts]
        if bool((zeros == 2 ** (bits - 1)).all()):
            return StoredBlocks(bits, block, values, scales)
        if bool(((zeros < 0) | (zeros >= 2**bits)).any()):
            return StoredBlocks(bits, block, values, scales, minimum=-zeros.numpy().astype(np.float32) * scales)
        return StoredBlocks(bits, block, values, scales, zeros=zeros.to(torch.uint8).numpy())


def unpack(words: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """Whole numbers of ``bits`` bits, [..., count] uint8, from words [..., W] int32; the first is in the lowest bits.

    They lie densely: one may begin in a word and end in the next.
    """
    mask = 2**bits - 1
    if 8 % bits == 0:  # none lies across two bytes
        parts = words.contiguous().view(torch.uint8)
        found = torch.stack([(parts >> shift) & mask for shift in range(0, 8, bits)], dim=-1)
        return found.flatten(-2)[..., :count].contiguous()
    wide = words.to(torch.int64) & 0xFFFFFFFF
    starts = torch.arange(count) * bits
    at, shift = starts // 32, starts % 32
    upper = wide[..., (at + 1).clamp(max=wide.shape[-1] - 1)] << (32 - shift)
    return (((wide[..., at] >> shift) | upper) & mask).to(torch.uint8)


def block_of(groups: torch.Tensor) -> int | None:
    """The size of blocks of neighbouring channels that each lie in one group, [K] int64; None where there is none.

    A row's products do not depend on its neighbours in blocks of 16 and 32.
    """
    for size in (32, 16):
        if len(groups) % size == 0 and bool((groups.reshape(-1, size) == groups[::size, None]).all()):
            return size
    return None


def group_of(size: int, channels: int) -> torch.Tensor:
    """The group of each channel where each has ``size`` neighbours, [channels] int64."""
    return torch.arange(channels) // size


def read_groups(tensors: Tensors, name: str, channels: int, count: int) -> torch.Tensor:
    """The group of each channel as a tensor says it, [channels] int64.

    Raises:
        SourceError: of another size, or it names a group that is not there.
    """
    found = tensors.read(name).to(torch.int64)
    if found.shape != (channels,) or not bool(((found >= 0) & (found < count)).all()):
        raise SourceError(
            f"{tensors.folder}: tensor {name!r} must name one of {count} groups for each of {channels} channels"
        )
    return found
