"""Runs the two graphs of an encoder-decoder with ONNX Runtime the way the server does: all caches bound in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import AudioSource, Graph, KVLayer, TextSource
from attendant.bundle.graph_io import (
    LOGITS,
    SLOT_CACHE,
    SLOT_SOURCE_CACHE,
    PositionInputs,
    SlotInputs,
    SlotSourceInputs,
    by_name,
)

from attendant_export.seq2seq.encoder import Row, source_feeds
from attendant_export.session import bind_cache, open_session

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Caches = list[tuple[Floats, Floats]]


class EncoderSession:
    """The graph ``encoder`` at ``path``, for any target."""

    def __init__(self, path: Path, source: TextSource | AudioSource, threads: int = 0) -> None:
        self._session = open_session(path, threads=threads)
        self._takes = {spec.name for spec in self._session.get_inputs()}
        self._source = source

    def run(self, rows: Sequence[Row]) -> tuple[list[Row], list[tuple[int, int]]]:
        """Keys and values, call by call, and where each row's lie among the tokens: start and length."""
        feeds = {name: value for name, value in source_feeds(self._source, rows).items() if name in self._takes}
        audio = isinstance(self._source, AudioSource)
        lengths = [self._source.max_length if audio else len(row) for row in rows]
        packed = not audio and getattr(self._source, "layout", None) == "packed"
        places = lengths if packed else [max(lengths)] * len(rows)
        starts = np.cumsum([0, *places])[:-1].tolist()
        return self._session.run(None, feeds), list(zip(starts, lengths, strict=True))


class Seq2SeqSession:
    """Slots, each for an answer to a source of its own.

    Args:
        folder: of the ONNX files. graphs: their manifest entries, ``encoder`` and ``decoder``.
        source: what the encoder reads. layers, cross_layers: of the caches.
        slots, max_length, max_source: size of the cache buffers, each [slots, num_kv_heads, max_length or max_source,
            head_size] float32.
    """

    def __init__(  # noqa: PLR0913 - the parts it is made of, each by name
        self,
        folder: Path,
        graphs: Mapping[str, Graph],
        source: TextSource | AudioSource,
        layers: Sequence[KVLayer],
        cross_layers: Sequence[KVLayer],
        *,
        slots: int,
        max_length: int,
        max_source: int,
        threads: int = 0,
    ) -> None:
        self._encoder = EncoderSession(folder / graphs["encoder"].file, source, threads)
        path = folder / graphs["decoder"].file
        self._decoder = open_session(path, threads=threads)
        self._takes = {spec.name for spec in graphs["decoder"].inputs}
        self.caches = _buffers(layers, slots, max_length)
        self.sources = _buffers(cross_layers, slots, max_source)
        self.source_lengths = np.zeros(slots, np.int64)

    def read(self, slots: Sequence[int], rows: Sequence[Row]) -> None:
        """Encodes ``rows`` in one run; their keys and values become those of ``slots``."""
        outputs, places = self._encoder.run(rows)
        for slot, (start, length) in zip(slots, places, strict=True):
            for index, output in enumerate(outputs):  # [num_kv_heads, num_tokens, head_size]
                self.sources[index // 2][index % 2][slot, :, :length] = output[:, start : start + length]
            self.source_lengths[slot] = length

    def run(
        self, slots: slice, tokens: Ints, starts: Sequence[int], logits_index: Sequence[int] | None = None
    ) -> Floats:
        """One step: [num_logits, vocab_size] float32.

        Args:
            slots: a contiguous run of slots, one per row.
            tokens: [batch, sequence] int64, several a row only with one row.
            starts: per row, how many positions its cache already holds.
            logits_index: flat token indices that want logits; all by default.
        """
        batch, sequence = tokens.shape
        index = np.arange(batch * sequence) if logits_index is None else np.asarray(logits_index, np.int64)
        # The kernel refuses more new tokens in a row than its source has positions.
        most = sequence if sequence == 1 else int(self.source_lengths[slots].min())
        found = []
        for at in range(0, sequence, most):
            within = index[(index >= at) & (index < at + most)] - at if sequence > most else index
            found.append(self._run(slots, tokens[:, at : at + most], np.asarray(starts, np.int64) + at, within))
        return np.concatenate(found)

    def _run(self, slots: slice, tokens: Ints, first: Ints, index: Ints) -> Floats:
        sequence = tokens.shape[1]
        ends, sources = first + sequence, self.source_lengths[slots]
        inputs: SlotInputs[Array] = SlotInputs(
            input_ids=np.ascontiguousarray(tokens, dtype=np.int64),
            position_ids=first[:, None] + np.arange(sequence),
            seqlens_k=(ends - 1).astype(np.int32),
            total_sequence_length=np.array([ends.max()], np.int32),
            logits_index=index.astype(np.int64),
        )
        positions: PositionInputs[Array] = PositionInputs(kv_positions=np.arange(ends.max()))
        told: SlotSourceInputs[Array] = SlotSourceInputs(
            source_seqlens=(sources - 1).astype(np.int32), source_total=np.array([sources.max()], np.int32)
        )
        binding = self._decoder.io_binding()
        for name, array in by_name(inputs, positions, told).items():
            if name in self._takes:
                binding.bind_cpu_input(name, array)
        for cache, calls in ((SLOT_CACHE, self.caches), (SLOT_SOURCE_CACHE, self.sources)):
            bind_cache(binding, cache, [(keys[slots], values[slots]) for keys, values in calls])
        binding.bind_output(LOGITS.name)
        self._decoder.run_with_iobinding(binding)
        logits: Floats = binding.get_outputs()[-1].numpy()
        return logits


def _buffers(layers: Sequence[KVLayer], slots: int, length: int) -> Caches:
    shapes = [(slots, layer.num_kv_heads, length, layer.head_size) for layer in layers]
    return [(np.zeros(shape, np.float32), np.zeros(shape, np.float32)) for shape in shapes]
