"""Decides what each step computes. One token budget, one rule: every sequence's num_computed chases its num_tokens.

Policy, in this order:

1. Every sequence whose prompt is computed decodes one token; it costs one token of the budget. The budget is larger
   than the number of sequences that can run, so decodes never wait and never use the whole budget.
2. The rest goes to prompts in the queue's order (``waiting``), that of arrival if there is one tenant and one
   priority: first those already begun, then waiting ones as KV memory allows. A prompt longer than the rest is
   computed in chunks, so it delays a running stream by one budget's work at most, and prompts advance in every step,
   whatever decodes. A rest too small for a piece worth running is left, unless it is all that prompts would get. While
   the first in the queue does not fit, all wait.

   What a run costs besides its tokens is worth sharing: the model's weights are read once. So decodes ride with
   prompts; and prompts that wait together share a run as long as the wait that each spares those behind it is more than
   the wait that it adds to those before it.

   Where decodes and prompts have to be runs of their own, one budget is spent over several steps: first prompts, then
   all decodes. So a prompt's first token leaves as soon as it is computed, its second comes with the next decodes, and
   a request that arrives in between is not kept waiting by them.

   A prompt of a light tenant (``shares``) goes before those of tenants that have had more, in a run without them and
   without decodes: its first token waits for its own prompt alone. While light tenants may come, other prompts are
   computed in smaller pieces: so the step that one finds under way is short.
3. KV memory grows by need. When it runs out, the last in order gives its memory up (preemption) and computes its tokens
   again when there is room: the first in order always advances, so everybody finishes. One that waits may take the
   place of the last in order, a step after it found none: one of a light tenant, for which there are some places of
   its own besides, that of one that is not; and where that is turned on, any that of one of a lower level.

Where answers must not depend on the load, to the last bit, a token is always computed in the same kind of run: a
prompt's in chunks (cut by the rules of ``chunking``), a generated one in a decode row, also when it is computed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from attendant.core.errors import AttendantError, DeadlineExceeded, StepFailed
from attendant.core.events import EngineEvent, TenantService, TokenEvent
from attendant.core.fair_order import OrderRules
from attendant.core.plan import StepOutput, StepPlan
from attendant.core.request import FinishReason, Request
from attendant.engine.apart import failed_run
from attendant.engine.chunking import SMALLEST_BUDGET
from attendant.engine.hopeless import Hopeless, too_late
from attendant.engine.limits import SchedulerLimits
from attendant.engine.live import LiveSequences
from attendant.engine.pace_learner import PaceLearner
from attendant.engine.places import Places
from attendant.engine.pool import KVPool
from attendant.engine.prompt_share import PromptShare
from attendant.engine.sequence import Sequence
from attendant.engine.waiting import WaitingQueue

NOBODY: Mapping[str, Exception] = MappingProxyType({})


class Scheduler:
    """Owns every sequence from submit to its one terminal event."""

    def __init__(self, pool: KVPool, limits: SchedulerLimits, order: OrderRules | None = None) -> None:
        assert limits.max_num_batched_tokens >= limits.max_num_seqs + SMALLEST_BUDGET
        self.pool = pool
        self._limits = limits
        self._live = LiveSequences(limits)
        self._waiting = WaitingQueue(order or OrderRules(), limits.max_num_seqs)
        self._places = Places(pool, limits, self._live, self._waiting)
        self._events: list[EngineEvent] = []
        self.paces = PaceLearner()
        self._hopeless = Hopeless(self.paces, pool)
        self._spent = 0  # tokens of prompts since the last decodes, which wait meanwhile
        self._began_ns = 0

    @property
    def limits(self) -> SchedulerLimits:
        """What it may put into a step."""
        return self._limits

    @property
    def num_waiting(self) -> int:
        """Sequences without KV memory."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Sequences with KV memory."""
        return len(self._places)

    @property
    def num_preemptions(self) -> int:
        """How often one lost its memory to others."""
        return self._places.num_preemptions

    def order_by(self, rules: OrderRules) -> None:
        """Change the order of requests; to be called before there are any."""
        self._waiting = WaitingQueue(rules, self._limits.max_num_seqs)
        self._places = Places(self.pool, self._limits, self._live, self._waiting)

    def take_served(self) -> tuple[TenantService, ...]:
        """What tenants have had since the last call."""
        return self._waiting.take_served()

    def evenness(self, served: tuple[TenantService, ...], now_ns: int) -> float | None:
        """Jain's index of what tenants had who waited, if it is found anew."""
        return self._waiting.evenness(served, now_ns)

    def in_order(self, now_ns: int) -> Iterator[Sequence]:
        """Those that wait, in the order in which they would get places."""
        return self._waiting.in_order(now_ns)

    def submit(self, request: Request) -> None:
        """Take a request in; it waits, unless what was received of its answer is all of it."""
        self._waiting.add(sequence := self._live.add(request))
        if request.received and (end := sequence.end):
            self._finish(sequence, end, request.arrival_ns)

    def cancel(self, request_id: str, now_ns: int) -> None:
        """End a request with reason cancelled; one that has ended already is left alone. With beam search the id of any
        of its hypotheses ends it."""
        if sequence := self._live.found(request_id):
            self._finish(sequence, FinishReason.CANCELLED, now_ns)

    def schedule(self, now_ns: int) -> StepPlan:
        """Decide the next step. An empty plan means that nothing is left to do."""
        self._began_ns = now_ns
        self._drop_expired(now_ns)
        decoding: list[Sequence] = []
        begun: list[Sequence] = []
        for sequence in self._places.in_order(now_ns):
            if not sequence.rests:
                (decoding if sequence.decodes else begun).append(sequence)
        # a beam may give its memory up for one of a later request's, after its own turn
        decoding = [s for s in [s for s in decoding if self._places.extend(s)] if s.slot is not None]
        if not decoding:
            self._spent = 0
        limits = self._limits
        budget = limits.max_num_batched_tokens - min(len(decoding), limits.max_num_seqs) - self._spent
        prompts = PromptShare(limits.rule, budget, self._spent > 0)
        if self._waiting.shares.light_may_come(now_ns):
            prompts.most = limits.short_prompts
        self._take_prompts(prompts, begun, now_ns)
        if prompts and (limits.prompts_apart or prompts.has_light):
            self._spent += budget - prompts.budget
            decoding = []
        else:
            self._spent = 0
            decoding += prompts.decoding
        return StepPlan(
            fillers=self.pool.arrange(decoding) if decoding else (),
            moves=self.pool.take_moves(),
            decodes=tuple([s.decode_row() for s in decoding]),
            prefills=tuple(prompts.chunks()),
            feeds=tuple([feed for s in prompts.feeding for feed in s.feeds()]),
        )

    def commit(self, plan: StepPlan, output: StepOutput, now_ns: int, blamed: Mapping[str, Exception] = NOBODY) -> None:
        """Take the results of a step in. ``blamed``: requests whose run raised, also alone, and what it raised."""
        errors: dict[str, AttendantError] = {
            id_: reason if isinstance(reason, AttendantError) else StepFailed(reason)
            for id_, reason in output.failures.items()
        }
        errors |= {id_: failed_run(id_, cause) for id_, cause in blamed.items()}
        self._live.note_runs(plan, self._began_ns, now_ns)
        for chunk in (*plan.decodes, *plan.prefills):
            sequence = self._live.get(chunk.request_id)
            if sequence is None or sequence.id in errors:  # or another beam of the same search has failed
                continue
            sequence.advance(len(chunk.tokens))
            if chunk.sample is None:
                continue
            self._waiting.generated(sequence)
            if sequence.num_candidates:
                self._take_continuations(sequence, output, now_ns)
            else:
                self._take_token(sequence, output, now_ns)
        for id_, error in errors.items():
            if sequence := self._live.get(id_):
                sequence.restart()  # nothing of it is worth keeping
                self._fail(sequence, error, now_ns)

    def take_events(self) -> tuple[EngineEvent, ...]:
        """Everything that happened since the last call, in order."""
        events, self._events = tuple(self._events), []
        return events

    # -- placing

    def _take_prompts(self, prompts: PromptShare, begun: list[Sequence], now_ns: int) -> None:
        """Spend the budget; with prompts apart, on one run, so that its tokens leave before others are computed."""
        num_waiting, placed = len(begun) + len(self._waiting), deque(begun)
        first = self._waiting.first(now_ns)
        while placed or first:
            if placed and not (first and self._waiting.goes_before(first, placed[0])):
                sequence = placed.popleft()
                if sequence.slot is not None and prompts.is_worth_a_piece(sequence):
                    if not self._joins(prompts, sequence, num_waiting):
                        return
                    prompts.take(sequence, light=self._waiting.note_prompt(sequence, now_ns))
            else:
                assert first is not None
                if not self._joins(prompts, first, num_waiting):
                    return
                if self._hopeless.waits_in_vain(first, now_ns, self._places, num_waiting):
                    self._fail(first, too_late(), now_ns)
                elif not self._admit(prompts, first, now_ns):
                    first = None
                    continue
                first = self._waiting.first(now_ns)
            num_waiting -= 1

    def _admit(self, prompts: PromptShare, first: Sequence, now_ns: int) -> bool:
        """Give the first that waits a place, if there is one and a part of the budget for it."""
        admitted = self._places.admit(first, now_ns) if prompts.is_worth_a_piece(first) else []
        for sequence in admitted:
            prompts.take(sequence, light=self._waiting.note_prompt(sequence, now_ns))
        return bool(admitted)

    def _joins(self, prompts: PromptShare, sequence: Sequence, num_waiting: int) -> bool:
        """Whether the sequence is better computed in the run of what was taken than in one of its own, later."""
        run_cost = self._limits.run_cost
        if not prompts.keeps_short(sequence, light=self._waiting.is_light(sequence)):
            return False
        return run_cost is None or bool(prompts.feeding) or prompts.joins(sequence, num_waiting, run_cost)

    def _begin_anew(self, sequence: Sequence) -> None:
        """Compute all tokens of the sequence again: nothing that there is of it holds any longer."""
        for member in self._live.members(sequence):
            member.restart()
        self._places.preempt(sequence)

    # -- ending

    def _take_token(self, sequence: Sequence, output: StepOutput, now_ns: int) -> None:
        request_id = sequence.id
        token = output.tokens[request_id]
        sequence.append(token, now_ns)
        if token in sequence.stop_ids:
            self._finish(sequence, FinishReason.STOP, now_ns, stop_token=token)
            return
        self._events.append(TokenEvent(request_id, token, output.logprobs.get(request_id)))
        if end := sequence.end:
            self._finish(sequence, end, now_ns)
        elif sequence.begins_anew:
            self._begin_anew(sequence)

    def _take_continuations(self, sequence: Sequence, output: StepOutput, now_ns: int) -> None:
        group = self._live.group_of(sequence)
        assert group is not None
        if group.report(sequence, output.continuations[sequence.id], self.pool, now_ns):
            self._events += group.results(now_ns)
            self._remove(sequence)
        elif group.begins_anew:
            self._begin_anew(group.leader)

    def _drop_expired(self, now_ns: int) -> None:
        for sequence in self._live.expired(now_ns):
            late = "while it was running" if sequence.slot is not None else "while it was waiting"
            self._fail(sequence, DeadlineExceeded(f"the deadline passed {late}"), now_ns)
        for sequence in tuple(self._hopeless.run_in_vain(self._places, now_ns, len(self._waiting))):
            if sequence.slot is not None:  # it did not end with another beam of its search
                self._fail(sequence, too_late(), now_ns)

    def _finish(self, sequence: Sequence, reason: FinishReason, now_ns: int, stop_token: int | None = None) -> None:
        self._events += self._live.finished(sequence, reason, now_ns, stop_token)
        self._remove(sequence)

    def _fail(self, sequence: Sequence, error: AttendantError, now_ns: int) -> None:
        self._events += self._live.failed(sequence, error, now_ns)
        self._remove(sequence)

    def _remove(self, sequence: Sequence) -> None:
        """Forget the sequence, or all beams of its search, and give its memory up."""
        members = self._live.members(sequence)
        self._live.forget(sequence)
        if sequence.slot is None:
            self._waiting.remove(sequence)
        self._places.leave(members)
