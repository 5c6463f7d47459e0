"""Every sequence that has not ended, by its name, and the search that it may be a beam of."""

from __future__ import annotations

from collections.abc import Iterator

from attendant.core.errors import AttendantError
from attendant.core.events import EngineEvent, FailedEvent, FinishedEvent
from attendant.core.plan import StepPlan
from attendant.core.request import FinishReason, PromptRun, Request
from attendant.engine.beam_group import BeamGroup
from attendant.engine.deadlines import Deadlines
from attendant.engine.limits import SchedulerLimits
from attendant.engine.sequence import Sequence


class LiveSequences:
    """Makes the sequences of requests and knows them until they are forgotten."""

    def __init__(self, limits: SchedulerLimits) -> None:
        self._limits = limits
        self._sequences: dict[str, Sequence] = {}
        self._groups: dict[str, BeamGroup] = {}  # by the id of every member and of every hypothesis
        self._deadlines = Deadlines(self._sequences)
        self._submitted = 0

    def get(self, sequence_id: str) -> Sequence | None:
        """The sequence with this id; None if it has ended."""
        return self._sequences.get(sequence_id)

    def found(self, request_id: str) -> Sequence | None:
        """The sequence of a request, of a search its leader, by the request's id or that of any hypothesis."""
        group = self._groups.get(request_id)
        return group.leader if group else self._sequences.get(request_id)

    def group_of(self, sequence: Sequence) -> BeamGroup | None:
        """The search that the sequence is a beam of."""
        return self._groups.get(sequence.id)

    def members(self, sequence: Sequence) -> tuple[Sequence, ...]:
        """The sequence, or all beams of its search."""
        group = self._groups.get(sequence.id)
        return group.members if group else (sequence,)

    def add(self, request: Request) -> Sequence:
        """Make what a request needs; returns its sequence, of a search the leader."""
        assert request.id not in self._sequences
        if request.beams is None:
            sequence = self._sequences[request.id] = self._make(request, request.id, 0)
        else:
            assert request.beams.num_beams <= self._limits.max_num_seqs
            group = BeamGroup(request, request.beams, self._make)
            sequence = group.leader
            self._sequences |= {member.id: member for member in group.members}
            self._groups |= dict.fromkeys((*(member.id for member in group.members), *request.hypotheses), group)
        if request.deadline_ns is not None:
            self._deadlines.add(request.deadline_ns, request.id)
        self._submitted += 1
        return sequence

    def expired(self, now_ns: int) -> Iterator[Sequence]:
        """The sequences whose time is up, each once, of a search the leader."""
        return (self._sequences[request_id] for request_id in self._deadlines.expired(now_ns))

    def finished(
        self, sequence: Sequence, reason: FinishReason, now_ns: int, stop_token_id: int | None
    ) -> list[EngineEvent]:
        """The end of the sequence, or of every hypothesis of its search, which ends so only when it is cancelled."""
        if group := self._groups.get(sequence.id):
            return group.cancelled(now_ns)
        usage, timings = sequence.usage(), sequence.clock.timings(now_ns)
        return [FinishedEvent(sequence.id, reason, usage, timings, stop_token_id)]

    def failed(self, sequence: Sequence, error: AttendantError, now_ns: int) -> list[EngineEvent]:
        """The failure of the sequence, or of every hypothesis of its search."""
        if group := self._groups.get(sequence.id):
            return group.failed(error, now_ns)
        return [FailedEvent(sequence.id, error, sequence.usage(), sequence.clock.timings(now_ns))]

    def note_runs(self, plan: StepPlan, began_ns: int, now_ns: int) -> None:
        """Tell those who want to know it what a step computed of their prompts and sources."""
        ordered = [(feed.request_id, -1, feed.size) for feed in plan.feeds]
        ordered += [(chunk.request_id, chunk.start, len(chunk.tokens)) for chunk in plan.prefills]
        for request_id, start, size in ordered:
            sequence = self._sequences.get(request_id)
            if sequence is not None and sequence.request.noted:
                sequence.clock.run(PromptRun(began_ns, now_ns, start, size))

    def forget(self, sequence: Sequence) -> None:
        """The sequence, or its search, has ended."""
        for member in self.members(sequence):
            del self._sequences[member.id]
            self._groups.pop(member.id, None)
        for id_ in sequence.request.hypotheses:
            self._groups.pop(id_, None)

    def _make(self, request: Request, name: str, num_candidates: int) -> Sequence:
        limits = self._limits
        return Sequence(
            request,
            self._submitted,
            limits.context_length,
            limits.eos,
            recomputes_in_rows=limits.rule.recomputes_in_rows,
            name=name,
            num_candidates=num_candidates,
            frequencies=limits.frequencies,
            memories=limits.memories(request),
        )
