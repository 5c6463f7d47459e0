"""Which sources an encoder reads together, its inputs for them, and where each one's results lie in its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from attendant.bundle import AudioSource, GeneratorManifest, TextSource
from attendant.bundle.graph_io import SLOT_ENCODED, SPECTRA
from attendant.core.encoding import Row
from attendant.core.plan import StepPlan
from attendant.core.source import SOURCES, Source
from attendant.runtime.row_inputs import RowShape, text_inputs

Array = npt.NDArray[Any]


class SourceRow(NamedTuple):
    """A source, and the row that has what the encoder makes of it."""

    request_id: str
    row: int
    source: Source


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """One run: what it reads, its ``inputs`` by name, and the first of each source's positions among all of them."""

    rows: tuple[SourceRow, ...]
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

    def batches(self, rows: Sequence[SourceRow]) -> Iterator[SourceBatch]:
        """Runs of sources, shortest first."""
        batch: list[SourceRow] = []
        for row in sorted(rows, key=lambda one: one.source.length):
            if batch and (len(batch) + 1) * row.source.length > self._batch_tokens:
                yield self._of(batch)
                batch = []
            batch.append(row)
        if batch:
            yield self._of(batch)

    def _of(self, batch: Sequence[SourceRow]) -> SourceBatch:
        if isinstance(self._spec, AudioSource):
            name = SPECTRA.input_features.name
            features = np.stack([one.source.arrays[name] for one in batch], dtype=np.float32)
            starts = [row * self._spec.max_length for row in range(len(batch))]
            return SourceBatch(tuple(batch), {name: features}, starts)
        shape = RowShape.of([one.source.length for one in batch])
        rows = [Row(one.request_id, one.source.arrays, one.source.length, 0) for one in batch]
        inputs = text_inputs(rows, shape, self._spec, self._spec.layout, self._inputs)
        packed = self._spec.layout == "packed"
        starts = shape.starts.tolist() if packed else [row * shape.longest for row in range(len(batch))]
        return SourceBatch(tuple(batch), inputs, starts)


def sources_of(plan: StepPlan) -> list[SourceRow]:
    """The sources that a plan says to encode."""
    rows = []
    for feed in plan.feeds:
        if feed.memory == SOURCES:
            assert isinstance(feed.content, Source)
            rows.append(SourceRow(feed.request_id, feed.slot, feed.content))
    return rows


def output_names(manifest: GeneratorManifest) -> list[str]:
    """The outputs of the graph ``encoder``: keys and values, call by call."""
    return SLOT_ENCODED.names(len(manifest.cross_layers))  # those for pages have the same names
