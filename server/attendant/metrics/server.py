"""All Prometheus collectors of one server, and the pages made of them. Fed from the event loop's thread; names as
dashboards for LLM servers know them (vLLM's), with the prefix ``attendant_``."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import islice

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_open

from attendant.core.errors import AttendantError
from attendant.core.events import FailedEvent, FinishedEvent, StepStats
from attendant.core.objectives import ObjectivesByModel
from attendant.core.stages import Exemplar
from attendant.metrics.counts import ModelCounts
from attendant.metrics.encoding import EncoderMetrics
from attendant.metrics.explain import ExplainMetrics
from attendant.metrics.families import Family, opened, read_rows
from attendant.metrics.generation import Collectors, ModelMetrics
from attendant.metrics.grammars import GrammarMetrics
from attendant.metrics.labels import MOST_MODELS, ModelNames
from attendant.metrics.lifecycle import LifecycleMetrics
from attendant.metrics.load import LoadPage, ModelLoad, VersionLoad
from attendant.metrics.objectives import LatencySeries, ObjectiveCollectors, ObjectiveSeries
from attendant.metrics.outcomes import error_name, request_errors
from attendant.metrics.paces import PaceMetrics
from attendant.metrics.processes import ProcessMetrics
from attendant.metrics.refusals import RefusalMetrics
from attendant.metrics.routes import RouteMetrics
from attendant.metrics.security import SecurityMetrics
from attendant.metrics.speech import SpeechMetrics
from attendant.metrics.tenants import TenantMetrics
from attendant.metrics.traces import TraceMetrics
from attendant.metrics.traffic import RecordMetrics
from attendant.metrics.triton import ModelFigures, triton_families, triton_figures
from attendant.metrics.vllm import CONSTANT, NAMES, vllm_families


class Metrics:
    """The collectors of one server. ``registry``: a new one, with the process's own collectors beside it, if None.

    ``encoders``: those of models that encode. ``speech``: those of models that write what they hear.
    ``explain``: those of calls that explain. ``grammars``: of structured output.
    ``traces``: of what becomes of spans.
    ``recorded``: of calls that are written to a file.
    ``routes``: of what routes lead to. ``security``: of who was turned away. ``refusals``: of
    how fast there was no room for one. ``lifecycle``: of models that hang or die.
    ``processes``: of engines that have their own.
    ``tenants``: of what callers get. ``paces``: of what steps cost.

    Args:
        objectives: what is promised of models.
        vllm_names, triton_names: write what these have a name for under that name, too.
        most_tenants: with series of their own.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        objectives: ObjectivesByModel | None = None,
        *,
        vllm_names: bool = False,
        triton_names: bool = False,
        most_tenants: int = 32,
    ) -> None:
        self._process = CollectorRegistry() if registry is None else None
        if self._process is not None:
            ProcessCollector(registry=self._process)
            PlatformCollector(registry=self._process)
            GCCollector(registry=self._process)
        registry = registry or CollectorRegistry()
        self._load = LoadPage()
        self._names = ModelNames(MOST_MODELS)
        self._collectors = Collectors(registry)
        self._objectives = objectives or ObjectivesByModel()
        self._kept = ObjectiveCollectors(registry)
        errors = [error_name(error) for error in request_errors()]
        self.encoders = EncoderMetrics(registry, errors, self._names, self._load, self._latency)
        self.speech = SpeechMetrics(registry, self._names)
        self.explain = ExplainMetrics(registry, self._names)
        self.grammars = GrammarMetrics(registry, self._names)
        self.lifecycle = LifecycleMetrics(registry, self._names)
        self.processes = ProcessMetrics(registry, self._names)
        self.paces = PaceMetrics(registry, self._names)
        self.traces = TraceMetrics(registry)
        self.recorded = RecordMetrics(registry)
        self.routes = RouteMetrics(registry)
        self.tenants = TenantMetrics(registry, self._names, most_tenants)
        self.security = SecurityMetrics(registry)
        self.refusals = RefusalMetrics(registry)
        self._vllm_names, self._triton_names = vllm_names, triton_names
        self._families = [
            (collector, _families(collector, vllm_names))
            for collector in registry._collector_to_names
            if isinstance(collector, MetricWrapperBase)
        ]
        self._models: dict[str, ModelMetrics] = {}
        self._shown: set[str] = set()  # models whose readiness is told

    def add_model(self, model: str, owner: Hashable = "") -> None:
        """Create the series of ``model``, so that they exist at 0. Its versions have them together.

        Args:
            owner: what runs this version, and tells what it is at.
        """
        name = self._names.add(model)
        load = self._load.models.setdefault(model, ModelLoad())
        load.versions[owner] = VersionLoad()
        if model not in self._models:
            kept = ObjectiveSeries(self._kept, name, self._objectives.of(model))
            self._models[model] = ModelMetrics(self._collectors, name, kept, load, shared=name != model)
        self._models[model].shared_by(load)

    def forget_model(self, model: str, owner: Hashable = "") -> None:
        """This version has left: nothing of it runs or waits. What was counted stays."""
        load = self._load.models.get(model)
        if load is None or load.versions.pop(owner, None) is None:
            return
        self._models[model].tell_load()
        if not load.versions:
            del self._load.models[model]
            self.paces.forget(model)

    def _latency(self, model: str) -> LatencySeries:
        return LatencySeries(self._kept, self._names.of(model), self._objectives.of(model))

    def kv_memory(self, model: str, block_size: int, num_blocks: int, owner: Hashable = "") -> None:
        """How large the KV memory of a model is: blocks, and positions of each."""
        if (load := self._load.models.get(model)) and owner in load.versions:  # else it is gone already
            load.versions[owner].block_size, load.versions[owner].num_blocks = block_size, num_blocks

    def models_ready(self, ready: Mapping[str, bool]) -> None:
        """Which models this server has, and whether each takes requests. Of those that are gone, what was counted
        stays."""
        for name in self._shown - ready.keys():
            self._collectors.model_ready.remove(name)
        for name in self._load.models.keys() - ready.keys():
            for owner in tuple(self._load.models[name].versions):
                self.forget_model(name, owner)
        told = dict(islice(ready.items(), MOST_MODELS))
        for name, value in told.items():
            self._collectors.model_ready.labels(name).set(value)
        self._shown = set(told)

    def step(self, model: str, stats: StepStats, owner: Hashable = "") -> None:
        """One engine step. A few microseconds."""
        self._models[model].step(stats, owner)
        self.tenants.served(model, stats.served, stats.evenness)

    def first_token(self, model: str, seconds: float, exemplar: Exemplar = None) -> None:
        """A sequence's first token was delivered, ``seconds`` after its arrival. ``exemplar``: labels of its trace."""
        series = self._models[model]
        series.generation_tokens.inc()
        series.first_token.observe(seconds, exemplar)
        series.kept.first_token(seconds)

    def next_token(self, model: str, seconds: float, exemplar: Exemplar = None) -> None:
        """A further token of a sequence was delivered, ``seconds`` after the one before."""
        series = self._models[model]
        series.generation_tokens.inc()
        series.inter_token.observe(seconds, exemplar)
        series.kept.next_token(seconds)

    def foreseen(self, model: str, what: str, ratio: float) -> None:
        """Something came that was foreseen: ``what``, the first token or the end, after ``ratio`` of the time."""
        self._models[model].foreseen[what].observe(ratio)

    def finished(self, model: str, event: FinishedEvent, exemplar: Exemplar = None) -> None:
        """A sequence ended without an error."""
        self._models[model].finished(event, exemplar)

    def failed(self, model: str, event: FailedEvent) -> None:
        """A sequence that an engine had taken ended with an error."""
        series = self._models[model]
        series.usage(event.usage)
        series.failures[type(event.error)].inc()

    def refused(self, model: str, error: AttendantError) -> None:
        """A request was turned away at the door."""
        self._collectors.request_failure.labels(self._names.of(model), error_name(type(error))).inc()

    def counts(self) -> dict[str, ModelCounts]:
        """What was counted so far of each model that is there, by name. To be called on the event loop's thread."""
        found = {name: self._models[name].counts() for name in self._load.models}
        return self.encoders.counts() | {name: counts for name, counts in found.items() if counts is not None}

    def figures(self) -> dict[str, ModelFigures]:
        """What each model that has series has done, by name, as Triton counts. Safe from any thread."""
        last_step_ms = {name: series.last_step_ms for name, series in self._models.copy().items()}
        return triton_figures(self._collectors, self.encoders, last_step_ms)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page that Prometheus reads, and its content type. Safe from any thread.

        Args:
            accept: the header of that name. Who takes OpenMetrics gets it, exemplars included.
        """
        openmetrics = takes_openmetrics(accept)
        page: list[str] = []
        for collector, families in self._families:
            rows = read_rows(collector, exemplars=openmetrics)
            for family in families:
                family.write(page, rows, openmetrics=openmetrics)
        also: list[str] = []
        if self._vllm_names:
            own = {name: load for name, load in self._load.models.copy().items() if self._names.of(name) == name}
            also += vllm_families(self._collectors, own)
        if self._triton_names:
            also += triton_families(self._collectors, self.encoders)
        if openmetrics:
            page += map(opened, also)
            process = generate_open(self._process or CollectorRegistry())  # type: ignore[no-untyped-call]
            return "".join(page).encode() + process, OPENMETRICS
        process = generate_latest(self._process) if self._process is not None else b""
        return "".join([*page, *also]).encode() + process, CONTENT_TYPE_LATEST

    def render_load(self) -> tuple[bytes, str]:
        """The page that endpoint pickers read, and its content type. To be called on the event loop's thread."""
        return self._load.render(), CONTENT_TYPE_LATEST


def takes_openmetrics(accept: str) -> bool:
    """Whether somebody with this header takes OpenMetrics 1.0."""
    return bool(accept) and choose_encoder(accept)[1].startswith("application/openmetrics-text")


def _families(collector: MetricWrapperBase, vllm_names: bool) -> list[Family]:
    own = [Family(collector)]
    if vllm_names and (name := NAMES.get(collector._name)):
        own.append(Family(collector, name, CONSTANT))
    return own
