"""The limit and the rival, without a server: bare runs of equally long rows, and padded batches in arrival order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import EncoderManifest, TextInput
from attendant.bundle.graph_io import PACKED
from attendant.core.encoding import Row
from attendant.runtime.row_inputs import RowShape, text_inputs

from attendant_loadtest.bench.encoders_measurement import Encoded

Feeds = dict[str, npt.NDArray[Any]]
Ids = Sequence[int]


class BareSession:
    """ONNX Runtime alone over the same graph, its inputs made beforehand."""

    def __init__(self, session: Any, manifest: EncoderManifest) -> None:
        assert isinstance(manifest.input, TextInput), "the benchmark's inputs are texts"
        self.session = session
        self.spec = manifest.input
        self.layout = manifest.layout
        self._inputs = frozenset(found.name for found in session.get_inputs())

    def feeds(self, rows: Sequence[Ids]) -> Feeds:
        """The graph's inputs for rows of token ids."""
        made = [Row("", {PACKED.input_ids.name: np.array(ids, np.int64)}, len(ids), 0) for ids in rows]
        return text_inputs(made, RowShape.of([len(ids) for ids in rows]), self.spec, self.layout, self._inputs)

    def padded_feeds(self, rows: Sequence[Ids]) -> Feeds:
        """The same for rows that are all filled up to the longest, for a graph that computes on the padding, too."""
        longest = max(map(len, rows))
        feeds = self.feeds([[*ids, *[self.spec.pad_id] * (longest - len(ids))] for ids in rows])
        real = np.arange(longest) < np.array([[len(ids)] for ids in rows])
        mask = PACKED.attention_mask.name  # padded rows have the same
        feeds[mask] = real.astype(feeds[mask].dtype)
        return feeds

    def measure(self, rows: Sequence[Ids], batch: int) -> Encoded:
        """Run the rows, ``batch`` at a time, in their order."""
        batches = [self.feeds(rows[first : first + batch]) for first in range(0, len(rows), batch)]
        latencies = []
        started = time.perf_counter()
        for feeds in batches:
            before = time.perf_counter()
            self.session.run(None, feeds)
            latencies.append((time.perf_counter() - before) * 1e3)
        return Encoded(len(rows), sum(map(len, rows)), time.perf_counter() - started, latencies)


class PaddedBatcher:
    """What a dynamic batcher does that knows nothing of lengths: it takes the rows in the order they came, as many as
    fit a batch, fills them up to the longest, and runs them as soon as the session is idle.

    It has no wire, no tokenizer and no other thread: what it takes beyond the session's runs is next to nothing.

    Args:
        max_rows, max_tokens: of a batch, as the server's; tokens with their padding.
    """

    def __init__(self, bare: BareSession, max_rows: int, max_tokens: int) -> None:
        self._bare = bare
        self._max_rows = max_rows
        self._max_tokens = max_tokens

    def measure(self, rows: Sequence[Ids], clients: int) -> Encoded:
        """``clients`` callers, each with one row at a time, the next one as soon as it has its answer."""
        clock = time.perf_counter
        latencies: list[float] = []
        computed = num_runs = 0
        coming = iter(rows)
        started = clock()
        waiting = deque((ids, started) for ids in islice(coming, clients))
        while waiting:
            batch = self._take(waiting)
            self._bare.session.run(None, self._bare.padded_feeds([ids for ids, _ in batch]))
            now = clock()
            latencies += [(now - submitted) * 1e3 for _, submitted in batch]
            waiting.extend((ids, now) for ids in islice(coming, len(batch)))
            computed += len(batch) * max(len(ids) for ids, _ in batch)
            num_runs += 1
        wall_s, tokens = clock() - started, sum(map(len, rows))
        figures = {"batch": len(rows) / num_runs, "computed_per_token": computed / tokens}
        return Encoded(len(rows), tokens, wall_s, latencies, figures=figures)

    def _take(self, waiting: deque[tuple[Ids, float]]) -> list[tuple[Ids, float]]:
        batch = [waiting.popleft()]
        longest = len(batch[0][0])
        while waiting and len(batch) < self._max_rows:
            longest = max(longest, len(waiting[0][0]))
            if (len(batch) + 1) * longest > self._max_tokens:
                break
            batch.append(waiting.popleft())
        return batch
