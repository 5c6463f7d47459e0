"""Runs the two graphs of an encoder-decoder for NVIDIA GPUs on a CPU, through the reference function."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attendant.bundle import AudioSource, Graph, KVLayer, TextSource
from attendant.bundle.graph_io import PageSourceInputs, by_name

from attendant_export.paged.session import PagedRow, PagedSession, save_reference
from attendant_export.seq2seq.encoder import Row
from attendant_export.seq2seq.session import EncoderSession, Floats, Ints

_BLOCK_SIZE = 4


class PagedSeq2SeqSession:
    """Rows, each for an answer to a source of its own, over blocks in an order of their own; as
    :class:`~attendant_export.seq2seq.session.Seq2SeqSession` otherwise."""

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
        columns, self._columns = (-(-length // _BLOCK_SIZE) for length in (max_length, max_source))
        with tempfile.TemporaryDirectory(dir=folder, prefix=".reference-") as scratch:
            reference = Path(scratch) / "reference.onnx"
            save_reference(folder / graphs["decoder"].file, reference)
            self._decoder = PagedSession(
                reference,
                layers,
                num_blocks=1 + slots * columns,
                block_size=_BLOCK_SIZE,
                sources=cross_layers,
                source_blocks=slots * self._columns,
                threads=threads,
            )
        numbers = np.random.default_rng(0).permutation(np.arange(1, 1 + slots * columns))
        self._tables = numbers.reshape(slots, columns).tolist()
        self.source_lengths = np.zeros(slots, np.int64)

    def read(self, slots: Sequence[int], rows: Sequence[Row]) -> None:
        """Encodes ``rows`` in one run; their keys and values become those of ``slots``."""
        outputs, places = self._encoder.run(rows)
        for slot, (start, length) in zip(slots, places, strict=True):
            first = slot * self._columns * _BLOCK_SIZE
            for index, output in enumerate(outputs):  # [num_tokens, num_kv_heads, head_size]
                cache = self._decoder.sources[index // 2][index % 2]
                cache.reshape(-1, *cache.shape[2:])[first : first + length] = output[start : start + length]
            self.source_lengths[slot] = length

    def run(
        self, slots: slice, tokens: Ints, starts: Sequence[int], logits_index: Sequence[int] | None = None
    ) -> Floats:
        """See :meth:`~attendant_export.seq2seq.session.Seq2SeqSession.run`."""
        numbers = list(range(slots.start, slots.stop))
        rows = [
            PagedRow(row, start, self._tables[slot]) for slot, row, start in zip(numbers, tokens, starts, strict=True)
        ]
        owners = np.repeat(numbers, tokens.shape[1])
        total = len(owners)
        sources: PageSourceInputs[Any] = PageSourceInputs(
            source_bounds=np.arange(total + 1, dtype=np.int32),
            source_past_seqlens=(self.source_lengths[owners] - 1).astype(np.int32),
            source_block_table=(owners[:, None] * self._columns + np.arange(self._columns)).astype(np.int32),
            source_slot_mapping=np.full(total, -1, np.int32),
            source_metadata=np.array([1, self._columns * _BLOCK_SIZE, 0], np.int32),
        )
        logits = np.concatenate(self._decoder.run(rows, by_name(sources)))
        return logits if logits_index is None else logits[np.asarray(logits_index, np.int64)]
