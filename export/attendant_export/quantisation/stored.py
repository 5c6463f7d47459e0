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
from attendant.bundle import Precision

Floats = npt.NDArray[np.float32]

_SAME = 1e-5  # of a row's largest value
_ALIKE = 1 - 1e-6  # cosine of two rows that may be the same


@dataclass(frozen=True)
class StoredBlocks:
    """A weight [N, K].

    Attributes:
        bits: 4 or 8. block: input channels of a scale.
        values: [N, blocks, block] uint8. scales: [N, blocks] float32.
        zeros: [N, blocks] uint8; without, they are 2 ** (bits - 1). A weight is (value - zero) * scale.
        minimum: [N, blocks] float32. With it, there are no zeros, and a weight is
            (value - 2 ** (bits - 1) + middle) * scale + minimum.
        middle: [N] uint8, how many steps above the minimum the middle of the values lies; without, 2 ** (bits - 1).
            Values of fewer bits than ``bits`` have a lower one, so that they lie around the middle of all.
    """

    bits: int
    block: int
    values: npt.NDArray[np.uint8]
    scales: Floats
    minimum: Floats | None = None
    zeros: npt.NDArray[np.uint8] | None = None
    middle: npt.NDArray[np.uint8] | None = None

    @property
    def middles(self) -> Floats:
        """``middle``, or what stands for it, [N]."""
        if self.middle is None:
            return np.full(len(self.values), 2 ** (self.bits - 1), np.float32)
        return self.middle.astype(np.float32)

    def plain(self) -> Floats:
        """The weight, [N, K] float32."""
        steps = self.values.astype(np.float32)
        if self.minimum is not None:
            steps -= np.float32(2 ** (self.bits - 1)) - self.middles[:, None, None]
        else:
            steps -= np.float32(2 ** (self.bits - 1)) if self.zeros is None else self.zeros[..., None]
        steps *= self.scales[..., None]
        if self.minimum is not None:
            steps += self.minimum[..., None]
        return steps.reshape(len(steps), -1)

    def first(self) -> StoredBlocks:
        """Its first row alone, [1, K]."""
        minimum = None if self.minimum is None else self.minimum[:1]
        zeros = None if self.zeros is None else self.zeros[:1]
        middle = None if self.middle is None else self.middle[:1]
        return replace(
            self, values=self.values[:1], scales=self.scales[:1], minimum=minimum, zeros=zeros, middle=middle
        )

    def multiplied(self, factors: Floats) -> StoredBlocks:
        """With each row multiplied by a factor, [N]."""
        minimum = None if self.minimum is None else self.minimum * factors[:, None]
        return replace(self, scales=self.scales * factors[:, None], minimum=minimum)


Read = Callable[[], StoredBlocks]


class Stored:
    """The weights of a checkpoint that are stored in blocks; each is read when it is needed.

    Attributes:
        precision: that keeps all of them as they are; of another one, those of more bits are rounded anew.
    """

    def __init__(self, weights: Sequence[Read], precision: Precision | None = None) -> None:
        self.precision = precision
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
    """One weight of several, in the smallest of their blocks; None where a larger one is no multiple of it."""
    block = min(part.block for part in parts)
    if any(part.block % block for part in parts):
        return None
    parts = [_cut(part, block) for part in parts]
    bits = max(part.bits for part in parts)
    if any(part.minimum is not None for part in parts):
        parts = [_with_minimum(part) for part in parts]
    parts = [_widened(part, bits) for part in parts]
    if any(part.zeros is not None for part in parts):
        parts = [_with_zeros(part) for part in parts]
    minimums = [part.minimum for part in parts if part.minimum is not None]
    zeros = [part.zeros for part in parts if part.zeros is not None]
    middles = [part.middle for part in parts if part.middle is not None]
    return StoredBlocks(
        bits,
        block,
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate(minimums) if minimums else None,
        np.concatenate(zeros) if zeros else None,
        np.concatenate(middles) if middles else None,
    )


def _cut(part: StoredBlocks, block: int) -> StoredBlocks:
    """The same in smaller blocks, several with one scale."""
    count = part.block // block
    if count == 1:
        return part
    return replace(
        part,
        block=block,
        values=part.values.reshape(len(part.values), -1, block),
        scales=part.scales.repeat(count, axis=1),
        minimum=None if part.minimum is None else part.minimum.repeat(count, axis=1),
        zeros=None if part.zeros is None else part.zeros.repeat(count, axis=1),
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
    """The same with a minimum and a middle. Of what has neither, both are zero: nothing is left beside the values."""
    if part.minimum is not None:
        return replace(part, middle=part.middles.astype(np.uint8))
    middle = np.zeros(len(part.values), np.uint8)
    if part.zeros is None:
        return replace(part, minimum=np.zeros_like(part.scales), middle=middle)
    apart = np.float32(2 ** (part.bits - 1)) - part.zeros.astype(np.float32)
    return replace(part, minimum=apart * part.scales, zeros=None, middle=middle)
