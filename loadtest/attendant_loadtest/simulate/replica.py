"""One server in thought: its door, its forecast and its scheduler are the real ones; its steps are over when the costs
say so."""

from __future__ import annotations

from dataclasses import dataclass

from attendant.core.context import CallContext
from attendant.core.errors import Overloaded
from attendant.core.events import EngineEvent, FailedEvent, FinishedEvent, StepReport, StepStats, TokenEvent
from attendant.core.pace import StepWork
from attendant.core.plan import StepOutput, StepPlan
from attendant.core.request import FinishReason, Request
from attendant.core.sampling import SamplingParams
from attendant.engine.facts import EngineFacts
from attendant.engine.scheduler import Scheduler
from attendant.engine.step_rules import StepRules
from attendant.frontend.admission import Gate
from attendant.frontend.generation.forecast import Forecast
from attendant.metrics import Metrics
from attendant.settings import AdmissionSettings
from prometheus_client import CollectorRegistry

from attendant_loadtest.schedule.planned import Planned, Segment, random_of
from attendant_loadtest.simulate.outcomes import Fate, Log
from attendant_loadtest.simulate.subject import Draw, DrawWire, Subject

S = 1_000_000_000

TOKEN = 0
"""What every model in thought says."""

SEGMENT_SPAN = 1 << 24
"""Tokens of segments with other keys are others: no two are in the same span of ids."""


class FakeClock:
    """A clock that stands until it is moved. Thoughts take no time by it."""

    def __init__(self, now_ns: int = S) -> None:
        self.now_ns = now_ns

    def monotonic_ns(self) -> int:
        """Now."""
        return self.now_ns

    def perf_counter_ns(self) -> int:
        """Now."""
        return self.now_ns


@dataclass(slots=True)
class _Live:
    number: int
    came_ns: int
    cancel_after: int | None
    first_ns: int = 0
    last_ns: int = 0
    tokens: int = 0
    wire_ns: int = 0


class Replica:
    """One server with one engine.

    Args:
        clock: that all replicas go by; somebody else moves it.
        log: is told what becomes of each request.
        admission: settings of the door. With ``predict``, and from the first request on that has a deadline, an engine
            learns what its steps take and newcomers are judged by that, as a server does it.
    """

    def __init__(
        self,
        index: int,
        subject: Subject,
        clock: FakeClock,
        log: Log,
        admission: AdmissionSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.index = index
        self._settings = admission or AdmissionSettings()
        self._clock = clock
        self._log = log
        self._pace = subject.costs.pace
        self._spread = Draw(subject.costs.spread, random_of(seed, "steps", index))
        self._wire = DrawWire(subject.costs.wires, random_of(seed, "wire", index))
        self._max_running = subject.shape.max_num_seqs
        limits, pool = subject.shape.limits(), subject.shape.pool()
        self.scheduler = Scheduler(pool, limits, self._settings.order_rules())
        self._gate = Gate(subject.model, limits.max_num_seqs + subject.shape.max_queue)
        memory = pool.capacity_tokens, pool.page_tokens
        rules = StepRules.of(limits, *memory)
        facts = EngineFacts(subject.model, limits.max_num_seqs, limits.context_length, *memory, rules)
        metrics = Metrics(CollectorRegistry())
        metrics.add_model(subject.model)
        self._forecast = Forecast(subject.model, [facts], limits.context_length, self._settings, metrics, clock)
        self._foresees = False
        self._live: dict[str, _Live] = {}
        # A caller hears of a token while the next step runs: who breaks off at it leaves after that one.
        self._broken_off: list[str] = []
        self._leaving: list[str] = []
        self._plan: StepPlan | None = None
        self._work = StepWork()
        self._began_ns = 0

    @property
    def active(self) -> int:
        """Calls that have not ended."""
        return len(self._live)

    @property
    def busy(self) -> float:
        """``application_utilization``: requests that run and wait, by how many can run."""
        return (self.scheduler.num_running + self.scheduler.num_waiting) / self._max_running

    @property
    def is_idle(self) -> bool:
        """Whether no step is under way."""
        return self._plan is None

    # -- requests

    def come(self, number: int, planned: Planned) -> bool:
        """A request comes now. False: it was refused at the door."""
        request = self._request(number, planned)
        self._foresees |= request.deadline_ns is not None and self._settings.predict
        try:
            self._admit(request)
        except Overloaded as error:
            self._log.refused(number, self.index, type(error).__name__)
            return False
        if self._foresees:
            self._forecast.submitted(0, request)
        self.scheduler.submit(request)
        self._live[request.id] = _Live(number, self._clock.now_ns, planned.cancel_after)
        return True

    def _admit(self, request: Request) -> None:
        """What ``GenerationService`` asks of a call, in its order."""
        if self._foresees:
            self._forecast.check_begin(
                CallContext(request.id, request.arrival_ns, request.deadline_ns, priority=request.priority)
            )
        self._gate.check_room(1)
        if self._foresees:
            self._forecast.admit(0, request, 1, inner=False)
        self._gate.take()

    def _request(self, number: int, planned: Planned) -> Request:
        now_ns = self._clock.now_ns
        return Request(
            str(number),
            tokens_of(planned.segments),
            SamplingParams(max_tokens=planned.answer, ignore_eos=True),
            now_ns,
            None if planned.deadline_s is None else now_ns + int(planned.deadline_s * S),
            priority=planned.priority,
            sure_tokens=planned.answer,
            ends_hopeless=self._forecast.ends_hopeless,
        )

    # -- steps

    def begin(self) -> int | None:
        """Begin a step if there is work; returns when it ends, or None."""
        now_ns = self._clock.now_ns
        for request_id in self._leaving:
            self.scheduler.cancel(request_id, now_ns)
        self._leaving, self._broken_off = self._broken_off, []
        plan = self.scheduler.schedule(now_ns)
        if not plan:  # those that were left have ended
            self._take_events(now_ns)
            assert not self._live
            return None
        self._plan, self._began_ns, self._work = plan, now_ns, StepWork.of(plan)
        return now_ns + max(int(self._pace.seconds(self._work) * self._spread.next() * S), 1)

    def end(self) -> StepPlan:
        """The step that was begun is over now. Returns what it computed."""
        plan, self._plan = self._plan, None
        assert plan is not None
        now_ns = self._clock.now_ns
        tokens = dict.fromkeys(
            [chunk.request_id for chunk in (*plan.decodes, *plan.prefills) if chunk.sample is not None], TOKEN
        )
        self.scheduler.commit(plan, StepOutput(tokens, {}, {}, 0), now_ns)
        self._log.stepped(now_ns - self._began_ns, self._work)
        if self._foresees:
            self.scheduler.paces.took(self._work, (now_ns - self._began_ns) / S)
        self._take_events(now_ns)
        return plan

    def _take_events(self, now_ns: int) -> None:
        live, gap = self._live, self._log.gap
        events = self.scheduler.take_events()
        for event in events:
            found = live[event.request_id]
            if not isinstance(event, TokenEvent):
                self._ended(found, event, now_ns)
                continue
            found.tokens += 1
            if found.first_ns:
                gap(now_ns - found.last_ns)
            else:
                found.first_ns = now_ns
                found.wire_ns = int(self._wire.next(len(live)) * S)
            found.last_ns = now_ns
            if found.tokens == found.cancel_after:
                self._broken_off.append(event.request_id)
        if self._foresees:
            self._report(events, now_ns)

    def _report(self, events: tuple[EngineEvent, ...], now_ns: int) -> None:
        """Tell the forecast what an engine tells it of a step."""
        scheduler = self.scheduler
        stats = StepStats(
            num_running=scheduler.num_running,
            num_waiting=scheduler.num_waiting,
            num_prefill_tokens=self._work.prompt_tokens,
        )
        self._forecast.take(0, StepReport(events, stats, now_ns, scheduler.paces.pace))

    def _ended(self, found: _Live, event: FinishedEvent | FailedEvent, now_ns: int) -> None:
        del self._live[event.request_id]
        self._gate.give_back()
        how = Fate.ANSWERED
        if isinstance(event, FailedEvent):
            how = Fate.LATE
        elif event.reason is FinishReason.CANCELLED:
            how = Fate.CANCELLED
        from_ns = found.came_ns - found.wire_ns
        self._log.ended(
            found.number,
            self.index,
            how,
            first_ns=found.first_ns - from_ns if found.first_ns else 0,
            last_ns=found.last_ns - from_ns if found.last_ns else 0,
            end_ns=now_ns - from_ns,
            tokens=found.tokens,
            cached=event.usage.cached_tokens,
        )


def tokens_of(segments: tuple[Segment, ...]) -> tuple[int, ...]:
    """A prompt in which equal segments have the same tokens and others have others."""
    if len(segments) == 1:
        key, size = segments[0]
        return tuple(range(key * SEGMENT_SPAN, key * SEGMENT_SPAN + size))
    return tuple([token for key, size in segments for token in range(key * SEGMENT_SPAN, key * SEGMENT_SPAN + size)])
