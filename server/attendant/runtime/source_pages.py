"""What encoders make of sources, in pages beside the KV cache: keys and values for cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import AudioSource, GeneratorManifest
from attendant.bundle.graph_io import PAGE_SOURCE_CACHE, PAGE_SOURCES, PageSourceInputs, grouped, ports_of
from attendant.core.plan import CopyRow, Move, StepPlan
from attendant.core.source import SOURCES
from attendant.runtime.devices import Buffer, Device, Piece
from attendant.runtime.packed import Fields, fields_of
from attendant.runtime.page_cache import ELEMENT_TYPES
from attendant.runtime.run_error import raises_run_error
from attendant.runtime.source_batches import SourceBatcher, SourceRow, output_names, sources_of

Ints = npt.NDArray[np.int32]


class SourcePages:
    """Cross-attention keys and values of ``num_rows`` rows of the block table, and the session that makes them: a
    :class:`~attendant.runtime.memory.PageMemory`.

    They need no allocator: row r has the blocks r * k to r * k + k - 1, with k enough for the longest source, so that a
    source lies in one piece. Per cross-attention call, keys and values are each [num_rows * k, block_size,
    num_kv_heads, head_size].

    Args:
        session: of the graph ``encoder``.
        batch_tokens: positions of one encoder run at most, padding included; a single longer source runs alone.

    Raises:
        DeviceOutOfMemory: they do not fit.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        manifest: GeneratorManifest,
        device: Device,
        *,
        num_rows: int,
        block_size: int,
        batch_tokens: int,
    ) -> None:
        spec = manifest.encoder_input
        assert spec is not None
        self._session = session
        self._device = device
        self._layers = manifest.cross_layers
        self._outputs = output_names(manifest)
        self._batcher = SourceBatcher(manifest, frozenset(found.name for found in session.get_inputs()), batch_tokens)
        self._block_size = block_size
        self._max_length = spec.max_length
        self.num_columns = -(-spec.max_length // block_size)
        self.lengths = np.ones(num_rows, np.int32)
        # Bounds of the lengths of a run's sources: sound has one length, texts have any.
        shortest = spec.max_length if isinstance(spec, AudioSource) else 0
        self._metadata = np.array([1, spec.max_length, shortest], np.int32)
        blocks = num_rows * self.num_columns
        self._shapes = [(blocks, block_size, layer.num_kv_heads, layer.head_size) for layer in self._layers]
        self._position_bytes = [layer.num_kv_heads * layer.head_bytes for layer in self._layers for _ in range(2)]
        self._buffers: list[Buffer] = [device.allocate(blocks * block_size * size) for size in self._position_bytes]

    @property
    def num_bytes(self) -> int:
        return sum(buffer.size for buffer in self._buffers)

    # -- inputs of a decoder's run

    def fields(self, num_tokens: int) -> Fields:
        """The inputs that a run of so many tokens has besides those of models without a source, but for the caches and
        source_metadata, which stays on the host."""
        sizes = {"num_tokens": num_tokens, "max_source_blocks": self.num_columns}
        return fields_of(ports_of(PAGE_SOURCES), sizes)

    def fill(self, arrays: dict[str, npt.NDArray[Any]], rows: Ints) -> None:
        """Write them for tokens of ``rows`` [n] int32 of the block table; tokens beyond those read a position of the
        first row."""
        count = len(rows)
        inputs = self._with_constants(arrays)
        inputs.source_past_seqlens[:count] = self.lengths[rows] - 1
        inputs.source_past_seqlens[count:] = 0
        table = inputs.source_block_table
        table[:count] = rows[:, None] * self.num_columns + np.arange(self.num_columns, dtype=np.int32)
        table[count:] = 0

    def fill_longest(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Write them for tokens that all read the longest source that the first row can have."""
        inputs = self._with_constants(arrays)
        inputs.source_past_seqlens.fill(self._max_length - 1)
        inputs.source_block_table[:] = np.arange(self.num_columns, dtype=np.int32)

    def bind(self, binding: ort.IOBinding, needed: set[str]) -> None:
        """Bind the caches by address, and source_metadata."""
        kind, index = self._device.kind, self._device.index
        names = PAGE_SOURCE_CACHE.names(len(self._layers))
        for number, ((past, present), buffer) in enumerate(zip(names, self._buffers, strict=True)):
            layer = number // 2
            place = (kind, index, ELEMENT_TYPES[self._layers[layer].dtype], self._shapes[layer], buffer.address)
            if past in needed:
                binding.bind_input(past, *place)
            binding.bind_output(present, *place)
        binding.bind_cpu_input(PAGE_SOURCES.source_metadata.name, self._metadata)

    @staticmethod
    def _with_constants(arrays: dict[str, npt.NDArray[Any]]) -> PageSourceInputs[npt.NDArray[Any]]:
        """The arrays of sources, with what says that each token is a sequence of its own, and written nowhere."""
        inputs: PageSourceInputs[npt.NDArray[Any]] = grouped(PageSourceInputs, arrays)
        inputs.source_bounds[:] = np.arange(len(inputs.source_bounds), dtype=np.int32)
        inputs.source_slot_mapping.fill(-1)
        return inputs

    # -- contents

    def apply(self, moves: Sequence[Move]) -> None:
        """Carry out the copies of sources; the runs before must be done."""
        for move in moves:
            if isinstance(move, CopyRow) and move.memory == SOURCES:
                length = self.lengths[move.target] = self.lengths[move.origin]
                self._device.copy(
                    Piece(self._address(number, move.origin), self._address(number, move.target), int(length) * size)
                    for number, size in enumerate(self._position_bytes)
                )

    def begin(self, plan: StepPlan) -> None:
        if plan.feeds:
            self.encode(sources_of(plan))

    @raises_run_error
    def encode(self, rows: Sequence[SourceRow]) -> None:
        """Encode sources, together where they are of similar length, and put the results into their rows."""
        for batch in self._batcher.batches(rows):
            binding = self._session.io_binding()
            for name, array in batch.inputs.items():
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
            for name in self._outputs:
                binding.bind_output(name, self._device.kind, self._device.index)
            self._session.run_with_iobinding(binding)
            self._device.wait()
            outputs = binding.get_outputs()  # each [num_tokens, num_kv_heads, head_size]
            self._device.copy(
                Piece(output.data_ptr() + start * size, self._address(number, row), source.length * size)
                for (_, row, source), start in zip(batch.rows, batch.starts, strict=True)
                for number, (output, size) in enumerate(zip(outputs, self._position_bytes, strict=True))
            )
            for _, row, source in batch.rows:
                self.lengths[row] = source.length

    def _address(self, number: int, row: int) -> int:
        """Where the first position of a row lies in the ``number``-th cache."""
        first = row * self.num_columns * self._block_size
        return self._buffers[number].address + first * self._position_bytes[number]
