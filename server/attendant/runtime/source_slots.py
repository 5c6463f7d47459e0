"""What encoders make of sources, in slots beside the KV cache: keys and values for cross-attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import AudioSource, BundleManifest, TextSource
from attendant.core.encoding import Row
from attendant.core.plan import CopySource, Encode, KVMove
from attendant.runtime.kv import allocate_slots
from attendant.runtime.row_inputs import RowShape, text_inputs

Array = npt.NDArray[Any]


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
        manifest: BundleManifest,
        num_slots: int,
        max_length: int,
        batch_tokens: int,
    ) -> None:
        assert manifest.encoder_input is not None
        self._session = session
        self._spec: TextSource | AudioSource = manifest.encoder_input
        self._batch_tokens = batch_tokens
        self._inputs = frozenset(found.name for found in session.get_inputs())
        self._outputs = [f"cross_{kind}_{i}" for i in range(len(manifest.cross_layers)) for kind in ("key", "value")]
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
        for batch in self._batches(encodes):
            outputs, starts = self._run(batch)
            for encode, start in zip(batch, starts, strict=True):
                length = encode.source.length
                self.lengths[encode.slot] = length
                for i in range(len(self.keys)):
                    self.keys[i][encode.slot, :, :length] = outputs[2 * i][:, start : start + length]
                    self.values[i][encode.slot, :, :length] = outputs[2 * i + 1][:, start : start + length]

    def _batches(self, encodes: Sequence[Encode]) -> Iterator[list[Encode]]:
        """Runs of sources, shortest first, within the limit."""
        batch: list[Encode] = []
        for encode in sorted(encodes, key=lambda e: e.source.length):
            if batch and (len(batch) + 1) * encode.source.length > self._batch_tokens:
                yield batch
                batch = []
            batch.append(encode)
        if batch:
            yield batch

    def _run(self, batch: Sequence[Encode]) -> tuple[list[Array], list[int]]:
        """Keys and values, call by call, [num_kv_heads, num_tokens, head_size], and where each source's begin."""
        if isinstance(self._spec, AudioSource):
            features = np.stack([encode.source.arrays["input_features"] for encode in batch], dtype=np.float32)
            starts = [row * self._spec.max_length for row in range(len(batch))]
            return self._session.run(self._outputs, {"input_features": features}), starts
        shape = RowShape.of([encode.source.length for encode in batch])
        rows = [Row(encode.request_id, encode.source.arrays, encode.source.length, 0) for encode in batch]
        inputs = text_inputs(rows, shape, self._spec, self._spec.layout, self._inputs)
        if self._spec.layout == "packed":
            return self._session.run(self._outputs, inputs), shape.starts.tolist()
        return self._session.run(self._outputs, inputs), [row * shape.longest for row in range(len(batch))]
