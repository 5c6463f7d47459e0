"""What encoders make of sources, in slots beside the KV cache: keys and values for cross-attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from attendant.bundle import GeneratorManifest
from attendant.core.plan import CopySource, Encode, KVMove
from attendant.runtime.kv import allocate_slots
from attendant.runtime.source_batches import SourceBatcher, output_names


class SourceSlots:
    """Cross-attention keys and values of ``num_slots`` slots of ``max_length`` positions, and the session that makes
    them.

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

    def pretend(self, length: int) -> int:
        """Let all slots hold zeros of a source of ``length`` positions, or as many as they have; returns how many."""
        self.lengths[:] = min(length, self.keys[0].shape[2])
        return int(self.lengths[0])

    def apply(self, moves: Sequence[KVMove]) -> None:
        """Carry out the copies of sources."""
        for move in moves:
            if isinstance(move, CopySource):
                length = self.lengths[move.target] = self.lengths[move.source]
                for tensor in (*self.keys, *self.values):
                    tensor[move.target, :, :length] = tensor[move.source, :, :length]

    def encode(self, encodes: Sequence[Encode]) -> None:
        """Encode sources, together where they are of similar length, and put the results into their slots."""
        for batch in self._batcher.batches(encodes):
            # keys and values, call by call, [num_kv_heads, num_tokens, head_size]
            outputs = self._session.run(self._outputs, batch.inputs)
            for encode, start in zip(batch.encodes, batch.starts, strict=True):
                length = encode.source.length
                self.lengths[encode.slot] = length
                for i in range(len(self.keys)):
                    self.keys[i][encode.slot, :, :length] = outputs[2 * i][:, start : start + length]
                    self.values[i][encode.slot, :, :length] = outputs[2 * i + 1][:, start : start + length]
