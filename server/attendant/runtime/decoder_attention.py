"""Attention of models that generate: a sequence in chunks over a cache of its own, which nobody else sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.bundle import AttentionManifest, Frequencies, GeneratorManifest
from attendant.bundle.graph_io import (
    ATTENTION,
    ATTENTION_SOURCE,
    HIDDEN,
    SLOT_CACHE,
    SLOT_ENCODED,
    SLOT_SOURCE_CACHE,
    PositionInputs,
    SlotInputs,
    SlotSourceInputs,
    by_name,
)
from attendant.core.attention import AttentionPart, AttentionRun, AttentionSubject
from attendant.core.source import Source
from attendant.runtime.attention import AttentionGraph, parts_of, shapes_of, source_length, weights_name
from attendant.runtime.kv import allocate_slots
from attendant.runtime.run_error import raises_run_error
from attendant.runtime.session import SessionOptions
from attendant.runtime.shared_run import ragged_inputs
from attendant.runtime.slot_bindings import bind_in_place, bind_inputs, place
from attendant.runtime.source_batches import SourceBatcher, SourceRow

Array = npt.NDArray[Any]
Cuts = Callable[[int, int, int], Sequence[int]]
"""(position, missing tokens, tokens of a run at most) to the lengths of runs, none of them of a single token."""

CHUNK_TOKENS = 64
"""Tokens of a run at most."""

MAX_CHUNK_WEIGHTS = 2**25
"""Weights of a run, where that many tokens would have more: an eighth of a gigabyte."""

_LEAST_CHUNK = 3  # what can always be cut so that no single token is left
_ONE = slice(0, 1)


class DecoderAttention:
    """Attention of a model that generates, from the attention nodes of its served graphs: an
    :class:`~attendant.core.attention.AttentionModel`.

    Args:
        cuts: where its prompts may be cut.
    """

    def __init__(
        self,
        path: Path,
        manifest: GeneratorManifest,
        given: AttentionManifest,
        options: SessionOptions,
        cuts: Cuts,
        *,
        chunk_tokens: int = CHUNK_TOKENS,
    ) -> None:
        self.shapes = shapes_of(given)
        self.origin = given.origin
        self.max_tokens = manifest.context_length
        self._manifest = manifest
        self._cuts = cuts
        self._chunk_tokens = chunk_tokens
        self._graph = AttentionGraph(path, manifest, ATTENTION, options)
        self._encoder: AttentionGraph | None = None
        if manifest.encoder_input is not None:
            encoder = ATTENTION_SOURCE if ATTENTION_SOURCE in manifest.graphs else "encoder"
            self._encoder = AttentionGraph(path, manifest, encoder, options)

    def runs(self, subject: AttentionSubject) -> Iterator[AttentionRun]:
        """See :meth:`attendant.core.attention.AttentionModel.runs`."""
        ids = np.ascontiguousarray(subject.arrays["input_ids"], np.int64)  # [n]
        sequence = _Sequence(self._manifest, len(ids))
        if self._encoder is not None and subject.source is not None:
            outputs = self._encoder.run(self._source_feeds(self._encoder, subject.source))
            parts = tuple(part for part in parts_of(outputs, self.shapes) if part.kind == "encoder")
            sequence.hold_source(outputs, source_length(self._manifest, subject.source))
            if parts:
                yield AttentionRun(parts, 0, None)
        start = 0
        for length in self._lengths(len(ids), sequence.source_length):
            yield self._run(ids[start : start + length], start, sequence)
            start += length

    def _source_feeds(self, encoder: AttentionGraph, source: Source) -> dict[str, Array]:
        batcher = SourceBatcher(self._manifest, encoder.takes, source.length)
        return next(batcher.batches([SourceRow("", 0, source)])).inputs

    def _lengths(self, num_tokens: int, num_source: int) -> Iterator[int]:
        """Of the runs: as many weights as may be, and no more tokens than the source has, which the kernel wants."""
        keys = {"self": num_tokens, "cross": num_source}
        row = sum(shape.num_layers * shape.num_heads * keys.get(shape.kind, 0) for shape in self.shapes)
        budget = max(min(self._chunk_tokens, MAX_CHUNK_WEIGHTS // row), _LEAST_CHUNK)
        budget = min(budget, num_source) if num_source else budget
        start = 0
        while start < num_tokens:
            missing = num_tokens - start
            length = next(iter(self._cuts(start, missing, budget)), min(missing, budget))
            yield length
            start += length

    @raises_run_error
    def _run(self, ids: Array, start: int, sequence: _Sequence) -> AttentionRun:
        length, end = len(ids), start + len(ids)
        session, takes = self._graph.session, self._graph.takes
        binding = session.io_binding()
        inputs = self._inputs(ids, start, sequence)
        bind_inputs(binding, takes, inputs)
        sequence.bind(binding, takes)
        hidden = np.empty((length, self._graph.hidden_size), np.float32)
        binding.bind_output(HIDDEN.name, *place(hidden))
        parts = []
        for shape in self.shapes:
            if shape.kind == "encoder":
                continue
            keys = end if shape.kind == "self" else sequence.source_length
            for layer in range(shape.num_layers):
                weights = np.empty((1, shape.num_heads, length, keys), np.float32)
                binding.bind_output(weights_name(shape.kind, layer), *place(weights))
                parts.append(AttentionPart(shape.kind, layer, start, weights[0]))
        session.run_with_iobinding(binding)
        return AttentionRun(tuple(parts), start, hidden)

    def _inputs(self, ids: Array, start: int, sequence: _Sequence) -> dict[str, Array]:
        length, end = len(ids), start + len(ids)
        positions = np.arange(start, end, dtype=np.int64) + self._shift(sequence.num_tokens, start)
        inputs: SlotInputs[Array] = SlotInputs(
            input_ids=ids[None],
            position_ids=positions[None],
            seqlens_k=np.array([end - 1], np.int32),
            total_sequence_length=np.array([end], np.int32),
            logits_index=np.arange(length, dtype=np.int64),
        )
        counted: PositionInputs[Array] = PositionInputs(kv_positions=np.arange(end, dtype=np.int64))
        return by_name(inputs, counted, ragged_inputs([0], [length]))

    def _shift(self, num_tokens: int, start: int) -> int:
        """All tokens count as a prompt: an answer's are looked at as they would be if they were sent again."""
        changing = self._manifest.frequencies
        if changing is None:
            return 0
        return Frequencies(changing.kind, changing.after).shift(num_tokens, num_tokens, start)


class _Sequence:
    """The scratch memory of one sequence: its own keys and values, and those of its source."""

    def __init__(self, manifest: GeneratorManifest, num_tokens: int) -> None:
        self.num_tokens = num_tokens
        self.source_length = 0
        self._keys = [allocate_slots(layer, 1, num_tokens) for layer in manifest.kv_layers]
        self._values = [allocate_slots(layer, 1, num_tokens) for layer in manifest.kv_layers]
        self._num_cross = len(manifest.cross_layers)
        self._source_keys: list[Array] = []
        self._source_values: list[Array] = []
        self._told: dict[str, Array] = {}

    def hold_source(self, outputs: dict[str, Array], length: int) -> None:
        """Takes over what the encoder made, [num_kv_heads, length, head_size] of each cross-attention call."""
        calls = [SLOT_ENCODED.at(i) for i in range(self._num_cross)]
        self._source_keys = [np.ascontiguousarray(outputs[call.key.name])[None] for call in calls]
        self._source_values = [np.ascontiguousarray(outputs[call.value.name])[None] for call in calls]
        self.source_length = length
        told: SlotSourceInputs[Array] = SlotSourceInputs(
            source_seqlens=np.array([length - 1], np.int32), source_total=np.array([length], np.int32)
        )
        self._told = by_name(told)

    def bind(self, binding: Any, takes: frozenset[str]) -> None:
        """Binds all of it in place."""
        own, source = SLOT_CACHE, SLOT_SOURCE_CACHE
        bind_in_place(binding, takes, (own.past.key, own.present.key), self._keys, _ONE)
        bind_in_place(binding, takes, (own.past.value, own.present.value), self._values, _ONE)
        bind_in_place(binding, takes, (source.past.key, source.present.key), self._source_keys, _ONE)
        bind_in_place(binding, takes, (source.past.value, source.present.value), self._source_values, _ONE)
        bind_inputs(binding, takes, self._told)
