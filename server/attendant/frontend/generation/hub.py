"""Where engines and the event loop meet, on the loop's side: who waits for what."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from attendant.core.attention import JobReport
from attendant.core.errors import AttendantError, Draining, EngineDead
from attendant.core.estimate import Estimate
from attendant.core.events import EngineEvent, FailedEvent, FinishedEvent, StepReport, StepStats, TokenEvent
from attendant.core.request import Request, Timings, Usage
from attendant.engine.client import EngineClient
from attendant.engine.facts import EngineFacts
from attendant.engine.thread import Report
from attendant.frontend.admission import Gate
from attendant.frontend.generation.forecast import Forecast
from attendant.frontend.generation.recent import LoadNow, RecentSteps
from attendant.frontend.generation.router import Router
from attendant.frontend.generation.streams import SequenceStream
from attendant.frontend.generation.tenants import TenantPlaces
from attendant.frontend.jobs import JobHub
from attendant.metrics import Metrics
from attendant.models.generators import GeneratorPart
from attendant.models.info import GenerationInfo
from attendant.settings import AdmissionSettings

HELD_NS = 50_000_000
"""Nanoseconds that reports are kept back at most, of which nobody waits for a token: waking the loop for each costs the
processors that the model runs on about 0.3 ms a step."""


@dataclass(frozen=True, slots=True)
class _Live:
    """A sequence that has no terminal event yet, and the index of the engine that it was placed on, as whose load it
    ``counts``."""

    stream: SequenceStream
    engine: int
    counts: bool = True


class ModelHub:
    """One model's engines, wherever they run, and its live sequences. Everything here runs on the event loop's thread.

    A place is taken before any work is done for a request and given back at its terminal event. If one engine dies,
    the model is dead.

    Args:
        engines: alike, at least one; the hub starts and stops them.

    Attributes:
        facts: what holds for each of the engines.
        gate: has a place for each sequence, and each job, that runs or waits. tenants: who has them.
        forecast: when whoever comes would have an answer.
        jobs: what the first engine's thread computes beside its steps.
    """

    def __init__(
        self,
        model: GeneratorPart,
        engines: Sequence[EngineClient],
        metrics: Metrics,
        on_death: Callable[[str, BaseException], None],
        admission: AdmissionSettings | None = None,
    ) -> None:
        self.model = model
        self.facts = EngineFacts.least(engine.facts for engine in engines)
        self._engines = tuple(engines)
        self._metrics = metrics
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._live: dict[str, _Live] = {}
        self._dead: BaseException | None = None
        self._end_interval_s = 1.0  # moving average of the time between two ends
        self._last_end_s = time.monotonic()
        self.gate = Gate(
            model.name,
            model.max_requests,
            retry_after_s=lambda excess: self._end_interval_s,
            end_overdue=self._end_with,
        )
        self.jobs = JobHub(
            self.gate, self._engines[0].work, self._engines[0].end_work, partial(metrics.explain.ran, model.name)
        )
        known = [engine.facts for engine in self._engines]
        self.forecast = Forecast(model.name, known, model.context_length, admission or AdmissionSettings(), metrics)
        self.tenants = TenantPlaces(
            model.name,
            self.gate,
            admission or AdmissionSettings(),
            lambda: [live.stream for live in self._live.values()],
            self.cancel,
        )
        self._router = Router(len(self._engines), self.facts.max_running)
        self._can_wait: set[str] = set()  # live sequences whose tokens may come late; clients' threads look
        self._reports: list[deque[StepReport]] = [deque() for _ in self._engines]  # clients' threads append
        self._held_since_ns = [0] * len(self._engines)  # theirs alone; 0: nothing is held
        self._latest = [StepStats(kv_capacity_tokens=engine.facts.kv_capacity_tokens) for engine in self._engines]
        self._recent = RecentSteps()

    @property
    def ready(self) -> bool:
        """Whether the model takes requests."""
        return self._dead is None

    @property
    def kv_blocks(self) -> tuple[int, int]:
        """Positions of a block of KV memory, and blocks of all engines together."""
        size = self.facts.kv_page_tokens
        return size, sum(engine.facts.kv_capacity_tokens // size for engine in self._engines)

    def info(self) -> GenerationInfo:
        """What callers may know of the model."""
        part = self.model
        chat = part.text.chat_facts()
        return GenerationInfo(
            part.manifest, part.context_length, part.max_running, part.max_requests, chat, part.formats
        )

    def load(self) -> LoadNow:
        """How busy the engines are, after their latest steps."""
        state = StepStats().with_state_of(self._latest)
        waiting = [len(live.stream.request.prompt) for live in self._live.values() if not live.stream.has_begun]
        return self._recent.load(state, waiting, self.model.max_running, self.facts.kv_page_tokens)

    async def start(self) -> None:
        """Start every engine, one after another: while one captures CUDA graphs, no other may use a GPU.

        Raises:
            Exception: what kept an engine from being prepared.
        """
        for index, engine in enumerate(self._engines):
            await asyncio.to_thread(engine.start, partial(self._deliver, index), self._died)

    async def close(self) -> None:
        """Stop every engine; sequences still live fail."""
        if self._dead is None:
            self.gate.shut(Draining("the server is shutting down and takes no new requests"))
        await asyncio.gather(*(asyncio.to_thread(_stop, [engine]) for engine in self._engines))
        self._take_reports()
        self._fail_all(Draining("the server has shut down"))
        self._metrics.forget_model(self.model.name, self)

    def submit(self, streams: Sequence[SequenceStream]) -> None:
        """Hand a sequence to an engine, or the hypotheses of one beam search, of which the engine gets the first's
        request. Their places were taken, and come back with their terminal events from here on.

        Raises:
            EngineDead, Draining: the places stay taken.
        """
        self.gate.check_open(inner=True)
        first = streams[0].request
        engine = self._router.place(first.prompt, first.cache_salt)
        for stream in streams:
            self._live[stream.request.id] = _Live(stream, engine, counts=stream is streams[0])
            if stream.can_wait:
                self._can_wait.add(stream.request.id)
            stream.submitted()
        self.forecast.submitted(engine, first)
        self._engines[engine].submit(first)

    def admit(self, request: Request, num_sequences: int, *, inner: bool) -> None:
        """Find out whether a call's sequences, of which the first is asked by ``request``, would be in time; see
        :meth:`Forecast.admit`. Only then do others make room for them. Raises QueueFull, WouldBeLate."""
        engine = self._router.likely(request.prompt, request.cache_salt)
        self.forecast.admit(engine, request, num_sequences, inner=inner)

    def estimate(self, request: Request, num_sequences: int) -> Estimate:
        """What would become of a call's sequences."""
        return self.forecast.estimate(self._router.likely(request.prompt, request.cache_salt), request, num_sequences)

    def cancel(self, request_id: str) -> None:
        """End a sequence if it is live."""
        if live := self._live.get(request_id):
            self._engines[live.engine].cancel(request_id)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new sequences, let those that run finish, fail the rest after ``timeout_s`` seconds."""
        if not await self.gate.drain(timeout_s):
            self._fail_all(Draining("the server shut down while a step was running"))

    def _end_with(self, error: Draining) -> None:
        """Let the engines end everything before their next steps."""
        self.jobs.end_with(error)
        for request_id, live in self._live.items():
            live.stream.end_with(error)
            self.cancel(request_id)

    # -- from the clients' threads

    def _deliver(self, engine: int, report: Report) -> None:
        if isinstance(report, JobReport):
            self._loop.call_soon_threadsafe(self.jobs.on_report, report)
            return
        self._reports[engine].append(report)
        since_ns = self._held_since_ns[engine] or report.at_ns
        if report.at_ns - since_ns >= HELD_NS or any(map(self._is_awaited, report.events)):
            since_ns = 0
            self._loop.call_soon_threadsafe(self._take_reports)
        self._held_since_ns[engine] = since_ns

    def _is_awaited(self, event: EngineEvent) -> bool:
        return not isinstance(event, TokenEvent) or event.request_id not in self._can_wait

    def _died(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._on_dead, error)

    # -- back on the loop

    def _take_reports(self) -> None:
        for engine, reports in enumerate(self._reports):
            while reports:
                self._on_report(engine, reports.popleft())

    def _on_report(self, engine: int, report: StepReport) -> None:
        metrics, name = self._metrics, self.model.name
        self._latest[engine] = report.stats
        self.forecast.take(engine, report)
        self._recent.take(report)
        metrics.step(name, report.stats.with_state_of(self._latest), self)
        metrics.paces.told(name, report.pace)
        for event in report.events:
            if isinstance(event, TokenEvent):
                if live := self._live.get(event.request_id):
                    is_first, seconds = live.stream.on_token(event, report.at_ns)
                    way = live.stream.way
                    exemplar = None if way is None else way.exemplar(report.at_ns, None if is_first else seconds)
                    (metrics.first_token if is_first else metrics.next_token)(name, seconds, exemplar)
            else:
                self._on_end(event)

    def _on_end(self, event: FinishedEvent | FailedEvent) -> None:
        live = self._live.pop(event.request_id, None)
        if live is None:
            return
        self._can_wait.discard(event.request_id)
        if live.counts:
            self._router.ended(live.engine)
        way = live.stream.way
        exemplar = None if way is None else way.exemplar(time.monotonic_ns())
        ended = live.stream.on_end(event)
        if isinstance(ended, FinishedEvent):
            self._metrics.finished(self.model.name, ended, exemplar)
        else:
            self._metrics.failed(self.model.name, ended)
        now = time.monotonic()
        self._end_interval_s += 0.1 * (now - self._last_end_s - self._end_interval_s)
        self._last_end_s = now
        self.gate.give_back(left=self.tenants.ended(event.request_id))

    def _on_dead(self, error: BaseException) -> None:
        if self._dead is not None:
            return
        self._take_reports()
        self._dead = error
        death = EngineDead.of(self.model.name)
        self.gate.shut(death)
        for request_id in self._live:  # the other engines need not go on
            self.cancel(request_id)
        self._fail_all(death)
        self._on_death(self.model.name, error)

    def _fail_all(self, error: AttendantError) -> None:
        self.jobs.fail_all(error)
        for request_id in tuple(self._live):
            self._on_end(FailedEvent(request_id, error, Usage(0, 0, 0), Timings()))


def _stop(engines: list[EngineClient]) -> None:
    """Stop the only one, and take it out of the list: a pool's thread holds what it was given until after it has
    told the end, and a model that leaves would stay as long."""
    engines.pop().stop()
