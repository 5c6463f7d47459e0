"""Runs step plans on a CPU: one run for the decode rows, one for each prefill chunk, over KV slots bound in place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import BundleManifest
from attendant.core.plan import Chunk, Filler, KVMove, StepOutput, StepPlan
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.sampler import Sampled, sample, step_output
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
        manifest: BundleManifest,
        buffers: SlotBuffers,
        sources: SourceSlots | None = None,
        prompt_session: ort.InferenceSession | None = None,
    ) -> None:
        self._session = session
        self._prompt_session = prompt_session or session
        self._buffers = buffers
        self._sources = sources
        self._kv_positions = np.arange(buffers.max_length, dtype=np.int64)
        self._needed = {spec.name for spec in manifest.graphs["decoder"].inputs}
        self._decode_logits = np.empty((buffers.num_slots, manifest.vocab_size), np.float32)
        self._prefill_logits = np.empty((1, manifest.vocab_size), np.float32)
        self._rows: dict[int, _Rows] = {}
        self._slots: dict[int, ort.IOBinding] = {}  # KV cache of single slots, for prefill

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
        if plan.decodes:
            logits = self._run_decodes(plan.decodes, plan.fillers)
            sampled += sample(logits, [(c.slot, c.request_id, c.sample) for c in plan.decodes if c.sample])
        for chunk in plan.prefills:
            logits = self._run_prefill(chunk)
            if chunk.sample:
                sampled += sample(logits, [(0, chunk.request_id, chunk.sample)])
        return step_output(sampled, time.monotonic_ns() - started)

    def _run_decodes(self, decodes: Sequence[Chunk], fillers: Sequence[Filler]) -> npt.NDArray[np.float32]:
        num_rows = len(decodes) + len(fillers)
        rows = self._rows.get(num_rows) or self._bind_rows(num_rows)
        ids, positions = rows.input_ids, rows.position_ids
        for chunk in decodes:
            ids[chunk.slot, 0] = chunk.tokens[0]
            positions[chunk.slot, 0] = chunk.start
        for filler in fillers:
            ids[filler.slot, 0] = 0
            positions[filler.slot, 0] = filler.position
        rows.seqlens_k[:] = positions[:, 0]
        rows.total[0] = positions.max() + 1
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
        logits = self._decode_logits[:num_rows]
        inputs: dict[str, Array] = {
            "input_ids": ids,
            "position_ids": positions,
            "seqlens_k": seqlens,
            "total_sequence_length": total,
            "logits_index": index,
        }
        sources = _Sources.of(num_rows) if self._sources is not None else None
        inputs |= sources.inputs() if sources is not None else {}
        binding = self._session.io_binding()
        self._bind_inputs(binding, inputs, logits)
        self._bind_cache(binding, slice(0, num_rows))
        rows = _Rows(binding, ids, positions, seqlens, total, logits, sources, keep=(index,))
        self._rows[num_rows] = rows
        return rows

    def _run_prefill(self, chunk: Chunk) -> npt.NDArray[np.float32]:
        n, end = len(chunk.tokens), chunk.start + len(chunk.tokens)
        inputs: dict[str, Array] = {
            "input_ids": np.ascontiguousarray(chunk.tokens, np.int64).reshape(1, n),
            "position_ids": np.arange(chunk.start, end, dtype=np.int64).reshape(1, n),
            "seqlens_k": np.array([end - 1], np.int32),
            "total_sequence_length": np.array([end], np.int32),
            "logits_index": np.array([n - 1] if chunk.sample else [], np.int64),
        }
        if self._sources is not None:
            sources = _Sources.of(1)
            sources.fill(self._sources.lengths[chunk.slot : chunk.slot + 1])
            inputs |= sources.inputs() | {"kv_positions": self._kv_positions[:end]}
        logits = self._prefill_logits if chunk.sample else self._prefill_logits[:0]
        binding = self._slots.get(chunk.slot)
        if binding is None:
            binding = self._slots[chunk.slot] = self._prompt_session.io_binding()
            self._bind_cache(binding, slice(chunk.slot, chunk.slot + 1))
        self._bind_inputs(binding, inputs, logits)
        self._prompt_session.run_with_iobinding(binding)
        return logits

    def _bind_inputs(self, binding: ort.IOBinding, inputs: dict[str, Array], logits: Array) -> None:
        for name, array in inputs.items():
            self._bind_one(binding, name, array)
        binding.bind_output("logits", "cpu", 0, logits.dtype.type, logits.shape, logits.ctypes.data)

    def _bind_one(self, binding: ort.IOBinding, name: str, array: Array) -> None:
        if name in self._needed:
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def _bind_cache(self, binding: ort.IOBinding, slots: slice) -> None:
        """Bind by address: past and present are the same memory, so the cache is updated where it is."""
        self._bind_memory(binding, slots, "past", "present", self._buffers)
        if self._sources is not None:
            self._bind_memory(binding, slots, "cross", "present_cross", self._sources)

    def _bind_memory(
        self, binding: ort.IOBinding, slots: slice, before: str, after: str, memory: SlotBuffers | SourceSlots
    ) -> None:
        for kind, tensors in (("key", memory.keys), ("value", memory.values)):
            for i, tensor in enumerate(tensors):
                rows = tensor[slots]
                place = ("cpu", 0, rows.dtype.type, rows.shape, rows.ctypes.data)
                if f"{before}_{kind}_{i}" in self._needed:
                    binding.bind_input(f"{before}_{kind}_{i}", *place)
                binding.bind_output(f"{after}_{kind}_{i}", *place)

    def _bind_kv_positions(self, binding: ort.IOBinding, total: int) -> None:
        self._bind_one(binding, "kv_positions", self._kv_positions[:total])
