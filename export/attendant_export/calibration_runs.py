"""The runs of a graph that quantisation looks at: a text, or sources and answers, as inputs of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from attendant.bundle.graph_io import SLOT_CACHE, PositionInputs, SlotInputs, SlotSourceInputs, by_name

from attendant_export.prompts import Ints
from attendant_export.quantisation.activations import Array, Feeds, InMemory


class CacheShape(Protocol):
    """The cache of one attention call."""

    @property
    def num_kv_heads(self) -> int: ...
    @property
    def head_size(self) -> int: ...


def prompt_runs(layers: Sequence[CacheShape], windows: Sequence[Ints]) -> list[Feeds]:
    """Each of ``windows``, [length] int64, as one prompt with an empty cache in a slot of its own."""
    return [_prompt(layers, window) for window in windows]


def answer_runs(
    layers: Sequence[CacheShape], reader: InMemory, sources: Sequence[Feeds], answers: Sequence[Ints]
) -> list[Feeds]:
    """Each of ``answers``, [length] int64, to its source, which ``reader`` encodes alone."""
    runs: list[Feeds] = []
    for source, answer in zip(sources, answers, strict=True):
        found = reader.run(source)
        cross = {name: array[None] for name, array in found.items()}  # [1, num_kv_heads, num_tokens, head_size]
        length = min(array.shape[2] for array in cross.values())
        taken = answer[:length]  # the kernel refuses more new tokens than the source has positions
        positions: PositionInputs[Array] = PositionInputs(kv_positions=np.arange(len(taken)))
        told: SlotSourceInputs[Array] = SlotSourceInputs(
            source_seqlens=np.array([length - 1], np.int32), source_total=np.array([length], np.int32)
        )
        runs.append({**_prompt(layers, taken), **cross, **by_name(positions, told)})
    return runs


def _prompt(layers: Sequence[CacheShape], tokens: Ints) -> Feeds:
    length = len(tokens)
    inputs: SlotInputs[Array] = SlotInputs(
        input_ids=tokens[None],
        position_ids=np.arange(length)[None],
        seqlens_k=np.array([length - 1], np.int32),
        total_sequence_length=np.array([length], np.int32),
        logits_index=np.arange(length),
    )
    shapes = [(1, layer.num_kv_heads, length, layer.head_size) for layer in layers for _ in range(2)]
    pasts = SLOT_CACHE.past.names(len(layers))
    return {**by_name(inputs), **{name: _zeros(shape) for name, shape in zip(pasts, shapes, strict=True)}}


@lru_cache(maxsize=4)
def _zeros(shape: tuple[int, ...]) -> Array:
    """An empty cache, which all runs of one length read."""
    zeros = np.zeros(shape, np.float32)
    zeros.flags.writeable = False
    return zeros
