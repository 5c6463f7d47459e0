"""The Prometheus collectors of models that encode."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from attendant.core.encoding import BatchStats
from attendant.core.stages import Exemplar
from attendant.metrics.counts import ModelCounts, Times, ends, sum_of, value_of
from attendant.metrics.labels import ModelNames
from attendant.metrics.load import LoadPage
from attendant.metrics.objectives import LatencySeries
from attendant.metrics.outcomes import SUCCESS

QUEUE_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 10, 20, 40, 80),
)
RUN_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10)
ROWS_BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
SIZE_BUCKETS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536, 262144, 1048576)


class EncoderMetrics:
    """What batch threads do, by model and task. Fed from the event loop's thread.

    Attributes:
        row_seconds: seconds that rows spent in runs, each row counted, by model.
        last_run_ms: when the last run of each model ended, in milliseconds since 1970.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        errors: Iterable[str],
        names: ModelNames,
        load: LoadPage,
        kept: Callable[[str], LatencySeries],
    ) -> None:
        labels = ("model_name", "task")

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"attendant_encoder_{name}", text, labels, buckets=buckets, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"attendant_encoder_{name}", text, labels, registry=registry)

        self._errors = tuple(errors)
        self._names = names
        self._load = load
        self._kept = kept
        self._series: dict[tuple[str, str], _Series] = {}
        self._rows: dict[tuple[str, str], dict[Hashable, tuple[Callable[[], int], Callable[[], int]]]] = {}
        self.row_seconds: dict[str, float] = {}
        self.last_run_ms: dict[str, int] = {}
        self.queue = histogram(
            "queue_seconds", "A row's arrival, making tensors of it included, to the begin of its run.", QUEUE_BUCKETS
        )
        self.compute = histogram("compute_seconds", "One run of a batch.", RUN_BUCKETS)
        self.rows = histogram("batch_rows", "Rows of a batch.", ROWS_BUCKETS)
        self.size = histogram("batch_tokens", "Tokens (images, samples) of a batch, without padding.", SIZE_BUCKETS)
        self.padding = Counter(
            "attendant_encoder_padding_tokens",
            "Tokens (samples) of padding that runs computed; beside attendant_encoder_batch_tokens_sum, the waste.",
            labels,
            registry=registry,
        )
        self.running = gauge("rows_running", "Rows of the run that goes on.")
        self.waiting = gauge("rows_waiting", "Rows that wait for a run.")
        self.failures = Counter(
            "attendant_encoder_row_failures", "Rows that ended with an error.", (*labels, "error"), registry=registry
        )
        self.preprocess = histogram(
            "preprocess_seconds", "Making tensors of a call's inputs; of calls that succeeded.", QUEUE_BUCKETS
        )
        self.calls = Counter(
            "attendant_encoder_requests",
            "Calls that ended: success, cancelled, or the error. A call may have many inputs.",
            (*labels, "outcome"),
            registry=registry,
        )

    def add_model(
        self, model: str, task: str, running: Callable[[], int], waiting: Callable[[], int], owner: Hashable = ""
    ) -> None:
        """Create the series of ``model``, so that they exist at 0. Its versions have them together.

        Args:
            running, waiting: how many rows there are, asked by whichever thread renders the page.
            owner: what runs the rows of this version.
        """
        name = self._names.add(model)
        self._series[model, task] = _Series(self, name, task, self._errors, self._kept(model))
        self.calls.labels(name, task, SUCCESS)
        self.row_seconds.setdefault(name, 0.0)
        rows = self._rows.setdefault((model, task), {})
        rows[owner] = (running, waiting)
        self._load.add_encoder(model, task, lambda: (_sum(rows, 0), _sum(rows, 1)))
        if name == model:  # where several share their series, no one of them has a state
            self.running.labels(name, task).set_function(partial(_sum, rows, 0))
            self.waiting.labels(name, task).set_function(partial(_sum, rows, 1))

    def forget_model(self, model: str, task: str, owner: Hashable = "") -> None:
        """Ask for no numbers of this version any more. What was counted stays."""
        rows = self._rows.get((model, task), {})
        rows.pop(owner, None)
        if not rows:
            self._load.forget_encoder(model, task)

    def counts(self) -> dict[str, ModelCounts]:
        """What was counted so far of each model whose rows are asked for, all its tasks together."""
        found: dict[str, ModelCounts] = {}
        for (model, task), load in self._load.encoders.items():
            if self._names.of(model) == model:
                counts = self._counts(model, task, *load())
                found[model] = counts if model not in found else found[model].plus(counts)
        return found

    def _counts(self, model: str, task: str, running: int, waiting: int) -> ModelCounts:
        series = self._series[model, task]
        series_of_calls = cast(dict[tuple[str, ...], Counter], self.calls._metrics)
        ended = [(labels[2], value_of(n)) for labels, n in series_of_calls.items() if labels[:2] == (model, task)]
        failed, refused = ends(end for end in ended if end[0] != SUCCESS)
        runs = Times.of(series.compute)
        return ModelCounts(
            kind="encode",
            first=Times.of(series.queue),
            each=runs,
            units=sum_of(series.rows),
            answered=dict(ended).get(SUCCESS, 0.0),
            failed=failed,
            refused=refused,
            batches=runs.total,
            rows=sum_of(series.rows),
            running=running,
            waiting=waiting,
            answered_kept=series.kept.attained,
        )

    def batch(
        self, model: str, task: str, stats: BatchStats, queue_ns: Sequence[int], exemplars: Sequence[Exemplar] = ()
    ) -> None:
        """One run, and how long each of its rows had waited, in nanoseconds. ``exemplars``: one for each row, or none
        at all."""
        series = self._series[model, task]
        series.compute.observe(stats.run_ns / 1e9, next(filter(None, exemplars), None))
        self.row_seconds[self._names.of(model)] += stats.run_ns / 1e9 * stats.num_rows
        self.last_run_ms[self._names.of(model)] = time.time_ns() // 1_000_000
        series.rows.observe(stats.num_rows)
        series.size.observe(stats.size)
        series.padding.inc(stats.padded_size - stats.size)
        for waited_ns, exemplar in zip_longest(queue_ns, exemplars):
            series.queue.observe(waited_ns / 1e9, exemplar)

    def call(self, model: str, task: str, outcome: str, preprocess_ns: int = 0, total_ns: int = 0) -> None:
        """A call ended. ``model``: empty if it named none of this server. ``outcome``: SUCCESS, ``cancelled``, or an
        error's name. ``preprocess_ns``, ``total_ns``: of one that succeeded, the latter from its arrival on."""
        self.calls.labels(self._names.of(model), task, outcome).inc()
        if outcome == SUCCESS:
            series = self._series[model, task]
            series.preprocess.observe(preprocess_ns / 1e9)
            series.kept.answered(total_ns / 1e9)

    def failed(self, model: str, task: str, error: str) -> None:
        """A row that a batch thread had taken ended with an error, named as in attendant_request_failure_total."""
        self._series[model, task].failures[error].inc()


def _sum(rows: Mapping[Hashable, tuple[Callable[[], int], Callable[[], int]]], part: int) -> int:
    """Rows of all versions of a model that run, or that wait; asked by whichever thread."""
    return sum(asked[part]() for asked in tuple(rows.values()))


class _Series:
    """The series of one model, looked up once."""

    def __init__(
        self, collectors: EncoderMetrics, model: str, task: str, errors: Iterable[str], kept: LatencySeries
    ) -> None:
        self.kept = kept
        self.queue = collectors.queue.labels(model, task)
        self.compute = collectors.compute.labels(model, task)
        self.rows = collectors.rows.labels(model, task)
        self.size = collectors.size.labels(model, task)
        self.padding = collectors.padding.labels(model, task)
        self.preprocess = collectors.preprocess.labels(model, task)
        self.failures = {error: collectors.failures.labels(model, task, error) for error in errors}
