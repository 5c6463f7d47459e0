"""Runs a decoder graph with ONNX Runtime the way the server does: caches bound in place, rows of a slot buffer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import Graph, KVLayer
from attendant.bundle.graph_io import LOGITS, SLOT_CACHE, RaggedInputs, SlotInputs, by_name

from attendant_export.session import bind_cache, open_session

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class DecoderSession:
    """A decoder graph over slots.

    Args:
        path: the ONNX file.
        graph: its manifest entry. layers: its cache layout.
        slots, max_length: size of the cache buffers, each [slots, num_kv_heads, max_length, head_size] float32.
        prompt_path: the ONNX file for runs of several tokens a row, if it is another one.
    """

    def __init__(
        self,
        path: Path,
        graph: Graph,
        layers: Sequence[KVLayer],
        *,
        slots: int,
        max_length: int,
        threads: int = 0,
        prompt_path: Path | None = None,
    ) -> None:
        self._session = open_session(path, threads=threads)
        self._prompt_session = open_session(prompt_path, threads=threads) if prompt_path else self._session
        self._takes = {spec.name for spec in graph.inputs}
        self._prompt_takes = {taken.name for taken in self._prompt_session.get_inputs()}
        self._layers = tuple(layers)
        self.caches: list[tuple[Floats, Floats]] = []
        self.hold(slots, max_length)

    def hold(self, slots: int, max_length: int) -> None:
        """Makes the cache buffers anew, empty and of another size."""
        self.caches.clear()  # before the new ones are there
        for layer in self._layers:
            shape = (slots, layer.num_kv_heads, max_length, layer.head_size)
            self.caches.append((np.zeros(shape, np.float32), np.zeros(shape, np.float32)))

    def run(
        self,
        slots: slice,
        tokens: Ints,
        starts: Sequence[int],
        lengths: Sequence[int] | None = None,
        logits_index: Sequence[int] | None = None,
        shift: int = 0,
    ) -> Floats:
        """One step.

        Args:
            slots: a contiguous run of slots, one per row.
            tokens: [batch, sequence] int64.
            starts: per row, how many positions its cache already holds.
            lengths: per row, how many of its tokens are real (right padding); all by default. A graph that takes no
                ``query_seqlens`` can have fewer only in prompts from their start.
            logits_index: flat token indices that want logits; all by default.
            shift: what position_ids are larger by than positions.

        Returns:
            [num_logits, vocab_size] float32.
        """
        batch, sequence = tokens.shape
        first = np.asarray(starts, np.int64)
        counts = np.full(batch, sequence) if lengths is None else np.asarray(lengths)
        ends = first + counts
        places = np.moveaxis(np.indices(tokens.shape), 0, -1).copy()
        index = np.arange(batch * sequence) if logits_index is None else np.asarray(logits_index, np.int64)
        inputs: SlotInputs[Array] = SlotInputs(
            input_ids=np.ascontiguousarray(tokens, dtype=np.int64),
            position_ids=first[:, None] + np.arange(sequence) + shift,
            seqlens_k=(ends - 1).astype(np.int32),
            total_sequence_length=np.array([ends.max()], np.int32),
            logits_index=index.astype(np.int64),
        )
        # The tokens come padded.
        ragged: RaggedInputs[Array] = RaggedInputs(
            query_seqlens=counts.astype(np.int32), pad_index=places, unpad_index=places
        )
        session = self._session if sequence == 1 else self._prompt_session
        binding = session.io_binding()
        takes = self._takes if sequence == 1 else self._prompt_takes
        for name, array in by_name(inputs, ragged).items():
            if name in takes:
                binding.bind_cpu_input(name, array)
        bind_cache(binding, SLOT_CACHE, [(keys[slots], values[slots]) for keys, values in self.caches])
        binding.bind_output(LOGITS.name)
        session.run_with_iobinding(binding)
        logits: Floats = binding.get_outputs()[-1].numpy()
        return logits
