"""Runs step plans over a paged KV cache: everything of a step in one run, logits left on the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import GeneratorManifest, element_size
from attendant.bundle.graph_io import CANDIDATES, LOGITS, PAGES, PICKED, PICKING, SAMPLING
from attendant.core.plan import Move, SampleOrder, StepOutput, StepPlan
from attendant.runtime.candidates import Candidates, candidate_fields, choose, sampling_inputs
from attendant.runtime.decode_graphs import GraphKey, GraphKeys
from attendant.runtime.devices import Device
from attendant.runtime.memory import PageMemory
from attendant.runtime.packed import Fields, Packed
from attendant.runtime.page_cache import ELEMENT_TYPES, PageCache
from attendant.runtime.page_runs import PageBuffers, PageRun
from attendant.runtime.run_error import raises_run_error
from attendant.runtime.sampler import Sampled, step_output
from attendant.runtime.step_inputs import Part, StepLengths, StepShape, fill, input_fields, parts_of

Orders = list[tuple[int, str, SampleOrder]]

_ASYNCHRONOUS = "disable_synchronize_execution_providers"
_GRAPH_ID = "gpu_graph_id"
_NO_GRAPH = "-1"


@dataclass(frozen=True, slots=True)
class PageSessions:
    """The graphs of a paged bundle, open."""

    decoder: ort.InferenceSession
    copy_blocks: ort.InferenceSession
    pick_rows: ort.InferenceSession


@dataclass(frozen=True, slots=True)
class _Pending:
    """A run that goes on, and what earlier runs of its step gave."""

    run: PageRun
    orders: Orders
    sampled: list[Sampled]
    started_ns: int


class PageRunner:
    """The hands of the engine over pages. A run is launched and collected; the device works in between.

    Args:
        limits: the largest run.
        keys: shapes of pure decode runs that may be bound once, and on a GPU captured; None binds every run anew.
        prompt_area: most positions, sequences times the longest, of a run with prompt tokens; None: any.
        beside: what sequences own besides the cache.
    """

    def __init__(  # noqa: PLR0913 - the parts it is made of, each by name
        self,
        sessions: PageSessions,
        manifest: GeneratorManifest,
        cache: PageCache,
        device: Device,
        limits: StepShape,
        keys: GraphKeys | None = None,
        prompt_area: int | None = None,
        on_prepare: Callable[[PageRunner], None] = lambda runner: None,
        beside: Sequence[PageMemory] = (),
    ) -> None:
        self._sessions = sessions
        self._beside = tuple(beside)
        self._memories: tuple[PageCache | PageMemory, ...] = (cache, *beside)
        self._cache = cache
        self._device = device
        self._keys = keys
        self._prompt_area = prompt_area
        self._on_prepare = on_prepare
        graph = manifest.graphs["decoder"]
        self._needed = {spec.name for spec in graph.inputs}
        self._vocab_size = manifest.vocab_size
        outputs = {spec.name: spec for spec in graph.outputs}
        self._num_top = int(outputs[CANDIDATES.top_ids.name].shape[1])
        dtype = outputs[LOGITS.name].dtype
        self._logits_type = ELEMENT_TYPES[dtype]
        logits_size = limits.num_logits * manifest.vocab_size * element_size(dtype)
        results = Packed(candidate_fields(limits.num_logits, self._num_top))
        self._buffers = PageBuffers.allocate(device, Packed(self._input_fields(limits)).size, results.size, logits_size)
        self._captured: dict[GraphKey, PageRun] = {}
        self._free = self._new_binding()  # of runs that are bound anew
        self._pending: _Pending | None = None

    def prepare(self) -> None:
        """Use the device from the calling thread, and do what was asked for at this time."""
        self._device.attach()
        self._on_prepare(self)

    def use(self, sessions: PageSessions) -> None:
        """Go on with other sessions of the same graphs; what was captured is forgotten."""
        self._captured.clear()
        self._sessions = sessions
        self._free = self._new_binding()

    @raises_run_error
    def move(self, moves: Sequence[Move]) -> None:
        """Change block tables, copy blocks and what lies beside them."""
        if moves:
            for memory in self._memories:
                memory.apply(moves)

    @raises_run_error
    def launch(self, plan: StepPlan) -> None:
        """Begin to run the plan; on a GPU this returns while it runs."""
        started = time.monotonic_ns()
        sampled: list[Sampled] = []
        for memory in self._beside:
            memory.begin(plan)
        *parts, last = parts_of(plan, self._prompt_area)
        for part in parts:
            sampled += self._sample(*self._start_part(part))
        self._pending = _Pending(*self._start_part(last), sampled, started)

    @raises_run_error
    def collect(self) -> StepOutput:
        """Wait for the run and choose a token for every chunk with a sample order."""
        assert self._pending is not None
        pending, self._pending = self._pending, None
        sampled = pending.sampled + self._sample(pending.run, pending.orders)
        return step_output(sampled, time.monotonic_ns() - pending.started_ns)

    @raises_run_error
    def warm_up(self, shape: StepShape, context_length: int) -> None:
        """Run a step of ``shape`` over nothing, so that the device has the memory such a step takes.

        It claims the longest sequences that a run of its kind may have.
        """
        count = shape.num_sequences
        if self._prompt_area is not None:
            count = min(max(self._prompt_area // context_length, 1), count)
        shape = replace(shape, num_sequences=count, num_tokens=min(shape.num_tokens, count * context_length))
        self._run_empty(self._bind(self._free, shape), (shape.num_tokens, context_length, 0))

    @raises_run_error
    def capture(self, key: GraphKey, graph_id: int) -> bool:
        """Bind the decode run of ``key`` for good and, on a GPU, capture it.

        Returns:
            Whether it computes what the run computes that is not captured; if not, it is not kept.
        """
        assert self._keys is not None
        shape = StepShape(key.num_sequences, key.num_sequences, key.num_sequences, key.num_columns)
        bounds = (1, key.num_columns * self._cache.block_size, self._keys.shortest(key))
        binding = self._new_binding()
        wanted = self._run_empty(self._bind(self._free, shape), bounds)
        run = self._bind(binding, shape, graph_id if self._device.kind == "cuda" else None)
        self._run_empty(run, bounds)
        found = self._run_empty(run, bounds)  # the first replay
        names = CANDIDATES.top_logits.name, CANDIDATES.log_sum.name
        equal = all(np.allclose(found[name], wanted[name], rtol=1e-2, atol=1e-2) for name in names)
        if equal:
            self._captured[key] = run
        return equal

    # -- runs

    def _start_part(self, part: Part) -> tuple[PageRun, Orders]:
        chunks, decode_only = part
        lengths = StepLengths.of(chunks, decode_only=decode_only)
        columns = -(-lengths.longest // self._cache.block_size)
        sampled = [(chunk.request_id, chunk.sample) for chunk in chunks if chunk.sample is not None]
        orders: Orders = [(row, request_id, order) for row, (request_id, order) in enumerate(sampled)]
        run = self._captured_run(len(chunks), columns) if decode_only and len(orders) == len(chunks) else None
        if run is None:
            tokens = int(lengths.lengths.sum())
            run = self._bind(self._free, StepShape(len(chunks), tokens, max(len(orders), 1), columns))
            run.metadata[:] = (lengths.lengths.max(), lengths.longest, lengths.longest)
        fill(run.arrays, chunks, lengths, self._cache.table, self._cache.block_size)
        for memory in self._beside:
            memory.fill(run.arrays, np.repeat(lengths.rows, lengths.lengths))
        sampling_inputs(orders, run.arrays[SAMPLING.inverse_temperature.name], run.arrays[SAMPLING.uniform.name])
        self._start(run)
        return run, orders

    def _sample(self, run: PageRun, orders: Orders) -> list[Sampled]:
        """Wait for the run."""
        self._finish(run)
        return choose(self._candidates(run), orders, lambda rows: self._fetch(run, rows)) if orders else []

    def _captured_run(self, num_sequences: int, columns: int) -> PageRun | None:
        key = self._keys.of(num_sequences, columns) if self._keys is not None else None
        return self._captured.get(key) if key is not None else None

    def _start(self, run: PageRun) -> None:
        buffers = self._buffers
        self._device.upload(buffers.host_inputs[: run.inputs.size], buffers.inputs)
        self._sessions.decoder.run_with_iobinding(run.binding, run.options)

    def _finish(self, run: PageRun) -> None:
        self._device.wait()
        self._device.download(self._buffers.outputs, self._buffers.host_outputs[: run.outputs.size])

    def _run_empty(self, run: PageRun, bounds: tuple[int, int, int] | None = None) -> dict[str, npt.NDArray[Any]]:
        """Run sequences that have no past but what ``bounds`` claim of the first, and write nowhere."""
        run.metadata[:] = bounds or (run.shape.num_tokens, run.shape.num_tokens, 0)
        even, rest = divmod(run.shape.num_tokens, run.shape.num_sequences)
        lengths = even + (np.arange(run.shape.num_sequences) < rest)
        arrays = run.arrays
        for array in arrays.values():
            array.fill(0)
        arrays[PAGES.cumulative_sequence_length.name][1:] = np.cumsum(lengths)
        arrays[PAGES.past_seqlens.name][0] = max(bounds[2] - 1, 0) if bounds else 0
        arrays[PAGES.slot_mapping.name].fill(-1)
        arrays[SAMPLING.inverse_temperature.name].fill(1)
        for memory in self._beside:
            memory.fill_longest(arrays)
        self._start(run)
        self._finish(run)
        return {name: result.copy() for name, result in run.results.items()}

    def _candidates(self, run: PageRun) -> Candidates:
        return Candidates(self._vocab_size, **run.results)

    def _fetch(self, run: PageRun, rows: list[int]) -> npt.NDArray[np.float32]:
        """Rows of the logits, [len(rows), vocab_size] float32."""
        session = self._sessions.pick_rows
        binding = session.io_binding()
        shape = (run.shape.num_logits, self._vocab_size)
        place = (self._device.kind, self._device.index, self._logits_type, shape, self._buffers.logits.address)
        binding.bind_input(PICKING.logits.name, *place)
        binding.bind_cpu_input(PICKING.rows.name, np.array(rows, np.int64))
        binding.bind_output(PICKED.name)
        session.run_with_iobinding(binding)
        picked: npt.NDArray[np.float32] = binding.get_outputs()[0].numpy()
        return picked

    # -- binding

    def _new_binding(self) -> ort.IOBinding:
        binding = self._sessions.decoder.io_binding()
        for memory in self._memories:
            memory.bind(binding, self._needed)
        return binding

    def _bind(self, binding: ort.IOBinding, shape: StepShape, graph_id: int | None = None) -> PageRun:
        buffers, kind, index = self._buffers, self._device.kind, self._device.index
        inputs, outputs = Packed(self._input_fields(shape)), Packed(candidate_fields(shape.num_logits, self._num_top))
        for name, field in inputs.fields.items():
            if name in self._needed:
                address = buffers.inputs.address + field.offset
                binding.bind_input(name, kind, index, field.dtype.type, field.shape, address)
        for name, field in outputs.fields.items():
            address = buffers.outputs.address + field.offset
            binding.bind_output(name, kind, index, field.dtype.type, field.shape, address)
        logits = (shape.num_logits, self._vocab_size)
        binding.bind_output(LOGITS.name, kind, index, self._logits_type, logits, buffers.logits.address)
        metadata = np.zeros(3, np.int32)
        binding.bind_cpu_input(PAGES.attention_metadata.name, metadata)
        options = ort.RunOptions()
        options.add_run_config_entry(_ASYNCHRONOUS, "1")
        options.add_run_config_entry(_GRAPH_ID, _NO_GRAPH if graph_id is None else str(graph_id))
        arrays, results = inputs.views(buffers.host_inputs), outputs.views(buffers.host_outputs)
        return PageRun(shape, binding, options, inputs, outputs, arrays, results, metadata)

    def _input_fields(self, shape: StepShape) -> Fields:
        fields = dict(input_fields(shape))
        for memory in self._beside:
            fields |= memory.fields(shape.num_tokens)
        return fields
