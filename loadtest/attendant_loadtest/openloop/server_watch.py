"""What the server says of itself while it is asked, and what of it is used up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

EVERY_S = 1.0
_GAUGES = {
    "running": "attendant_num_requests_running",
    "waiting": "attendant_num_requests_waiting",
    "kv": "attendant_kv_cache_usage_perc",
}
_COUNTERS = {
    "step_s": "attendant_step_duration_seconds_sum",
    "run_s": "attendant_step_run_seconds_sum",
    "steps": "attendant_step_duration_seconds_count",
    "rows": "attendant_step_batch_size_sum",
    "tokens": "attendant_step_tokens_sum",
    "preemptions": "attendant_num_preemptions_total",
    "looked_up": "attendant_prefix_cache_queries_total",
    "found": "attendant_prefix_cache_hits_total",
}
_PROCESSOR = "process_cpu_seconds_total"
_WANTED = (*_GAUGES.values(), *_COUNTERS.values(), _PROCESSOR)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the page of metrics said at a moment (seconds of a clock that only goes on), by the names above."""

    at_s: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What a server did while it was asked.

    Attributes:
        busy: the share of the time in which a step of the model went on.
        processors: that the server's process used, on average; None: its page does not say.
        rows: sequences that a step advanced by one token, on average.
        running, waiting, kv: means over the time, and the most.
        hit_rate: of the prompts' tokens, those found in the cache.
    """

    busy: float
    processors: float | None
    rows: float
    running: tuple[float, float]
    waiting: tuple[float, float]
    kv: tuple[float, float]
    preemptions: float
    hit_rate: float

    @classmethod
    def of(cls, readings: list[Reading]) -> ServerLoad | None:
        """Of what was read from the begin to the end; None of fewer than two readings."""
        if len(readings) < 2:
            return None
        first, last = readings[0], readings[-1]
        wall_s = last.at_s - first.at_s

        def since(name: str) -> float:
            return last.values.get(name, 0.0) - first.values.get(name, 0.0)

        def level(name: str) -> tuple[float, float]:
            values = [reading.values.get(name, 0.0) for reading in readings]
            return sum(values) / len(values), max(values)

        return cls(
            busy=since("step_s") / wall_s,
            processors=since("processor_s") / wall_s if "processor_s" in last.values else None,
            rows=since("rows") / max(1.0, since("steps")),
            running=level("running"),
            waiting=level("waiting"),
            kv=level("kv"),
            preemptions=since("preemptions"),
            hit_rate=since("found") / max(1.0, since("looked_up")),
        )

    def saturates(self, max_running: int | None) -> tuple[str, ...]:
        """What is used up, in words; nothing if nothing is."""
        said = []
        if self.busy >= 0.8:
            said.append(f"the processor: steps of the model went on {self.busy:.0%} of the time")
        if self.kv[1] >= 0.95 or self.preemptions:
            said.append(f"KV memory: up to {self.kv[1]:.0%} of it was held, {self.preemptions:.0f} preemptions")
        if max_running is not None and self.running[0] >= 0.9 * max_running:
            said.append(f"places: {self.running[0]:.0f} of {max_running} were taken on average (engine.max_num_seqs)")
        if self.waiting[0] >= 1:
            said.append(f"the queue: {self.waiting[0]:.0f} requests waited on average, up to {self.waiting[1]:.0f}")
        return tuple(said)


class ServerWatch:
    """Reads the page of metrics at ``url`` now and then. ``readings``: found so far; none if there is no such page."""

    def __init__(self, url: str, model: str) -> None:
        self._url, self._model = url, model
        self.readings: list[Reading] = []

    @asynccontextmanager
    async def watching(self) -> Any:
        """Reads as long as the block goes on, at its begin and at its end at least."""
        self.readings.clear()
        await self._read()
        reading = asyncio.create_task(self._go_on()) if self.readings else None
        try:
            yield
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                await self._read()

    async def settled(self, patience_s: float = 10.0) -> None:
        """Wait until nothing runs and nothing waits; not for ever, and not for a page that does not say."""
        begun = time.monotonic()
        while self.readings and time.monotonic() - begun < patience_s:
            values = await asyncio.to_thread(self._values)
            if values is None or not (values.get("running") or values.get("waiting")):
                return
            await asyncio.sleep(0.1)

    @property
    def load(self) -> ServerLoad | None:
        """What was found; None: nothing."""
        return ServerLoad.of(self.readings)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._read()

    async def _read(self) -> None:
        found = await asyncio.to_thread(self._values)
        if found is not None:
            self.readings.append(Reading(time.monotonic(), found))

    def _values(self) -> dict[str, float] | None:
        try:
            with urlopen(self._url, timeout=10) as page:
                text = page.read().decode()
        except (URLError, OSError, ValueError):
            return None
        found = values_of(text, self._model)
        return found if "steps" in found else None


def values_of(page: str, model: str) -> dict[str, float]:
    """What a page of metrics says of a model, by our names."""
    lines = "\n".join(line for line in page.splitlines() if line.startswith(_WANTED)) + "\n"
    names = {name: ours for ours, name in (_GAUGES | _COUNTERS).items()}
    found: dict[str, float] = {}
    for name, value in _samples(lines, model):
        ours = "processor_s" if name == _PROCESSOR else names.get(name)
        if ours is not None:
            found[ours] = found.get(ours, 0.0) + value
    return found


def _samples(lines: str, model: str) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(lines):
        for sample in family.samples:
            if sample.labels.get("model_name", model).partition("@")[0] == model.partition("@")[0]:
                yield sample.name, sample.value
