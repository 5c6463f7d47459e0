"""Runs step plans on a CPU: one run for the decode rows, one or several for chunks, over KV slots bound in place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import GeneratorManifest, Graph
from attendant.bundle.graph_io import LOGITS, RAGGED, SlotInputs, by_name
from attendant.core.plan import Chunk, Move, StepOutput, StepPlan
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.memory import SlotMemory
from attendant.runtime.run_error import raises_run_error
from attendant.runtime.sampler import Sampled, sample, step_output
from attendant.runtime.shared_run import can_ride, row_inputs, shared_runs
from attendant.runtime.slot_bindings import Array, bind_inputs, place


@dataclass(frozen=True, slots=True)
class _Rows:
    """Inputs and outputs of a decode run over slots 0..n-1, bound once; a step overwrites the inputs in place."""

    binding: ort.IOBinding
    input_ids: npt.NDArray[np.int64]  # [n, 1]
    position_ids: npt.NDArray[np.int64]  # [n, 1]
    seqlens_k: npt.NDArray[np.int32]  # [n]
    total: npt.NDArray[np.int32]  # [1]
    logits: npt.NDArray[np.float32]  # [n, vocab]
    keep: tuple[Array, ...]  # other bound memory


class SlotRunner:
    """The hands of the CPU engine. Holds tensors, decides nothing.

    Args:
        buffers: the KV cache. beside: what sequences own besides.
        prompt_session: computes chunks of prompts, if another graph does.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        manifest: GeneratorManifest,
        buffers: SlotBuffers,
        beside: Sequence[SlotMemory] = (),
        prompt_session: ort.InferenceSession | None = None,
    ) -> None:
        self._session = session
        self._prompt_session = prompt_session or session
        self._memories: tuple[SlotMemory, ...] = (buffers, *beside)
        self._max_length = buffers.max_length
        self._takes = _names(manifest.graphs["decoder"])
        self._prompt_takes = _names(manifest.graphs.get("prompt", manifest.graphs["decoder"]))
        self._logits = np.empty((buffers.num_slots, manifest.vocab_size), np.float32)
        self._rows: dict[int, _Rows] = {}
        self._slots: dict[tuple[int, int], ort.IOBinding] = {}  # KV cache of slots first..last - 1, for chunks

    @property
    def shares_runs(self) -> bool:
        """Whether chunks of several prompts can be one run."""
        return RAGGED.query_seqlens.name in self._prompt_takes

    @property
    def decodes_ride(self) -> bool:
        """Whether decodes of a plan can be in a run with its chunks, and are where there is room."""
        return self.shares_runs and self._prompt_session is self._session

    def move(self, moves: Sequence[Move]) -> None:
        """Move contents between slots."""
        if moves:
            for memory in self._memories:
                memory.apply(moves)

    @raises_run_error
    def run(self, plan: StepPlan) -> StepOutput:
        """Run the plan (its moves excepted) and choose a token for every chunk with a sample order."""
        started = time.monotonic_ns()
        sampled: list[Sampled] = []
        for memory in self._memories:
            memory.begin(plan)
        rides = self.decodes_ride and can_ride(plan.decodes, plan.prefills, self._max_length)
        riding = plan.decodes if rides else ()
        if plan.decodes and not riding:
            logits = self._run_decodes(plan)
            sampled += sample(logits, [(c.slot, c.request_id, c.sample) for c in plan.decodes if c.sample])
        if self.shares_runs:
            for run in shared_runs(plan.prefills, self._max_length, riding):
                sampled += self._run_chunks(run.chunks, run.inputs())
        else:
            for chunk in plan.prefills:
                sampled += self._run_chunks((chunk,), _chunk_inputs(chunk))
        return step_output(sampled, time.monotonic_ns() - started)

    def _run_decodes(self, plan: StepPlan) -> npt.NDArray[np.float32]:
        num_rows = plan.num_rows
        rows = self._rows.get(num_rows) or self._bind_rows(num_rows)
        ids, positions = rows.input_ids, rows.position_ids
        for chunk in plan.decodes:
            ids[chunk.slot, 0] = chunk.tokens[0]
            positions[chunk.slot, 0] = chunk.start + chunk.shift
            rows.seqlens_k[chunk.slot] = chunk.start
        for filler in plan.fillers:
            ids[filler.slot, 0] = 0
            positions[filler.slot, 0] = rows.seqlens_k[filler.slot] = filler.position
        rows.total[0] = rows.seqlens_k.max() + 1
        for memory in self._memories:
            memory.bind_run(rows.binding, self._takes, slice(0, num_rows), int(rows.total[0]))
        self._run(self._session, rows.binding, [filler.slot for filler in plan.fillers])
        return rows.logits

    def _bind_rows(self, num_rows: int) -> _Rows:
        ids = np.zeros((num_rows, 1), np.int64)
        positions = np.zeros((num_rows, 1), np.int64)
        seqlens = np.zeros(num_rows, np.int32)
        total = np.zeros(1, np.int32)
        index = np.arange(num_rows, dtype=np.int64)
        logits = self._logits[:num_rows]
        views = by_name(row_inputs(num_rows))
        inputs: SlotInputs[Array] = SlotInputs(
            input_ids=ids,
            position_ids=positions,
            seqlens_k=seqlens,
            total_sequence_length=total,
            logits_index=index,
        )
        binding = self._session.io_binding()
        bind_inputs(binding, self._takes, by_name(inputs) | views)
        binding.bind_output(LOGITS.name, *place(logits))
        for memory in self._memories:
            memory.bind(binding, self._takes, slice(0, num_rows))
        rows = _Rows(binding, ids, positions, seqlens, total, logits, keep=(index, *views.values()))
        self._rows[num_rows] = rows
        return rows

    def _run_chunks(self, chunks: Sequence[Chunk], inputs: dict[str, Array]) -> list[Sampled]:
        """Run chunks of different slots, in order of their slots, with what is between them idle."""
        slots = slice(chunks[0].slot, chunks[-1].slot + 1)
        orders = [(chunk.request_id, chunk.sample) for chunk in chunks if chunk.sample]
        logits = self._logits[: len(orders)]
        session, takes = self._prompt_session, self._prompt_takes
        binding = self._slots.get((slots.start, slots.stop))
        if binding is None:
            binding = self._slots[slots.start, slots.stop] = session.io_binding()
            for memory in self._memories:
                memory.bind(binding, takes, slots)
        bind_inputs(binding, takes, inputs)
        binding.bind_output(LOGITS.name, *place(logits))
        total = max(chunk.start + len(chunk.tokens) for chunk in chunks)
        for memory in self._memories:
            memory.bind_run(binding, takes, slots, total)
        busy = {chunk.slot for chunk in chunks}
        self._run(session, binding, [slot for slot in range(slots.start, slots.stop) if slot not in busy])
        return sample(logits, [(row, *order) for row, order in enumerate(orders)]) if orders else []

    def _run(self, session: ort.InferenceSession, binding: ort.IOBinding, idle: Sequence[int]) -> None:
        """Run what is bound; what it computes for the ``idle`` slots does not count."""
        if not idle:
            session.run_with_iobinding(binding)
            return
        for memory in self._memories:
            memory.protect(idle)
        try:
            session.run_with_iobinding(binding)
        finally:
            for memory in self._memories:
                memory.restore()


def _chunk_inputs(chunk: Chunk) -> dict[str, Array]:
    """Of a graph whose rows have equal lengths."""
    n, end = len(chunk.tokens), chunk.start + len(chunk.tokens)
    inputs: SlotInputs[Array] = SlotInputs(
        input_ids=np.ascontiguousarray(chunk.tokens, np.int64).reshape(1, n),
        position_ids=np.arange(chunk.start, end, dtype=np.int64).reshape(1, n) + chunk.shift,
        seqlens_k=np.array([end - 1], np.int32),
        total_sequence_length=np.array([end], np.int32),
        logits_index=np.array([n - 1] if chunk.sample else [], np.int64),
    )
    return by_name(inputs)


def _names(graph: Graph) -> frozenset[str]:
    return frozenset(spec.name for spec in graph.inputs)
