"""Explaining as a service: what a model looked at, what its answer hung on, how alike it takes words to be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from attendant.core.attention import AttentionSubject, JobResult
from attendant.core.context import CallContext
from attendant.core.errors import AttendantError, DeadlineExceeded, InvalidRequest
from attendant.core.generation import TextPrompt
from attendant.core.request import Timings
from attendant.frontend.encoding.service import DEADLINE_SLACK_NS, EncodingService
from attendant.frontend.explain import attention, attribute, parts, similarity
from attendant.frontend.explain.calls import (
    Attended,
    AttentionCall,
    AttributeCall,
    Attribution,
    ExplainTimings,
    Similarities,
    SimilarityCall,
    Subject,
)
from attendant.frontend.explain.looking import NO_ANSWER, Looking
from attendant.frontend.explain.subjects import Explains, Looked, check_length, given_text, place_of, refuse
from attendant.frontend.generation.service import GenerationService
from attendant.frontend.limits import CallLimits
from attendant.metrics import SUCCESS, Metrics, error_name
from attendant.metrics.explain import ExplainKind
from attendant.models.lookup import ATTENTION, ATTRIBUTE, Wanted
from attendant.models.table import Finder
from attendant.settings import ExplainSettings
from attendant.tasks.job_threads import JobThreads

T = TypeVar("T")


class ExplainService:
    """Explains all models of a server, which calls find in the table.

    Every call takes its context, or None if it comes now from nobody in particular, and raises AttendantError.
    Cancelling the task of a call ends its work before the model's next run for it.

    Args:
        generation, encoding: run what a call is made of.
        media: decode files.
    """

    def __init__(
        self,
        models: Finder[Explains],
        generation: GenerationService,
        encoding: EncodingService,
        metrics: Metrics,
        settings: ExplainSettings,
        media: JobThreads,
        limits: CallLimits | None = None,
    ) -> None:
        self._models = models
        self._generation = generation
        self._encoding = encoding
        self._metrics = metrics.explain
        self._settings = settings
        self._looking = Looking(generation.on, settings, media, limits or CallLimits())

    async def attention(self, call: AttentionCall, context: CallContext | None = None) -> Attended:
        """What each token of a subject looked at."""
        return await self._run("attention", ATTENTION, call.model, partial(self._attention, call), context)

    async def attribute(self, call: AttributeCall, context: CallContext | None = None) -> Attribution:
        """What each part of a text did to the answer."""
        wanted = ATTENTION if call.method == "rollout" else ATTRIBUTE
        return await self._run("attribute", wanted, call.model, partial(self._attribute, call), context)

    async def similarity(self, call: SimilarityCall, context: CallContext | None = None) -> Similarities:
        """Cosines between what words became in their contexts."""
        return await self._run("similarity", ATTENTION, call.model, partial(self._similarity, call), context)

    # -- calls

    async def _attention(self, call: AttentionCall, model: Explains, context: CallContext) -> Attended:
        _, computes = place_of(model)
        shape = attention.shape_of(call, computes, model.name)
        answer = NO_ANSWER if call.kind == "encoder" and call.answer is None else call.answer
        looked = await self._looking.look(model, call.subject, answer, context)
        check_length(len(looked.tokens), computes.max_tokens, self._settings.max_tokens)
        if call.answer_only:  # the last token of the answer has no row
            looked = replace(looked, subject=_without_last(looked.subject), tokens=looked.tokens[:-1])
        asked = attention.asked_for(call, shape, looked, self._settings.max_weights)
        result = await self._looking.compute(model, looked.subject, context, view=asked.view)
        num_rows, num_keys = result.pieces[0].weights.shape[1:] if result.pieces else (0, 0)
        return Attended(
            model=model.name,
            kind=call.kind,
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
            queries=asked.queries[:num_rows],
            keys=asked.keys[:num_keys],
            first_query=asked.view.first_query,
            num_prompt_tokens=looked.num_prompt,
            answer=looked.answer,
            grid=looked.grid,
            frame_s=looked.frame_s,
            source=computes.origin,
            pieces=result.pieces,
            timings=_timings(context, result),
        )

    async def _attribute(self, call: AttributeCall, model: Explains, context: CallContext) -> Attribution:
        refuse(call.subject, model.name, ("text", "token_ids", "chat"))
        looked = await self._looking.look(model, call.subject, call.answer, context)
        check_length(len(looked.tokens), self._settings.max_tokens, self._settings.max_tokens)
        if call.label and model.generation is not None:
            raise InvalidRequest("label", f"is for models that classify; {model.name!r} generates")
        tokens = looked.sources or (looked.tokens[: looked.num_prompt] if looked.causal else looked.tokens)
        found = parts.parts_of(call, given_text(call.subject), tokens, self._settings.max_parts)
        if call.method == "rollout":
            return await self._rollout(call, model, looked, found, context)
        if model.generation is not None:
            tokenizer = model.generation.model.text.tokenizer
            mask = attribute.mask_of(tokenizer, call, model.name)
            done = attribute.occlude_generation(
                self._generation.on(model), model.name, call, looked, found, context, mask
            )
        else:
            encoder = next(e for task, e in model.encoders.items() if task in ("classify", "rerank"))
            mask = attribute.mask_of(encoder.hub.model.tokenizer, call, model.name)
            active = self._encoding.part_of(encoder, context)
            done = attribute.occlude_rows(encoder, active, call, looked, found, mask)
        attribution = await done
        total_ns = time.monotonic_ns() - context.arrival_ns
        return replace(attribution, timings=replace(attribution.timings, total_ns=total_ns))

    async def _rollout(
        self,
        call: AttributeCall,
        model: Explains,
        looked: Looked,
        found: tuple[parts.Part, ...],
        context: CallContext,
    ) -> Attribution:
        if looked.sources:
            raise InvalidRequest("method", f"is ROLLOUT; allowed with {model.name!r}, which reads a source: OCCLUSION")
        if call.mask:
            raise InvalidRequest("mask", "is true; allowed with method ROLLOUT: false")
        if call.label:
            raise InvalidRequest("label", "is given; a rollout is of no label: leave it out")
        rows = AttentionCall(model.name, call.subject, call.answer, reduction="rollout", num_queries=1)
        if looked.causal:
            rows = replace(rows, num_queries=0, answer_only=True)
            looked = replace(looked, subject=_without_last(looked.subject), tokens=looked.tokens[:-1])
        _, computes = place_of(model)
        check_length(len(looked.tokens), computes.max_tokens, self._settings.max_tokens)
        shape = attention.shape_of(rows, computes, model.name)
        asked = attention.asked_for(rows, shape, looked, self._settings.max_weights)
        result = await self._looking.compute(model, looked.subject, context, view=asked.view)
        took = _timings(context, result)
        timings = Timings(queue_ns=took.queue_ns, prefill_ns=took.run_ns, total_ns=took.total_ns)
        return attribute.rolled_out(model.name, result.pieces[0], looked, found, timings)

    async def _similarity(self, call: SimilarityCall, model: Explains, context: CallContext) -> Similarities:
        similarity.check_contexts(call)
        _, computes = place_of(model)
        spans = [similarity.word_span(each, f"contexts[{i}]") for i, each in enumerate(call.contexts)]
        looked = []
        for number, each in enumerate(call.contexts):
            seen = await self._looking.look(
                model, Subject(TextPrompt(each.text)), None, context, field=f"contexts[{number}].text"
            )
            if seen.sources:
                raise InvalidRequest("model", f"is {model.name!r}, which reads a source; allowed: one that does not")
            check_length(len(seen.tokens), computes.max_tokens, self._settings.max_tokens)
            looked.append(seen)
        numbers = [
            similarity.word_tokens(seen.tokens, span, f"contexts[{i}]")
            for i, (seen, span) in enumerate(zip(looked, spans, strict=True))
        ]
        results = await attribute.all_of(
            [partial(self._looking.compute, model, seen.subject, context, keeps_hidden=True) for seen in looked]
        )
        hidden = [r.hidden[list(n)] for r, n in zip(results, numbers, strict=True) if r.hidden is not None]
        words = [tuple([seen.tokens[n] for n in some]) for seen, some in zip(looked, numbers, strict=True)]
        return Similarities(model.name, tuple(words), similarity.compared(hidden), _timings(context, *results))

    async def _run(
        self,
        kind: ExplainKind,
        wanted: Wanted,
        name: str,
        behaviour: Callable[[Explains, CallContext], Awaitable[T]],
        given: CallContext | None,
    ) -> T:
        context, found, outcome = given or CallContext.new(), "", "error"
        tally = context.tally
        if tally is not None:
            tally.asks(name, context.priority)
        try:
            with context.stage.begin(kind, operation=kind, requested_model=name) as stage:
                stage.note(response_id=context.request_id)
                model = self._models.find(name, wanted)
                found = model.name
                stage.note(model=found)
                if tally is not None:
                    tally.runs_on(found, model.maker.version)
                async with model.explained.call():
                    done = await behaviour(model, context.within(stage))
            outcome = SUCCESS
            return done
        except AttendantError as error:
            outcome = error_name(type(error))
            raise
        except asyncio.CancelledError:
            deadline_ns = context.deadline_ns
            late = deadline_ns is not None and time.monotonic_ns() >= deadline_ns - DEADLINE_SLACK_NS
            outcome = error_name(DeadlineExceeded) if late else "cancelled"
            raise
        finally:
            self._metrics.call(found, kind, outcome)


def _without_last(subject: AttentionSubject) -> AttentionSubject:
    return replace(subject, arrays={name: values[:-1] for name, values in subject.arrays.items()})


def _timings(context: CallContext, *results: JobResult) -> ExplainTimings:
    first = min(result.started_ns for result in results)
    run_ns = sum(result.run_ns for result in results)
    return ExplainTimings(max(first - context.arrival_ns, 0), run_ns, time.monotonic_ns() - context.arrival_ns)
