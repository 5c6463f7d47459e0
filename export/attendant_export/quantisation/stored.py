"""Weights that a checkpoint has in blocks already, of whole numbers with a scale each: found again in a graph's
products, whose rows they are, and written as they are.

A pass over a graph joins weights (queries, keys and values are one product) and multiplies rows by constants. So a
weight of the graph is compared with those of the checkpoint, row by row, before any of their numbers is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_SAME = 1e-5  # of a row's largest value
_ALIKE = 1 - 1e-6  # cosine of two rows that may be the same


@dataclass(frozen=True)
class StoredBlocks:
    """A weight [N, K].

    Attributes:
        bits: 4 or 8. block: input channels of a scale.
        values: [N, blocks, block] uint8. scales: [N, blocks] float32.
        minimum: [N, blocks] float32. With it, a weight is value * scale + minimum; without, it is
            (value - zero) * scale.
        zeros: [N, blocks] uint8; without, they are 2 ** (bits - 1).
    """

    bits: int
    block: int
    values: npt.NDArray[np.uint8]
    scales: Floats
    minimum: Floats | None = None
    zeros: npt.NDArray[np.uint8] | None = None

    def plain(self) -> Floats:
        """The weight, [N, K] float32."""
        steps = self.values.astype(np.float32)
        if self.minimum is None:
            steps -= np.float32(2 ** (self.bits - 1)) if self.zeros is None else self.zeros[..., None]
        steps *= self.scales[..., None]
        if self.minimum is not None:
            steps += self.minimum[..., None]
        return steps.reshape(len(steps), -1)

    def first(self) -> StoredBlocks:
        """Its first row alone, [1, K]."""
        minimum = None if self.minimum is None else self.minimum[:1]
        zeros = None if self.zeros is None else self.zeros[:1]
        return replace(self, values=self.values[:1], scales=self.scales[:1], minimum=minimum, zeros=zeros)

    def multiplied(self, factors: Floats) -> StoredBlocks:
        """With each row multiplied by a factor, [N]."""
        minimum = None if self.minimum is None else self.minimum * factors[:, None]
        return replace(self, scales=self.scales * factors[:, None], minimum=minimum)


Read = Callable[[], StoredBlocks]


class Stored:
    """The weights of a checkpoint that are stored in blocks; each is read when it is needed."""

    def __init__(self, weights: Sequence[Read]) -> None:
        self._reads = weights
        self._first: list[Floats] | None = None

    def find(self, weight: Floats) -> StoredBlocks | None:
        """The blocks of a weight [K, N] whose columns are rows of the checkpoint's, in order, each multiplied by a
        factor or not; None where they are not all."""
        parts = []
        start = 0
        while start < weight.shape[1]:
            found = next(self._at(weight, start), None)
            if found is None:
                return None
            parts.append(found)
            start += len(found.scales)
        return _joined(parts)

    def _at(self, weight: Floats, start: int) -> Iterator[StoredBlocks]:
        column = _unit(weight[:, start])
        for read, first in zip(self._reads, self._firsts(), strict=True):
            if first.shape != column.shape or float(first @ column) < _ALIKE:
                continue
            blocks = read()
            factors = _factors(blocks.plain(), weight[:, start : start + len(blocks.scales)].T)
            if factors is not None:
                yield blocks.multiplied(factors)

    def _firsts(self) -> list[Floats]:
        if self._first is None:
            self._first = [_unit(read().first().plain()[0]) for read in self._reads]
        return self._first


def _unit(row: Floats) -> Floats:
    return (row / max(float(np.linalg.norm(row)), 1e-30)).astype(np.float32)


def _factors(rows: Floats, found: Floats) -> Floats | None:
    """By what each of ``rows`` [N, K] was multiplied to make ``found``; None if it was not."""
    if rows.shape != found.shape:
        return None
    squares = np.einsum("nk,nk->n", rows, rows, dtype=np.float64)
    products = np.einsum("nk,nk->n", rows, found, dtype=np.float64)
    factors = np.divide(products, squares, out=np.ones_like(squares), where=squares > 0)
    power = 2 ** np.rint(np.log2(np.maximum(np.abs(factors), 1e-30)))
    factors = np.where(np.abs(factors / power - 1) < _SAME, power, factors).astype(np.float32)
    peaks = np.abs(found).max(axis=1, initial=0)
    apart = np.abs(found - rows * factors[:, None]).max(axis=1, initial=0)
    return factors if bool((apart <= _SAME * peaks).all()) else None


def _joined(parts: Sequence[StoredBlocks]) -> StoredBlocks | None:
    """One weight of several; None where their blocks are of different sizes."""
    if len({part.block for part in parts}) != 1:
        return None
    bits = max(part.bits for part in parts)
    if any(part.minimum is not None for part in parts):
        parts = [_with_minimum(part) for part in parts]
    else:
        parts = [_widened(part, bits) for part in parts]
        if any(part.zeros is not None for part in parts):
            parts = [_with_zeros(part) for part in parts]
    minimums = [part.minimum for part in parts if part.minimum is not None]
    zeros = [part.zeros for part in parts if part.zeros is not None]
    return StoredBlocks(
        bits,
        parts[0].block,
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate(minimums) if minimums else None,
        np.concatenate(zeros) if zeros else None,
    )


def _widened(part: StoredBlocks, bits: int) -> StoredBlocks:
    shift = 2 ** (bits - 1) - 2 ** (part.bits - 1)
    zeros = None if part.zeros is None else part.zeros + np.uint8(shift)
    return replace(part, bits=bits, values=part.values + np.uint8(shift), zeros=zeros)


def _with_zeros(part: StoredBlocks) -> StoredBlocks:
    if part.zeros is not None:
        return part
    return replace(part, zeros=np.full(part.scales.shape, 2 ** (part.bits - 1), np.uint8))


def _with_minimum(part: StoredBlocks) -> StoredBlocks:
    if part.minimum is not None:
        return part
    zeros = np.float32(2 ** (part.bits - 1)) if part.zeros is None else part.zeros.astype(np.float32)
    return replace(part, minimum=-zeros * part.scales, zeros=None)
