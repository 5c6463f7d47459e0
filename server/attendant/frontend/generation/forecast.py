"""Whether a request would be answered in the time that it has: who is refused because it would be late, and who would
make others late that were let in before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded, Overloaded, QueueFull, WouldBeLate
from attendant.core.estimate import Estimate
from attendant.core.events import FailedEvent, FinishedEvent, StepReport, TokenEvent
from attendant.core.moments import Moments
from attendant.core.request import FinishReason, Request
from attendant.engine.chunking import MIN_CHUNK
from attendant.engine.facts import EngineFacts
from attendant.engine.hopeless import too_late
from attendant.frontend.admission import sane_retry_s
from attendant.frontend.generation.lengths import AnswerLengths
from attendant.frontend.generation.outlook import Outlook
from attendant.frontend.generation.tracked import Tracked
from attendant.frontend.margin import Margin
from attendant.metrics import Metrics
from attendant.settings import AdmissionSettings

OUTDATED = 4.0
"""So many times as fast as it was an engine without work may be by now; more with each second that it has had none."""

FIRST_TOKEN, END = "the first token", "the end of the answer"
PROMISED = "with it the end of an answer that was promised before"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What was foreseen of a request: seconds until its first token and its end, from ``at_ns`` on; ``limit_s``,
    ``first_limit_s``: until its deadline, and until its first token is of no use, or None. ``promised``: see
    :meth:`~attendant.frontend.generation.outlook.Outlook.foresee`."""

    at_ns: int
    first_s: float
    end_s: float
    limit_s: float | None
    first_limit_s: float | None = None
    promised: tuple[tuple[float, float, int], ...] = ()


class Forecast:
    """Of one model's engines. Everything here runs on the event loop.

    Args:
        context_length: of the model, tokens of prompt and answer together.
        clock: that requests and reports go by.
    """

    def __init__(
        self,
        model: str,
        engines: Sequence[EngineFacts],
        context_length: int,
        settings: AdmissionSettings,
        metrics: Metrics,
        clock: Moments = time,
    ) -> None:
        self._model = model
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._context_length = context_length
        lengths = AnswerLengths()
        self._outlooks = [Outlook(facts, lengths, settings.order_rules(), clock) for facts in engines]
        self._first_margin, self._end_margin = Margin(clock), Margin(clock)
        self._foreseen: dict[str, Foreseen] = {}
        self._promised: tuple[str, Foreseen] | None = None  # of the request that is about to be submitted

    @property
    def ends_hopeless(self) -> bool:
        """Whether requests end once they cannot meet their deadline."""
        return self._settings.end_hopeless

    # -- what happens

    def submitted(self, engine: int, request: Request) -> None:
        """An engine was handed a request."""
        self._outlooks[engine].submitted(request.id, Tracked.of(request, self._context_length))
        if self._promised is not None and self._promised[0] == request.id:
            self._foreseen[request.id] = self._promised[1]

    def take(self, engine: int, report: StepReport) -> None:
        """A step is over."""
        if self._foreseen:
            for event in report.events:
                if (foreseen := self._foreseen.get(event.request_id)) is not None:
                    self._compare(event, foreseen, report.at_ns)
        self._outlooks[engine].take(report)

    def _compare(self, event: TokenEvent | FinishedEvent | FailedEvent, foreseen: Foreseen, at_ns: int) -> None:
        took_s = (at_ns - foreseen.at_ns) / 1e9
        if isinstance(event, TokenEvent):
            if foreseen.first_s:
                if foreseen.first_limit_s is not None:
                    self._first_margin.took(foreseen.first_s, took_s, foreseen.first_limit_s)
                self._metrics.foreseen(self._model, "first_token", took_s / foreseen.first_s)
                self._foreseen[event.request_id] = replace(foreseen, first_s=0.0)
            return
        del self._foreseen[event.request_id]
        if isinstance(event, FailedEvent):
            if not isinstance(event.error, DeadlineExceeded) or foreseen.limit_s is None:
                return
            took_s = max(took_s, 1.02 * foreseen.limit_s)  # at least, and so it was late
        elif event.reason is FinishReason.CANCELLED:
            return
        if foreseen.limit_s is not None:
            self._end_margin.took(foreseen.end_s, took_s, foreseen.limit_s)
        self._metrics.foreseen(self._model, "end", took_s / foreseen.end_s)

    # -- what is asked

    def admit(self, engine: int, request: Request, num_sequences: int, *, inner: bool) -> None:
        """Find out whether the sequences of a call would be in time.

        Args:
            engine: that they would go to. request: of the first; the others have the same prompt.
            inner: it is a part of a call that was let in before, whose first token is not this one's.

        Raises:
            WouldBeLate: the first token, or the end of all of them, would be late, or would make others late.
            DeadlineExceeded: the same of a part of a call that was let in before.
            QueueFull: too many tokens of prompts wait.
        """
        now_ns = self._clock.monotonic_ns()
        outlook, tracked = self._outlooks[engine], Tracked.of(request, self._context_length)
        outlook.asked(tracked, now_ns)
        self._promised = None
        first_by_ns = None if inner else request.first_token_by_ns
        bound = request.deadline_ns is not None or first_by_ns is not None
        foreseen = self._foresee(outlook, _sequences(tracked, num_sequences), request, now_ns) if bound else None
        try:
            self._judge(outlook, tracked, foreseen, request, first_by_ns)
        except WouldBeLate as error:
            if inner:  # of its call something was begun
                raise too_late() from error
            raise
        if foreseen is not None:
            self._promised = request.id, replace(foreseen, promised=())

    def check_begin(self, context: CallContext) -> None:
        """Refuse a call before anything is done for it, if even its first token would be late, however short its prompt
        is.

        Raises:
            WouldBeLate: it would be.
        """
        limits = ((context.first_token_by_ns, FIRST_TOKEN), (context.deadline_ns, END))
        known = [(by_ns, what) for by_ns, what in limits if by_ns is not None]
        if not known or not self._settings.predict:
            return
        if any(outlook.is_idle or not outlook.pace.is_sure for outlook in self._outlooks):
            return
        now_ns = self._clock.monotonic_ns()
        line = context.priority, context.tenant
        soonest = [(outlook.soonest_s(now_ns, *line), outlook) for outlook in self._outlooks]
        soonest_s, outlook = min(soonest, key=itemgetter(0))
        margin = max(min(self._first_margin.value, self._end_margin.value), 0.0)
        waited_s = (now_ns - context.arrival_ns) / 1e9
        by_ns, what = min(known)
        try:
            self._check(what, soonest_s, (by_ns - now_ns) / 1e9, margin, waited_s)
        except WouldBeLate:
            outlook.came(now_ns)
            raise

    def estimate(self, engine: int, request: Request, num_sequences: int) -> Estimate:
        """What would become of a call's sequences if they came now."""
        now_ns = self._clock.monotonic_ns()
        outlook, tracked = self._outlooks[engine], Tracked.of(request, self._context_length)
        foreseen = self._foresee(outlook, _sequences(tracked, num_sequences), request, now_ns)
        refusal: Overloaded | None = None
        try:
            self._judge(outlook, tracked, foreseen, request, request.first_token_by_ns)
        except Overloaded as error:
            refusal = error
        return Estimate(
            known=foreseen is not None,
            first_token_s=foreseen.first_s if foreseen is not None else 0.0,
            end_s=foreseen.end_s if foreseen is not None else 0.0,
            admitted=refusal is None,
            refusal=str(refusal or ""),
            retry_after_s=refusal.retry_after_s if refusal is not None else 0.0,
            requests_ahead=outlook.num_ahead,
            tokens_ahead=outlook.waiting_tokens,
        )

    def _foresee(
        self, outlook: Outlook, sequences: Sequence[Tracked], request: Request, now_ns: int
    ) -> Foreseen | None:
        """What would become of them; None: nothing is known yet, or nobody is to know."""
        if not self._settings.predict or not outlook.pace.is_sure:
            return None
        first_s, end_s, promised = outlook.foresee(sequences, now_ns)
        limit_s = None if request.deadline_ns is None else (request.deadline_ns - now_ns) / 1e9
        by_ns = request.first_token_by_ns
        first_limit_s = None if by_ns is None else (by_ns - now_ns) / 1e9
        return Foreseen(now_ns, first_s, end_s, limit_s, first_limit_s, tuple(promised))

    def _judge(
        self,
        outlook: Outlook,
        tracked: Tracked,
        foreseen: Foreseen | None,
        request: Request,
        first_by_ns: int | None,
    ) -> None:
        """Raises WouldBeLate or QueueFull."""
        self._check_tokens(outlook, tracked)
        if foreseen is None:
            return
        first_margin, end_margin = self._first_margin.value, self._end_margin.value
        if outlook.is_idle:
            # Nobody is spared anything by refusing it, and only who is let in shows that the pace has changed.
            trust = 1 / (OUTDATED + outlook.idle_s(foreseen.at_ns))
            first_margin = end_margin = 0.0
            foreseen = replace(foreseen, first_s=trust * foreseen.first_s, end_s=trust * foreseen.end_s)
        waited_s = (foreseen.at_ns - request.arrival_ns) / 1e9
        for what, seconds, by_ns, margin in (
            (FIRST_TOKEN, foreseen.first_s, first_by_ns, first_margin),
            (END, foreseen.end_s, request.deadline_ns, end_margin),
        ):
            if by_ns is not None:
                self._check(what, seconds, (by_ns - foreseen.at_ns) / 1e9, margin, waited_s)
        if request.deadline_ns is None and first_by_ns is None:
            return  # it asks for nothing, and is never refused so
        for without_s, with_s, deadline_ns in foreseen.promised:
            left_s = (deadline_ns - foreseen.at_ns) / 1e9
            if without_s + end_margin * max(left_s, 0.0) <= left_s:  # nobody who was let in may become late by this one
                self._check(PROMISED, with_s, left_s, end_margin, waited_s)

    def _check(self, what: str, foreseen_s: float, left_s: float, margin: float, waited_s: float) -> None:
        comes_s = foreseen_s + margin * max(left_s, 0.0)
        if comes_s > left_s:
            raise WouldBeLate(self._model, what, comes_s + waited_s, left_s + waited_s, sane_retry_s(comes_s - left_s))

    def _check_tokens(self, outlook: Outlook, tracked: Tracked) -> None:
        limit = self._settings.max_queue_tokens
        if limit is None or not (waiting := outlook.waiting_tokens) or waiting + tracked.prompt <= limit:
            return
        pace = outlook.pace
        retry_after_s = sane_retry_s((waiting + tracked.prompt - limit) * pace.prompt_token)
        raise QueueFull(self._model, limit, retry_after_s, "tokens of prompts")


def _sequences(first: Tracked, number: int) -> list[Tracked]:
    """Those of a call: all but the first find its prompt in the cache."""
    others = replace(first, done=max(first.prompt - MIN_CHUNK, 0), fed=first.fed)
    return [first, *([] if first.rows > 1 else [others] * (number - 1))]
