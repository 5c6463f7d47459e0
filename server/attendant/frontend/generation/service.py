"""Generation as a service: one call's life from prompt to last token. What rpc and other skins talk to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from dataclasses import replace

from attendant.core.chat import ChatPrompt
from attendant.core.context import CallContext
from attendant.core.errors import AttendantError
from attendant.core.estimate import Estimate
from attendant.core.generation import Finish, GenerationCall, GenerationPart, TextPrompt
from attendant.core.request import FinishReason, Request, Timings, Usage
from attendant.core.salts import salt_of
from attendant.core.stages import Stage
from attendant.frontend.generation.call_stream import CallStream
from attendant.frontend.generation.detokenizer import Detokenizer
from attendant.frontend.generation.entry import Entry, decide, shape
from attendant.frontend.generation.given_templates import GivenTemplates
from attendant.frontend.generation.grammars import Grammars
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.generation.on_model import Generates, OnModel
from attendant.frontend.generation.prompts import tokenize
from attendant.frontend.generation.receipts import CallReceipts
from attendant.frontend.generation.stop_strings import StopStrings
from attendant.frontend.generation.streams import SequenceStream
from attendant.frontend.generation.way import Answer, SequenceWay, begin_call, note_params
from attendant.frontend.limits import CallLimits
from attendant.metrics import Metrics
from attendant.models.info import Tokenized
from attendant.models.lookup import GENERATE, TRANSLATE, Wanted
from attendant.models.table import Finder
from attendant.settings import ChatSettings, GrammarSettings

BETWEEN_OTHERS = 64
"""Tokens that become text, some 20 us each, before others on the event loop have their turn."""


class GenerationService:
    """Generation by all models of a server, which calls find in the table. ``given``: renders callers' templates; None:
    they are refused."""

    def __init__(
        self,
        models: Finder[Generates],
        metrics: Metrics,
        grammars: Grammars | None = None,
        given: GivenTemplates | None = None,
        limits: CallLimits | None = None,
    ) -> None:
        self._models = models
        self._given = given or GivenTemplates(ChatSettings())
        self._metrics = metrics
        self._limits = limits or CallLimits()
        self._grammars = grammars or Grammars(GrammarSettings(), metrics.grammars)
        self._ids = itertools.count()

    def generate(
        self, call: GenerationCall, context: CallContext | None = None
    ) -> AsyncGenerator[GenerationPart, None]:
        """Generate from one prompt.

        Yields deltas of the call's sequences as they come, and one finish for each. Closing the iterator, or
        cancelling the task that iterates, ends the work before the model's next step.

        Args:
            context: of the call; None for one that comes now from nobody in particular.

        Raises:
            AttendantError: refused at the door, or failed later; nothing follows.
        """
        return self._parts(InnerCall(call), context or CallContext.new(), None)

    def on(self, model: Generates) -> OnModel:
        """What runs the parts of a call that found ``model``, on that model, whatever its name means by then."""
        return OnModel(self._parts, model)

    async def _parts(
        self, asked: InnerCall, context: CallContext, model: Generates | None
    ) -> AsyncGenerator[GenerationPart, None]:
        """``model``: of a call that was let in before; None: it is to be found."""
        call, name, inner = asked.call, "", model is not None
        with begin_call(context, call, inner=inner) as stage:
            try:
                served = model or self._models.find(call.model, wanted_of(call))
                name, hub = served.name, _hub(served)
                if context.tally is not None:
                    context.tally.runs_on(name, served.maker.version)
                self._limits.check_generation(call, hub.model.max_requests)
                with hub.gate.coming(inner=inner):
                    if not inner:
                        hub.forecast.check_begin(context)
                    shaped = await shape(asked, hub, self._grammars, self._given, stage, inner=inner)
                    with stage.begin("admission"):
                        entry = decide(asked, shaped, hub, self._limits, inner=inner)
                        active = _ActiveCall(hub, entry, self._owned(context, stage), self._ids, inner=inner)
                        hub.admit(active.first_request(), entry.call.n, inner=inner and asked.begun)
                        hub.tenants.take(context, entry.call.n)
                note_params(stage, name, entry.params)
            except AttendantError as error:
                self._metrics.refused(name, error)
                raise
            receipts = CallReceipts(served.maker, entry) if entry.call.receipt else None
            answer = Answer(stage, context.arrival_ns, None if inner else context.tally)
            if context.abort is not None:
                context.abort.when_asked(active.abort)
            try:
                await active.begin()
                while not active.finished:
                    part = await active.next_part()
                    answer.take(part)
                    yield part if receipts is None else receipts.complete(part)
            finally:
                active.close()
                answer.end()

    async def estimate(self, call: GenerationCall, context: CallContext | None = None) -> Estimate:
        """What would become of a call if it came now: nothing is begun. Raises AttendantError: refused whatever there
        is to do."""
        asked, context = InnerCall(call), context or CallContext.new()
        hub = _hub(self._models.find(call.model, wanted_of(call)))
        hub.gate.check_open()
        self._limits.check_generation(call, hub.model.max_requests)
        shaped = await shape(asked, hub, self._grammars, self._given, context.stage, inner=False)
        entry = decide(asked, shaped, hub, self._limits, inner=False)
        request = _ActiveCall(hub, entry, self._owned(context, context.stage), self._ids).first_request()
        return hub.estimate(request, entry.call.n)

    def _owned(self, context: CallContext, stage: Stage) -> CallContext:
        return replace(context.within(stage), cache_salt=salt_of(context, by_tenant=self._limits.by_tenant))

    async def tokenize(self, model: str, prompt: TextPrompt | ChatPrompt, *, as_prompt: bool = False) -> Tokenized:
        """Token ids of a text or a conversation. ``as_prompt``: a call on the model is to follow, so that one which is
        far too long is refused unread. Raises ModelNotFound, InvalidRequest."""
        found = _hub(self._models.find(model, GENERATE)).model
        return await tokenize(found, prompt, self._given, as_prompt=as_prompt)


class _ActiveCall:
    """A call that holds its places: submits its sequences and sees to it that every one of them ends.

    Sequences after the first are submitted when the first has its first token: by then the prompt is in the KV cache
    and they take it from there instead of computing it again.
    """

    def __init__(
        self, hub: ModelHub, entry: Entry, context: CallContext, ids: itertools.count[int], *, inner: bool = False
    ) -> None:
        self._inner = inner
        self._hub = hub
        self._entry = entry
        self._context = context
        self._requests = [f"{context.request_id}#{next(ids)}" for _ in range(entry.call.n)]
        self._num_submitted = 0
        self._num_finished = 0
        self._aborted = False
        self._stream = CallStream()
        resume = entry.call.resume
        self._first = resume.index if resume is not None else 0  # of its sequences, as the caller counts them

    @property
    def finished(self) -> bool:
        """Whether every sequence has finished."""
        return self._num_finished == len(self._requests)

    async def next_part(self) -> GenerationPart:
        """The next part. Raises AttendantError."""
        part = await self._stream.get()
        while self._num_submitted < len(self._requests) and not self._aborted:
            self.submit_next()
        if not isinstance(part, Finish):
            return part
        self._num_finished += 1
        return replace(part, timings=replace(part.timings, tokenize_ns=self._entry.prepared.tokenize_ns))

    async def begin(self) -> None:
        """Submit the call's first sequence. Raises EngineDead."""
        if self._entry.call.resume is None:
            self.submit_next()
        else:
            await self._resume(self._entry.call.resume.token_ids)

    async def _resume(self, received: tuple[int, ...]) -> None:
        """The same of an answer that goes on, whose tokens become text again first, which nobody gets."""
        request = self._request(0)
        sequence = self._sequence(0, request)
        for place, token in enumerate(received, 1):
            sequence.pass_over(token)
            if not place % BETWEEN_OTHERS:
                await asyncio.sleep(0)
        if self._aborted:
            return
        self._hub.submit([sequence])
        self._num_submitted = 1
        if sequence.ended_here:
            self._hub.cancel(request.id)

    def abort(self) -> None:
        """End every sequence with what it has; one that was not submitted ends without a token."""
        self._aborted = True
        for request_id in self._requests[: self._num_submitted]:
            self._hub.cancel(request_id)
        resume = self._entry.call.resume
        usage = Usage(len(self._entry.prepared.prompt), 0, len(resume.token_ids) if resume is not None else 0)
        for index in range(self._num_submitted, len(self._requests)):
            self._stream.put(Finish(self._first + index, FinishReason.CANCELLED, usage, Timings()))

    def close(self) -> None:
        """End whatever is not finished, and give back the places of what was never submitted."""
        for request_id in self._requests[: self._num_submitted]:
            self._hub.cancel(request_id)
        self._hub.gate.give_back(len(self._requests) - self._num_submitted)

    def submit_next(self) -> None:
        """Submit the call's next sequence, or with beam search all of them at once. Raises EngineDead."""
        if self._aborted:
            return
        if self._entry.beams is not None:
            requests = [self._request(index) for index in range(len(self._requests))]
            self._hub.submit([self._sequence(index, request) for index, request in enumerate(requests)])
            self._num_submitted = len(requests)
            return
        index = self._num_submitted
        self._hub.submit([self._sequence(index, self._request(index))])
        self._num_submitted += 1

    def first_request(self) -> Request:
        """What the engine will get of the first sequence, or of the search."""
        return self._request(0)

    def _request(self, index: int) -> Request:
        ends = self._hub.forecast.ends_hopeless
        return self._entry.request(self._requests, index, self._context, ends_hopeless=ends)

    def _sequence(self, index: int, request: Request) -> SequenceStream:
        hub, text, keeps_special = self._hub, self._hub.model.text, self._entry.call.keep_special_tokens
        return SequenceStream(
            self._stream,
            self._first + index,
            request,
            Detokenizer(text, request.prompt, keep_special_tokens=keeps_special),
            StopStrings(self._entry.stop),
            stop=lambda: hub.cancel(request.id),
            hidden={} if keeps_special else text.special_tokens,
            whole=self._entry.call.whole,
            way=SequenceWay.of(self._context.stage, index if len(self._requests) > 1 else None),
            spell=lambda token_id: text.decode((token_id,), skip_special_tokens=False, whole=False),
            spell_bytes=text.bytes_of if keeps_special else text.shown_bytes_of,
            apart=self._entry.apart,
            tally=self._context.tally,
            inner=self._inner,
        )


def _hub(served: Generates) -> ModelHub:
    assert served.generation is not None, "the lookup has looked"
    return served.generation


def wanted_of(call: GenerationCall) -> Wanted:
    """What a call needs of its model."""
    return GENERATE if call.translation is None else TRANSLATE
