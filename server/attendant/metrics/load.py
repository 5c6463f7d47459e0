"""The page /metrics/load: how busy the server is as a whole, in the five gauges by which endpoint pickers choose.

They read it up to 20 times a second, and take one series of each name, whatever its labels: so there is one. Names,
labels and types are vLLM's, which pickers know without being told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from attendant.metrics.families import written

QUEUE, RUNNING, KV_USAGE = "vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc"
CACHE, ADAPTERS = "vllm:cache_config_info", "vllm:lora_requests_info"


@dataclass(slots=True)
class VersionLoad:
    """The state of one version of a model that generates, as it was told last.

    Attributes:
        kv_used, kv_capacity: positions of its KV memory that running sequences hold, and all of them.
        block_size: positions that its KV memory is handed out in; 0: it has none.
    """

    running: int = 0
    waiting: int = 0
    kv_used: int = 0
    kv_capacity: int = 0
    block_size: int = 0
    num_blocks: int = 0


class ModelLoad:
    """The state of a model that generates: of all its versions together.

    Attributes:
        versions: by what runs each.
    """

    def __init__(self) -> None:
        self.versions: dict[Hashable, VersionLoad] = {}

    @property
    def running(self) -> int:
        """Sequences that run."""
        return sum(each.running for each in self.versions.values())

    @property
    def waiting(self) -> int:
        """Sequences that wait."""
        return sum(each.waiting for each in self.versions.values())

    @property
    def kv_usage(self) -> float:
        """Share of the KV memory that running sequences hold."""
        capacity = sum(each.kv_capacity for each in self.versions.values())
        return sum(each.kv_used for each in self.versions.values()) / capacity if capacity else 0.0

    @property
    def blocks(self) -> tuple[int, int]:
        """Positions of the smallest block of KV memory, 0 if there is none, and how many of that size there are."""
        return smallest((each.block_size, each.num_blocks) for each in tuple(self.versions.values()))


def smallest(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Sizes and counts of blocks as one size and count: all memory in the smallest blocks."""
    found = [(size, count) for size, count in sizes if size]
    least = min((size for size, _ in found), default=0)
    return least, sum(size * count for size, count in found) // least if least else 0


class LoadPage:
    """What the models of a server are busy with. Fed and rendered on the event loop's thread."""

    def __init__(self) -> None:
        self._models: dict[str, ModelLoad] = {}
        self._encoders: dict[tuple[str, str], Callable[[], tuple[int, int]]] = {}

    @property
    def models(self) -> dict[str, ModelLoad]:
        """Models that generate, by name."""
        return self._models

    @property
    def encoders(self) -> dict[tuple[str, str], Callable[[], tuple[int, int]]]:
        """What says how many rows run and how many wait, by model and task."""
        return self._encoders

    def add_encoder(self, model: str, task: str, load: Callable[[], tuple[int, int]]) -> None:
        """``load``: says how many rows run and how many wait."""
        self._encoders[model, task] = load

    def forget_encoder(self, model: str, task: str) -> None:
        """Count its rows no more."""
        self._encoders.pop((model, task), None)

    def render(self) -> bytes:
        """The page: sequences and rows of all models together, and the KV memory of the model that has least left."""
        models = self._models.values()
        rows = [load() for load in self._encoders.values()]
        labels = {"engine": "0", "model_name": next(iter(self._models)) if len(self._models) == 1 else ""}
        waiting = sum(model.waiting for model in models) + sum(waiting for _, waiting in rows)
        running = sum(model.running for model in models) + sum(running for running, _ in rows)
        usage = max((model.kv_usage for model in models), default=0.0)
        page = [
            written(QUEUE, "gauge", "Sequences and rows that wait.", [(labels, waiting)]),
            written(RUNNING, "gauge", "Sequences and rows that run.", [(labels, running)]),
            written(KV_USAGE, "gauge", "KV memory held by running sequences; 1 is all of it.", [(labels, usage)]),
            cache_sizes([self._cache()]),
            adapters(),
        ]
        return "".join(page).encode()

    def _cache(self) -> dict[str, str]:
        return cache_labels(*smallest(model.blocks for model in self._models.values()))


def cache_labels(block_size: int, num_blocks: int) -> dict[str, str]:
    """The labels that say how large a KV memory is."""
    return {"engine": "0", "block_size": str(block_size), "num_gpu_blocks": str(num_blocks)}


def cache_sizes(labels: Iterable[Mapping[str, str]]) -> str:
    """How large KV memories are, each in labels of its own."""
    return written(CACHE, "gauge", "1, with the size of the KV memory as labels.", [(each, 1) for each in labels])


def adapters() -> str:
    """Which adapters run and wait, of so many: none. The value is the time in seconds, as pickers expect it."""
    labels = {"max_lora": "0", "running_lora_adapters": "", "waiting_lora_adapters": ""}
    return written(ADAPTERS, "gauge", "When it was, with adapters as labels.", [(labels, time.time())])
