"""The limit: ONNX Runtime alone over the same graph. Prompts one by one, then decode steps of the full batch."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import GeneratorManifest
from attendant.bundle.graph_io import LOGITS, SLOT_CACHE, SLOTS, RaggedInputs, SlotInputs, by_name

from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.workload import Workload

Array = npt.NDArray[Any]


class BareLoop:
    """Slots of ``max_length`` positions, and the shortest loop that fills them."""

    def __init__(self, session: Any, manifest: GeneratorManifest, num_slots: int, max_length: int) -> None:
        self._session = session
        self._inputs = {spec.name for spec in manifest.graphs["decoder"].inputs}
        self._logits = np.empty((num_slots, manifest.vocab_size), np.float32)
        self._cache: dict[tuple[str, str], Array] = {}  # by the names of input and output
        for number, names in enumerate(SLOT_CACHE.names(len(manifest.kv_layers))):
            layer = manifest.kv_layers[number // 2]
            self._cache[names] = np.zeros((num_slots, layer.num_kv_heads, max_length, layer.head_size), layer.dtype)

    def measure(self, workload: Workload) -> Measurement:
        """Run the workload wave by wave; a last wave may be smaller."""
        prompts = workload.prompts()
        started = time.perf_counter()
        prefill_s = 0.0
        for first in range(0, len(prompts), workload.concurrency):
            prefill_s += self._wave(prompts[first : first + workload.concurrency], workload.new_tokens)
        wall_s = time.perf_counter() - started
        num_prompt = len(prompts) * workload.prompt_tokens
        return Measurement(
            generated=len(prompts) * workload.new_tokens,
            prompt=num_prompt,
            wall_s=wall_s,
            figures={
                "prompt_tokens_per_s": num_prompt / prefill_s,
                "decode_tokens_per_s": len(prompts) * (workload.new_tokens - 1) / (wall_s - prefill_s),
            },
        )

    def _wave(self, prompts: list[list[int]], new_tokens: int) -> float:
        """Generate for one batch. Returns the seconds that its prompts took."""
        started = time.perf_counter()
        tokens = [self._prefill(slot, prompt) for slot, prompt in enumerate(prompts)]
        prefill_s = time.perf_counter() - started
        n, length = len(prompts), len(prompts[0])
        ids = np.array(tokens, np.int64).reshape(n, 1)
        positions = np.full((n, 1), length, np.int64)
        seqlens = np.full(n, length, np.int32)
        total = np.array([length + 1], np.int32)
        feeds = self._feeds(ids, positions, seqlens, total, np.arange(n, dtype=np.int64))
        binding = self._bind(feeds, slice(0, n))
        for _ in range(new_tokens - 1):
            self._session.run_with_iobinding(binding)
            ids[:, 0] = self._logits[:n].argmax(axis=1)
            positions += 1
            seqlens += 1
            total += 1
        return prefill_s

    def _prefill(self, slot: int, prompt: list[int]) -> int:
        n = len(prompt)
        feeds = self._feeds(
            np.array([prompt], np.int64),
            np.arange(n, dtype=np.int64).reshape(1, n),
            np.array([n - 1], np.int32),
            np.array([n], np.int32),
            np.array([n - 1], np.int64),
        )
        self._session.run_with_iobinding(self._bind(feeds, slice(slot, slot + 1)))
        return int(self._logits[0].argmax())

    def _feeds(self, ids: Array, positions: Array, seqlens: Array, total: Array, index: Array) -> dict[str, Array]:
        places = np.moveaxis(np.indices(ids.shape), 0, -1).copy()  # every token in its own place of attention's view
        inputs: SlotInputs[Array] = SlotInputs(
            input_ids=ids,
            position_ids=positions,
            seqlens_k=seqlens,
            total_sequence_length=total,
            logits_index=index,
        )
        ragged: RaggedInputs[Array] = RaggedInputs(
            query_seqlens=np.full(ids.shape[0], ids.shape[1], np.int32), pad_index=places, unpad_index=places
        )
        return by_name(inputs, ragged)

    def _bind(self, feeds: dict[str, Array], slots: slice) -> Any:
        binding = self._session.io_binding()
        logits = self._logits[: len(feeds[SLOTS.logits_index.name])]
        places = {name: array for name, array in feeds.items() if name in self._inputs}
        outputs = {LOGITS.name: logits}
        for (past, present), tensor in self._cache.items():
            outputs[present] = tensor[slots]
            if past in self._inputs:
                places[past] = tensor[slots]
        for name, array in places.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding
