"""Runs a paged decoder graph on a CPU, through the reference function, as the server runs it on a GPU."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from attendant.bundle import KVLayer
from attendant.bundle.graph_io import LOGITS, PAGE_CACHE, PAGE_SOURCE_CACHE, PageInputs, SamplingInputs, by_name

from attendant_export.paged.reference import to_reference, widen
from attendant_export.session import bind_cache, open_session

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PagedRow:
    """One sequence's share of a run: ``tokens`` [n] at positions start..start+n-1, over ``blocks``."""

    tokens: npt.NDArray[np.int64]
    start: int
    blocks: Sequence[int]


def save_reference(path: Path, out: Path) -> None:
    """Writes the graph at ``path`` to ``out`` so that a CPU can run it: see :mod:`attendant_export.paged.reference`.

    bfloat16 becomes float32; float16 stays, and ONNX Runtime computes it as such or in float32.
    """
    model = ir.load(path)
    if any(value.dtype == ir.DataType.BFLOAT16 for value in model.graph.initializers.values()):
        widen(model)
    ir.save(to_reference(model), out, external_data=f"{out.name}.data")


def cache_dtype(layer: KVLayer) -> np.dtype[Any]:
    """What numpy holds a layer's cache in, after :func:`save_reference`."""
    return np.dtype({"bfloat16": "float32", "float8e4m3fn": "uint8"}.get(layer.dtype, layer.dtype))


class PagedSession:
    """A graph that :func:`save_reference` wrote.

    Args:
        num_blocks, block_size: of the caches, [num_blocks, block_size, num_kv_heads, head_size].
        sources, source_blocks: of an encoder-decoder: the caches of its sources, and how many blocks they have.
    """

    def __init__(
        self,
        path: Path,
        layers: Sequence[KVLayer],
        *,
        num_blocks: int,
        block_size: int,
        sources: Sequence[KVLayer] = (),
        source_blocks: int = 0,
        threads: int = 0,
    ) -> None:
        self._session = open_session(path, threads=threads)
        self._inputs = {spec.name: spec.type for spec in self._session.get_inputs()}
        self.block_size = block_size
        self._layers = tuple(layers)
        self.hold(num_blocks)
        self.sources = _caches(sources, source_blocks, block_size)

    def hold(self, num_blocks: int) -> None:
        """Makes the caches anew, empty and of another size; those of sources stay."""
        self.caches = _caches(self._layers, num_blocks, self.block_size)

    def run(self, rows: Sequence[PagedRow], more: Mapping[str, Any] | None = None) -> list[Floats]:
        """One run over all rows; per row, the logits of its tokens [n, vocab_size] float32.

        ``more``: inputs of an encoder-decoder.
        """
        size = self.block_size
        counts = [len(row.tokens) for row in rows]
        bounds = np.cumsum([0, *counts]).astype(np.int32)
        positions = [np.arange(row.start, row.start + len(row.tokens)) for row in rows]
        table = np.zeros((len(rows), max(len(row.blocks) for row in rows)), np.int32)
        for index, row in enumerate(rows):
            table[index, : len(row.blocks)] = row.blocks
        slots = [table[index, at // size] * size + at % size for index, at in enumerate(positions)]
        total = int(bounds[-1])
        inputs: PageInputs[Any] = PageInputs(
            input_ids=np.concatenate([row.tokens for row in rows])[None].astype(np.int64),
            position_ids=np.concatenate(positions)[None].astype(np.int64),
            cumulative_sequence_length=bounds,
            past_seqlens=np.array([row.start for row in rows], np.int32),
            block_table=table,
            slot_mapping=np.concatenate(slots).astype(np.int32),
            attention_metadata=np.array([max(counts), table.shape[1] * size, 0], np.int32),
            logits_index=np.arange(total),
        )
        sampling: SamplingInputs[Any] = SamplingInputs(
            inverse_temperature=np.ones(total, np.float32), uniform=np.zeros(total, np.float32)
        )
        logits = self._run({**by_name(inputs, sampling), **(more or {})})
        return [logits[start:end] for start, end in itertools.pairwise(bounds)]

    def _run(self, feeds: dict[str, Any]) -> Floats:
        binding = self._session.io_binding()
        for name, array in feeds.items():
            if name in self._inputs:
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
        fp8 = int(ir.DataType.FLOAT8E4M3FN)
        types = {name: fp8 for name, kind in self._inputs.items() if kind == "tensor(float8e4m3fn)"}
        bind_cache(binding, PAGE_CACHE, self.caches, types)
        bind_cache(binding, PAGE_SOURCE_CACHE, self.sources, types)
        binding.bind_output(LOGITS.name)
        self._session.run_with_iobinding(binding)
        logits: Floats = binding.get_outputs()[-1].numpy().astype(np.float32)
        return logits


def _caches(layers: Sequence[KVLayer], num_blocks: int, block_size: int) -> list[tuple[Any, Any]]:
    shapes = [(num_blocks, block_size, layer.num_kv_heads, layer.head_size) for layer in layers]
    return [
        (np.zeros(shape, cache_dtype(layer)), np.zeros(shape, cache_dtype(layer)))
        for shape, layer in zip(shapes, layers, strict=True)
    ]
