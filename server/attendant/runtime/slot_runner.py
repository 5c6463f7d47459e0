"""Runs step plans on a CPU: one run for the decode rows, one or several for chunks, over KV slots bound in place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import GeneratorManifest, Graph
from attendant.core.plan import Chunk, Filler, KVMove, StepOutput, StepPlan
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.sampler import Sampled, sample, step_output
from attendant.runtime.shared_run import RAGGED, SharedRun, can_ride, row_inputs, shared_runs
from attendant.runtime.source_slots import SourceSlots

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class _Sources:
    """Inputs of a run that say how much of its rows' cross-attention memory is in use."""

    seqlens: npt.NDArray[np.int32]  # [n], lengths minus one
    total: npt.NDArray[np.int32]  # [1], the longest

    @classmethod
    def of(cls, num_rows: int) -> _Sources:
        return cls(np.zeros(num_rows, np.int32), np.ones(1, np.int32))

    def fill(self, lengths: npt.NDArray[np.int32]) -> None:
        """Take the lengths [n] of the rows' sources over."""
        np.subtract(lengths, 1, out=self.seqlens)
        self.total[0] = lengths.max()

    def inputs(self) -> dict[str, Array]:
        return {"source_seqlens": self.seqlens, "source_total": self.total}


@dataclass(frozen=True, slots=True)
class _Rows:
    """Inputs and outputs of a decode run over slots 0..n-1, bound once; a step overwrites the inputs in place."""

    binding: ort.IOBinding
    input_ids: npt.NDArray[np.int64]  # [n, 1]
    position_ids: npt.NDArray[np.int64]  # [n, 1]
    seqlens_k: npt.NDArray[np.int32]  # [n]
    total: npt.NDArray[np.int32]  # [1]
    logits: npt.NDArray[np.float32]  # [n, vocab]
    sources: _Sources | None
    keep: tuple[Array, ...]  # other bound memory


class SlotRunner:
    """The hands of the CPU engine. Holds tensors, decides nothing.

    Args:
        sources: of an encoder-decoder.
        prompt_session: computes chunks of prompts, if another graph does.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        manifest: GeneratorManifest,
        buffers: SlotBuffers,
        sources: SourceSlots | None = None,
        prompt_session: ort.InferenceSession | None = None,
    ) -> None:
        self._session = session
        self._prompt_session = prompt_session or session
        self._buffers = buffers
        self._max_length = buffers.max_length
        self._sources = sources
        self._kv_positions = np.arange(buffers.max_length, dtype=np.int64)
        self._takes = _names(manifest.graphs["decoder"])
        self._prompt_takes = _names(manifest.graphs.get("prompt", manifest.graphs["decoder"]))
        self._logits = np.empty((buffers.num_slots, manifest.vocab_size), np.float32)
        self._rows: dict[int, _Rows] = {}
        self._slots: dict[tuple[int, int], ort.IOBinding] = {}  # KV cache of slots first..last - 1, for chunks

    @property
    def shares_runs(self) -> bool:
        """Whether chunks of several prompts can be one run."""
        return RAGGED in self._prompt_takes

    @property
    def decodes_ride(self) -> bool:
        """Whether decodes of a plan can be in a run with its chunks, and are where there is room."""
        return self.shares_runs and self._prompt_session is self._session

    def move(self, moves: Sequence[KVMove]) -> None:
        """Move KV cache contents between slots."""
        self._buffers.apply(moves)
        if self._sources is not None:
            self._sources.apply(moves)

    def run(self, plan: StepPlan) -> StepOutput:
        """Run the plan (its moves excepted) and choose a token for every chunk with a sample order."""
        started = time.monotonic_ns()
        sampled: list[Sampled] = []
        if plan.encodes:
            assert self._sources is not None
            self._sources.encode(plan.encodes)
        rides = self.decodes_ride and can_ride(plan.decodes, plan.prefills, self._max_length)
        riding = plan.decodes if rides else ()
        if plan.decodes and not riding:
            logits = self._run_decodes(plan.decodes, plan.fillers)
            sampled += sample(logits, [(c.slot, c.request_id, c.sample) for c in plan.decodes if c.sample])
        if self.shares_runs:
            for run in shared_runs(plan.prefills, self._max_length, riding):
                sampled += self._run_shared(run)
        else:
            for chunk in plan.prefills:
                slots = slice(chunk.slot, chunk.slot + 1)
                sampled += self._sampled((chunk,), self._run_chunks(slots, self._chunk_inputs(chunk)))
        return step_output(sampled, time.monotonic_ns() - started)

    def _run_decodes(self, decodes: Sequence[Chunk], fillers: Sequence[Filler]) -> npt.NDArray[np.float32]:
        num_rows = len(decodes) + len(fillers)
        rows = self._rows.get(num_rows) or self._bind_rows(num_rows)
        ids, positions = rows.input_ids, rows.position_ids
        for chunk in decodes:
            ids[chunk.slot, 0] = chunk.tokens[0]
            positions[chunk.slot, 0] = chunk.start + chunk.shift
            rows.seqlens_k[chunk.slot] = chunk.start
        for filler in fillers:
            ids[filler.slot, 0] = 0
            positions[filler.slot, 0] = rows.seqlens_k[filler.slot] = filler.position
        rows.total[0] = rows.seqlens_k.max() + 1
        if rows.sources is not None and self._sources is not None:
            rows.sources.fill(self._sources.lengths[:num_rows])
            self._bind_kv_positions(rows.binding, int(rows.total[0]))
        self._session.run_with_iobinding(rows.binding)
        return rows.logits

    def _bind_rows(self, num_rows: int) -> _Rows:
        ids = np.zeros((num_rows, 1), np.int64)
        positions = np.zeros((num_rows, 1), np.int64)
        seqlens = np.zeros(num_rows, np.int32)
        total = np.zeros(1, np.int32)
        index = np.arange(num_rows, dtype=np.int64)
        logits = self._logits[:num_rows]
        views = row_inputs(num_rows)
        inputs: dict[str, Array] = {
            "input_ids": ids,
            "position_ids": positions,
            "seqlens_k": seqlens,
            "total_sequence_length": total,
            "logits_index": index,
        }
        sources = _Sources.of(num_rows) if self._sources is not None else None
        inputs |= views | (sources.inputs() if sources is not None else {})
        binding = self._session.io_binding()
        self._bind_inputs(binding, self._takes, inputs, logits)
        self._bind_cache(binding, self._takes, slice(0, num_rows))
        rows = _Rows(binding, ids, positions, seqlens, total, logits, sources, keep=(index, *views.values()))
        self._rows[num_rows] = rows
        return rows

    def _chunk_inputs(self, chunk: Chunk) -> dict[str, Array]:
        """Of a graph whose rows have equal lengths."""
        n, end = len(chunk.tokens), chunk.start + len(chunk.tokens)
        inputs: dict[str, Array] = {
            "input_ids": np.ascontiguousarray(chunk.tokens, np.int64).reshape(1, n),
            "position_ids": np.arange(chunk.start, end, dtype=np.int64).reshape(1, n) + chunk.shift,
            "seqlens_k": np.array([end - 1], np.int32),
            "total_sequence_length": np.array([end], np.int32),
            "logits_index": np.array([n - 1] if chunk.sample else [], np.int64),
        }
        if self._sources is not None:
            sources = _Sources.of(1)
            sources.fill(self._sources.lengths[chunk.slot : chunk.slot + 1])
            inputs |= sources.inputs() | {"kv_positions": self._kv_positions[:end]}
        return inputs

    def _run_chunks(self, slots: slice, inputs: dict[str, Array]) -> npt.NDArray[np.float32]:
        """The logits that the inputs ask for, [num_logits, vocab], until the next run."""
        logits = self._logits[: len(inputs["logits_index"])]
        binding = self._slots.get((slots.start, slots.stop))
        if binding is None:
            binding = self._slots[slots.start, slots.stop] = self._prompt_session.io_binding()
            self._bind_cache(binding, self._prompt_takes, slots)
        self._bind_inputs(binding, self._prompt_takes, inputs, logits)
        self._prompt_session.run_with_iobinding(binding)
        return logits

    def _run_shared(self, run: SharedRun) -> list[Sampled]:
        return self._sampled(run.chunks, self._run_chunks(run.slots, run.inputs()))

    @staticmethod
    def _sampled(chunks: Sequence[Chunk], logits: npt.NDArray[np.float32]) -> list[Sampled]:
        orders = [(chunk.request_id, chunk.sample) for chunk in chunks if chunk.sample]
        return sample(logits, [(row, *order) for row, order in enumerate(orders)]) if orders else []

    def _bind_inputs(
        self, binding: ort.IOBinding, takes: frozenset[str], inputs: dict[str, Array], logits: Array
    ) -> None:
        for name, array in inputs.items():
            if name in takes:
                binding.bind_input(name, *_place(array))
        binding.bind_output("logits", *_place(logits))

    def _bind_cache(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice) -> None:
        """Bind by address: past and present are the same memory, so the cache is updated where it is."""
        _bind_memory(binding, takes, slots, ("past", "present"), self._buffers)
        if self._sources is not None:
            _bind_memory(binding, takes, slots, ("cross", "present_cross"), self._sources)

    def _bind_kv_positions(self, binding: ort.IOBinding, total: int) -> None:
        if "kv_positions" in self._takes:
            binding.bind_input("kv_positions", *_place(self._kv_positions[:total]))


def _names(graph: Graph) -> frozenset[str]:
    return frozenset(spec.name for spec in graph.inputs)


def _place(array: Array) -> tuple[str, int, type[np.generic], tuple[int, ...], int]:
    """Where an array is, as a binding wants it."""
    return "cpu", 0, array.dtype.type, array.shape, array.ctypes.data


def _bind_memory(
    binding: ort.IOBinding,
    takes: frozenset[str],
    slots: slice,
    names: tuple[str, str],
    memory: SlotBuffers | SourceSlots,
) -> None:
    before, after = names
    for kind, tensors in (("key", memory.keys), ("value", memory.values)):
        for i, tensor in enumerate(tensors):
            place = _place(tensor[slots])
            if f"{before}_{kind}_{i}" in takes:
                binding.bind_input(f"{before}_{kind}_{i}", *place)
            binding.bind_output(f"{after}_{kind}_{i}", *place)
