"""The beams of one request as sequences of the engine: they take places together, advance together and end together."""

from __future__ import annotations

from collections.abc import Callable

from attendant.core.beams import BeamParams
from attendant.core.errors import AttendantError, StepFailed
from attendant.core.events import EngineEvent, FailedEvent, FinishedEvent, TokenEvent, TokenLogprob
from attendant.core.plan import Continuations
from attendant.core.request import FinishReason, Request
from attendant.engine.beam_search import BeamSearch, Extension, Hypothesis, num_candidates
from attendant.engine.pool import KVPool, common_prefix
from attendant.engine.sequence import Sequence

MakeSequence = Callable[[Request, str, int], Sequence]


class BeamGroup:
    """``num_beams`` sequences. Until the prompt is computed only the first, the leader, works; then the others take
    over what it computed. Each step every beam reports its continuations; the search says which go on, and a beam whose
    place goes to another's continuation gets the positions in which they differ.

    Args:
        make: makes a sequence of the request, with this id, that reports so many candidates.
    """

    def __init__(self, request: Request, params: BeamParams, make: MakeSequence) -> None:
        self.request = request
        self.leader = make(request, request.id, 0)
        number = self.leader.num_candidates = num_candidates(params, len(self.leader.stop_ids))
        others = [make(request, f"{request.id}/{beam}", number) for beam in range(1, params.num_beams)]
        for member in others:
            member.parked = True
        self._members = [self.leader, *others]  # those that work, in the order of the search's beams, then the parked
        self._search = BeamSearch(params, self.leader.stop_ids, self.leader.max_tokens - self.leader.num_prompt)
        self._reported: dict[str, Continuations] = {}
        self._asked: tuple[float, ...] = ()

    @property
    def members(self) -> tuple[Sequence, ...]:
        """All of its sequences."""
        return tuple(self._members)

    @property
    def begins_anew(self) -> bool:
        """Whether the latest tokens changed the keys of all before them: all beams that work are of one length."""
        return not self._reported and any(beam.begins_anew and not beam.parked for beam in self._members)

    def report(self, member: Sequence, candidates: Continuations, pool: KVPool, now_ns: int) -> bool:
        """Take in what a beam found; when all have reported, go on. Returns whether the search has ended."""
        self._reported[member.id] = candidates
        working = self._members[: len(self._search.running)]
        if len(self._reported) < len(working):
            return False
        rows = [self._reported[beam.id] for beam in working]
        self._reported = {}
        self._asked = self._asked or rows[0].asked
        extensions = self._search.advance(rows, [beam.is_complete for beam in working])
        if extensions:
            self._go_on(extensions, pool, now_ns)
        else:
            self.leader.clock.token(now_ns)
        return not extensions

    def lost_places(self) -> None:
        """The beams have lost what they computed. All of them compute their last token again, and report then: a search
        that went on from what one said before would go on while that one still catches up."""
        self._reported = {}

    def results(self, now_ns: int) -> list[EngineEvent]:
        """All tokens and the end of each hypothesis that is returned."""
        events: list[EngineEvent] = []
        timings = self.leader.clock.timings(now_ns)
        results = self._search.results()
        for id_, hypothesis in zip(self.request.hypotheses, results, strict=False):
            tokens = hypothesis.tokens if hypothesis.stop_token is None else hypothesis.tokens[:-1]
            reports = self._logprobs(hypothesis)
            events += [TokenEvent(id_, token, report) for token, report in zip(tokens, reports, strict=False)]
            stopped = hypothesis.complete or hypothesis.stop_token is not None
            reason = FinishReason.STOP if stopped else FinishReason.LENGTH
            usage = self.leader.usage(len(hypothesis.tokens))
            events.append(FinishedEvent(id_, reason, usage, timings, hypothesis.stop_token))
        for id_ in self.request.hypotheses[len(results) :]:
            error = StepFailed(f"beam search found {len(results)} answers, not {len(self.request.hypotheses)}")
            events.append(FailedEvent(id_, error, self.leader.usage(), timings))
        return events

    def cancelled(self, now_ns: int) -> list[EngineEvent]:
        """The end of every hypothesis without a result."""
        usage, timings = self.leader.usage(), self.leader.clock.timings(now_ns)
        return [FinishedEvent(id_, FinishReason.CANCELLED, usage, timings) for id_ in self.request.hypotheses]

    def failed(self, error: AttendantError, now_ns: int) -> list[EngineEvent]:
        """The same failure for every hypothesis."""
        usage, timings = self.leader.usage(), self.leader.clock.timings(now_ns)
        return [FailedEvent(id_, error, usage, timings) for id_ in self.request.hypotheses]

    def _go_on(self, extensions: tuple[Extension, ...], pool: KVPool, now_ns: int) -> None:
        """Give each extension a member: its parent's own to the first of a parent's, those of beams without a
        continuation to the others."""
        heirs = dict(reversed([(extension.parent, extension) for extension in extensions]))
        others = [extension for extension in extensions if heirs[extension.parent] is not extension]
        free = [place for place in range(len(self._members)) if place not in heirs]
        order = {**heirs, **dict(zip(free, others, strict=False))}
        for place in free[: len(others)]:
            self._take_over(self._members[order[place].parent], self._members[place], pool)
        for place, extension in order.items():
            self._members[place].append(extension.token, now_ns)
            self._members[place].parked = False
        places = {extension: place for place, extension in order.items()}
        working = [places[extension] for extension in extensions]
        parked = free[len(others) :]
        for place in parked:
            self._members[place].parked = True
        self._members = [self._members[place] for place in (*working, *parked)]

    def _take_over(self, parent: Sequence, child: Sequence, pool: KVPool) -> None:
        """Make ``child`` the same as ``parent``, which keeps all it has."""
        length = parent.num_computed
        start = common_prefix(child.tokens[: min(child.num_computed, length)], parent.tokens[:length])
        pool.fork(parent, child, start)
        child.take_over(parent)

    def _logprobs(self, hypothesis: Hypothesis) -> list[TokenLogprob | None]:
        if self.request.params.logprobs is None:
            return [None] * len(hypothesis.tokens)
        reports = [TokenLogprob(*pair) for pair in zip(hypothesis.tokens, hypothesis.logprobs, strict=True)]
        reports[0] = TokenLogprob(reports[0].token_id, reports[0].logprob, asked=self._asked)
        return [*reports]
