"""What encoders make of sources, in slots beside the KV cache: keys and values for cross-attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from attendant.bundle import GeneratorManifest
from attendant.bundle.graph_io import SLOT_SOURCE_CACHE, SlotSourceInputs, by_name
from attendant.core.plan import CopyRow, Move, StepPlan
from attendant.core.source import SOURCES
from attendant.runtime.kv import allocate_slots
from attendant.runtime.slot_bindings import Array, bind_in_place, bind_inputs
from attendant.runtime.source_batches import SourceBatcher, SourceRow, output_names, sources_of


class SourceSlots:
    """Cross-attention keys and values of ``num_slots`` slots of ``max_length`` positions, and the session that makes
    them: a :class:`~attendant.runtime.memory.SlotMemory`. Decoders only read them.

    ``keys[i]`` and ``values[i]``: [num_slots, num_kv_heads, max_length, head_size] of cross-attention call i.

    Args:
        session: of the graph ``encoder``.
        batch_tokens: positions of one encoder run at most, padding included; a single longer source runs alone.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        manifest: GeneratorManifest,
        num_slots: int,
        max_length: int,
        batch_tokens: int,
    ) -> None:
        self._session = session
        inputs = frozenset(found.name for found in session.get_inputs())
        self._batcher = SourceBatcher(manifest, inputs, batch_tokens)
        self._outputs = output_names(manifest)
        self.lengths = np.ones(num_slots, np.int32)
        self.keys = [allocate_slots(layer, num_slots, max_length) for layer in manifest.cross_layers]
        self.values = [allocate_slots(layer, num_slots, max_length) for layer in manifest.cross_layers]
        self._told: dict[tuple[int, int], SlotSourceInputs[Array]] = {}  # by the slots of runs that are bound

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def pretend(self, length: int) -> int:
        """Let all slots hold zeros of a source of ``length`` positions, or as many as they have; returns how many."""
        self.lengths[:] = min(length, self.keys[0].shape[2])
        return int(self.lengths[0])

    def apply(self, moves: Sequence[Move]) -> None:
        """See :meth:`attendant.runtime.memory.SlotMemory.apply`."""
        for move in moves:
            if isinstance(move, CopyRow) and move.memory == SOURCES:
                length = self.lengths[move.target] = self.lengths[move.origin]
                for tensor in (*self.keys, *self.values):
                    tensor[move.target, :, :length] = tensor[move.origin, :, :length]

    def begin(self, plan: StepPlan) -> None:
        if plan.feeds:
            self.encode(sources_of(plan))

    def bind(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice) -> None:
        past, present = SLOT_SOURCE_CACHE.past, SLOT_SOURCE_CACHE.present
        bind_in_place(binding, takes, (past.key, present.key), self.keys, slots)
        bind_in_place(binding, takes, (past.value, present.value), self.values, slots)
        told = self._told.get((slots.start, slots.stop))
        if told is None:
            number = slots.stop - slots.start
            told = SlotSourceInputs(source_seqlens=np.zeros(number, np.int32), source_total=np.ones(1, np.int32))
            self._told[slots.start, slots.stop] = told
        bind_inputs(binding, takes, by_name(told))

    def bind_run(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice, total: int) -> None:
        lengths, told = self.lengths[slots], self._told[slots.start, slots.stop]
        np.subtract(lengths, 1, out=told.source_seqlens)
        told.source_total[0] = lengths.max()

    def protect(self, slots: Sequence[int]) -> None:
        pass

    def restore(self) -> None:
        pass

    def encode(self, rows: Sequence[SourceRow]) -> None:
        """Encode sources, together where they are of similar length, and put the results into their slots."""
        for batch in self._batcher.batches(rows):
            # keys and values, call by call, [num_kv_heads, num_tokens, head_size]
            outputs = self._session.run(self._outputs, batch.inputs)
            for (_, slot, source), start in zip(batch.rows, batch.starts, strict=True):
                length = self.lengths[slot] = source.length
                for i in range(len(self.keys)):
                    self.keys[i][slot, :, :length] = outputs[2 * i][:, start : start + length]
                    self.values[i][slot, :, :length] = outputs[2 * i + 1][:, start : start + length]
