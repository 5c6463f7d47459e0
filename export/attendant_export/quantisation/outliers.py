"""Channels of activations that are far larger than their neighbours: which they are, and how they are kept apart.

A product in blocks rounds activations in blocks, too, to 127 steps of the largest channel. So one large channel costs
all of its block; kept apart, in float32, it costs nobody anything (after LLM.int8(), Dettmers et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from attendant_export.graph.nodes import Editor, array_of
from attendant_export.memory import in_batches
from attendant_export.progress import Step
from attendant_export.quantisation.activations import SAMPLED_BYTES, SAMPLED_ROWS, Activations, Feeds
from attendant_export.quantisation.products import Group

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

MOST_APART = 16
"""Fewer than what is quantised has at the least, so that their products stay in float32."""

_WORTH_ONE, _WORTH_ALL = 0.05, 0.5
"""What a channel apart, and all of them, have to save of the error of their products: they cost time."""


def outliers_of(
    model: ir.Model, groups: Sequence[Group], samples: Sequence[Feeds], block: int, step: Step
) -> dict[ir.Value, Ints]:
    """The channels worth keeping apart of what ``groups`` read, in blocks of ``block``; of none where there are none.

    Args:
        samples: inputs of typical runs of the graph, at least one.
    """
    activations = Activations(model, samples, [group.value for group in groups], step)
    found: dict[ir.Value, Ints] = {}
    for batch in in_batches(groups, lambda group: 4 * group.channels * SAMPLED_ROWS, SAMPLED_BYTES):
        flows = activations.of([group.value for group in batch])
        for group in batch:
            channels = find_outliers(flows[group.value].rows, _power(group), block)
            if len(channels):
                found[group.value] = channels
    return found


def find_outliers(rows: Floats, power: Floats, block: int) -> Ints:
    """The channels to keep apart, in order, at most :data:`MOST_APART`.

    One by one, the channel that saves most of the expected error of the products: rounding to 127 steps of a block's
    peak adds peak² / (12 * 127²) to each of its channels, which is multiplied by the squares of the channel's weights.

    Args:
        rows: typical activations, [n, K] float32; n may be 0.
        power: of each channel, the sum of the squares of its weights, [K] float32.
    """
    if not len(rows):
        return np.empty(0, np.int64)
    missing = -len(power) % block
    sizes = np.abs(np.pad(rows, ((0, 0), (0, missing)))).reshape(len(rows), -1, block)
    weights = np.pad(power, (0, missing)).astype(np.float64).reshape(-1, block)
    errors, gains = _errors(sizes, weights)
    whole = float(errors.sum())
    chosen: list[int] = []
    while len(chosen) < MOST_APART:
        best = int(gains.argmax())
        if gains.flat[best] <= _WORTH_ONE * whole:
            break
        chosen.append(best)
        at = best // block
        sizes[:, at, best % block] = weights[at, best % block] = 0
        part = slice(at, at + 1)
        errors[part], gains[part] = _errors(sizes[:, part], weights[part])
    worth = whole - float(errors.sum()) >= _WORTH_ALL * whole
    return np.sort(np.array(chosen if worth else [], np.int64))


def _errors(sizes: Floats, weights: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The error of each block, [blocks], and what of it each channel saves if it is taken out, [blocks, block].

    Args:
        sizes: magnitudes, [n, blocks, block]. weights: their power, [blocks, block].
    """
    largest = np.partition(sizes, -2, axis=-1)[..., -2:].astype(np.float64) ** 2
    lost = largest[..., 1] - largest[..., 0]  # of the peak's square, without the channel that has it
    falls = np.zeros(weights.shape)
    blocks = np.broadcast_to(np.arange(len(weights)), lost.shape)
    np.add.at(falls, (blocks, sizes.argmax(axis=-1)), lost / len(sizes))
    peaks, powers = largest[..., 1].mean(axis=0), weights.sum(axis=-1)
    return peaks * powers, falls * powers[:, None] + (peaks[:, None] - falls) * weights


def _power(group: Group) -> Floats:
    power: Floats = np.zeros(group.channels, np.float32)
    for node in group.nodes:
        weight = node.inputs[1]
        assert weight is not None
        power += np.einsum("kn,kn->k", array_of(weight), array_of(weight))
    return power


class OutlierWriter:
    """Parts values of a graph into their outliers and the rest, once for all products that read them."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._parts: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}

    def part(self, x: ir.Value, channels: Ints) -> tuple[ir.Value, ir.Value]:
        """``x`` [..., K] with zeros in the place of ``channels``, and these channels alone, [..., channels]."""
        if x not in self._parts:
            maker, shape = x.producer(), x.shape
            assert maker is not None, "products read what nodes make"
            assert shape is not None
            kept = np.ones(int(shape[-1]), np.float32)
            kept[channels] = 0
            rest = self._editor.after(maker, "Mul", [x, self._editor.constant(kept, "without_outliers")])
            wanted = self._editor.constant(channels, "outlier_channels")
            apart = self._editor.after(maker, "Gather", [x, wanted], axis=len(shape) - 1)  # comes before the rest
            rest.shape, rest.type = shape, x.type
            self._parts[x] = rest, apart
        return self._parts[x]
