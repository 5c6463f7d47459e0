"""Which sources an encoder reads together, its inputs for them, and where each one's results lie in its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.bundle import AudioSource, GeneratorManifest, TextSource
from attendant.core.encoding import Row
from attendant.core.plan import Encode
from attendant.runtime.row_inputs import RowShape, text_inputs

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """One run: what it reads, its ``inputs`` by name, and the first of each source's positions among all of them."""

    encodes: tuple[Encode, ...]
    inputs: dict[str, Array]
    starts: list[int]


class SourceBatcher:
    """Puts sources together that are of similar length.

    Args:
        inputs: that the graph ``encoder`` takes.
        batch_tokens: positions of one run at most, padding included; a single longer source runs alone.
    """

    def __init__(self, manifest: GeneratorManifest, inputs: frozenset[str], batch_tokens: int) -> None:
        assert manifest.encoder_input is not None
        self._spec: TextSource | AudioSource = manifest.encoder_input
        self._inputs = inputs
        self._batch_tokens = batch_tokens

    def batches(self, encodes: Sequence[Encode]) -> Iterator[SourceBatch]:
        """Runs of sources, shortest first."""
        batch: list[Encode] = []
        for encode in sorted(encodes, key=lambda e: e.source.length):
            if batch and (len(batch) + 1) * encode.source.length > self._batch_tokens:
                yield self._of(batch)
                batch = []
            batch.append(encode)
        if batch:
            yield self._of(batch)

    def _of(self, batch: Sequence[Encode]) -> SourceBatch:
        if isinstance(self._spec, AudioSource):
            features = np.stack([encode.source.arrays["input_features"] for encode in batch], dtype=np.float32)
            starts = [row * self._spec.max_length for row in range(len(batch))]
            return SourceBatch(tuple(batch), {"input_features": features}, starts)
        shape = RowShape.of([encode.source.length for encode in batch])
        rows = [Row(encode.request_id, encode.source.arrays, encode.source.length, 0) for encode in batch]
        inputs = text_inputs(rows, shape, self._spec, self._spec.layout, self._inputs)
        packed = self._spec.layout == "packed"
        starts = shape.starts.tolist() if packed else [row * shape.longest for row in range(len(batch))]
        return SourceBatch(tuple(batch), inputs, starts)


def output_names(manifest: GeneratorManifest) -> list[str]:
    """Of the graph ``encoder``: keys and values, call by call."""
    return [f"cross_{kind}_{i}" for i in range(len(manifest.cross_layers)) for kind in ("key", "value")]
