"""Pipelines: models one after another, what one says in the next one's prompt. The last one's answer is the call's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from attendant.bundle import EncoderTask
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import Delta, Finish, GenerationCall, GenerationPart
from attendant.core.request import StepTime, Timings
from attendant.frontend.encoding.calls import (
    ClassifyCall,
    EmbedCall,
    Encoded,
    TextItem,
    TranscribeCall,
    added_up,
)
from attendant.frontend.routes.chain import Chain, check_call, text_of
from attendant.frontend.routes.encoding import BEHAVIOURS, RoutedEncoding
from attendant.frontend.routes.generation import RoutedGeneration
from attendant.frontend.routes.graph import Route
from attendant.frontend.routes.routing import Routes
from attendant.frontend.routes.speech import RoutedSpeech, Sound
from attendant.frontend.speech.calls import Partial, SpeechCall, SpeechPart, SpeechResult
from attendant.tasks.ctc import Transcript

MAX_AT_ONCE = 8
"""Inputs of one call that are on their way through a pipeline at once."""


class Pipelines:
    """Runs calls on pipelines, each step on what it leads to. Whoever goes away ends the step that runs."""

    def __init__(
        self, routes: Routes, generation: RoutedGeneration, encoding: RoutedEncoding, speech: RoutedSpeech
    ) -> None:
        self._routes = routes
        self._generation = generation
        self._encoding = encoding
        self._speech = speech

    async def generate(
        self, route: Route, call: GenerationCall, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[GenerationPart, None]:
        """Text in, text out: the parts of the last step's answer as they come."""
        check_call(route, call)
        async with self._routes.gate.call(inner=inner):
            chain = Chain(self._routes, route, context, text_of(call.prompt))
            last = len(chain.steps) - 1
            prompt = chain.first_prompt(call.prompt)
            if last:
                await self._first(chain, prompt)
                await self._middle(chain, range(1, last))
            answer = chain.last(call, chain.text_prompt(last) if last else prompt)
            ends: list[Finish] = []
            with chain.step(last) as own:
                async with aclosing(self._generation.lead(chain.target(last), answer, own, inner=True)) as parts:
                    async for part in parts:
                        if isinstance(part, Delta):
                            yield part
                        else:  # kept until the step is over, whose time they tell
                            ends.append(part)
            for end in ends:
                yield replace(end, timings=_whole(end.timings, context, own, chain.times))

    async def hear(
        self, route: Route, call: SpeechCall, sound: Sound, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[SpeechPart, None]:
        """Sound in, text out: the last step's text as it comes, which may change, and one result."""
        if call.timestamps:
            raise InvalidRequest("timestamps", f"is true; allowed with {route.name!r}, whose text nobody spoke: false")
        async with self._routes.gate.call(inner=inner):
            chain = Chain(self._routes, route, context)
            language = call.language or chain.steps[0].language
            asked = replace(call, language=language, receipt=False)
            heard = await self._heard(chain, asked, sound)
            usage, timings, text, last = heard.usage, heard.timings, heard.text, len(chain.steps) - 1
            if last and text.strip():
                await self._middle(chain, range(1, last))
                text = ""
                answer = replace(chain.generation(last, chain.text_prompt(last)), whole=False)
                with chain.step(last) as own:
                    async with aclosing(self._generation.lead(chain.target(last), answer, own, inner=True)) as parts:
                        async for part in parts:
                            if isinstance(part, Finish):
                                usage, timings = part.usage, _whole(part.timings, context, own, ())
                            elif part.text:
                                text += part.text
                                yield Partial(text)
            total_ns = time.monotonic_ns() - context.arrival_ns
            yield replace(
                heard,
                text=text.strip() if last else text,
                segments=() if last else heard.segments,
                usage=usage,
                timings=replace(timings, total_ns=total_ns, steps=chain.times),
            )

    async def encode(
        self, route: Route, task: EncoderTask, call: Any, context: CallContext, *, inner: bool
    ) -> Encoded[Any]:
        """Calls with several inputs, each of which goes through the steps: text in, labels or vectors out, or sound in,
        text out."""
        run: Callable[[Any], Awaitable[Encoded[Any]]]
        if isinstance(call, TranscribeCall):
            inputs: Sequence[Any] = call.inputs

            def run(each: Any) -> Awaitable[Encoded[Any]]:
                return self._written(route, replace(call, inputs=(each,), receipt=False), context)
        else:
            assert isinstance(call, ClassifyCall | EmbedCall), "pipelines answer no other calls"
            inputs = [_text_of(item, index, route) for index, item in enumerate(call.inputs)]

            def run(each: Any) -> Awaitable[Encoded[Any]]:
                return self._read(route, task, each, replace(call, receipt=False), context)

        if not inputs:
            raise InvalidRequest("inputs", "is empty; allowed: at least one")
        async with self._routes.gate.call(inner=inner):
            return _joined(await _side_by_side(run, inputs), context)

    async def _heard(self, chain: Chain, call: SpeechCall, sound: Sound) -> SpeechResult:
        result: SpeechResult | None = None
        with chain.step(0) as own:
            async with aclosing(self._speech.lead(chain.target(0), call, sound, own, inner=True)) as parts:
                async for part in parts:
                    result = part if isinstance(part, SpeechResult) else result
        assert result is not None, "a result is the last part"
        chain.begin_with(result.text.strip())
        chain.said(0, result.text.strip())
        return result

    async def _first(self, chain: Chain, prompt: Any) -> None:
        """The first of several steps of a pipeline that takes text."""
        step = chain.steps[0]
        if step.do == "classify":
            await self._label(chain, 0)
        else:
            await self._text(chain, 0, chain.generation(0, prompt))

    async def _middle(self, chain: Chain, indices: range) -> None:
        for index in indices:
            if chain.steps[index].do == "classify":
                await self._label(chain, index)
            else:
                await self._text(chain, index, chain.generation(index, chain.text_prompt(index)))

    async def _text(self, chain: Chain, index: int, call: GenerationCall) -> None:
        said: list[str] = []
        with chain.step(index) as own:
            async with aclosing(self._generation.lead(chain.target(index), call, own, inner=True)) as parts:
                async for part in parts:
                    if isinstance(part, Delta):
                        said.append(part.text)
        chain.said(index, "".join(said).strip())

    async def _label(self, chain: Chain, index: int) -> None:
        call = ClassifyCall("", (TextItem(chain.prompt(index)),), top_k=1)
        found = await self._encoded(chain, index, "classify", call)
        chain.said(index, found.results[0][0].label)

    async def _encoded(self, chain: Chain, index: int, task: EncoderTask, call: Any) -> Encoded[Any]:
        with chain.step(index) as own:
            return await self._encoding.lead(chain.target(index), task, BEHAVIOURS[task], call, own, inner=True)

    async def _read(self, route: Route, task: EncoderTask, text: str, call: Any, context: CallContext) -> Encoded[Any]:
        """One text through all steps, of which the last one reads it."""
        chain = Chain(self._routes, route, context, text)
        last = len(chain.steps) - 1
        if last:
            await self._middle(chain, range(last))
        item = TextItem(chain.prompt(last))
        found = await self._encoded(chain, last, task, replace(call, inputs=(item,)))
        return replace(found, usage=replace(found.usage, steps=chain.times))

    async def _written(self, route: Route, call: TranscribeCall, context: CallContext) -> Encoded[Transcript]:
        """One recording through all steps, of which the first one writes what it hears."""
        chain = Chain(self._routes, route, context)
        found = await self._encoded(chain, 0, "transcribe", call)
        transcript: Transcript = found.results[0]
        chain.begin_with(transcript.text)
        chain.said(0, transcript.text)
        if len(chain.steps) > 1:
            if transcript.text.strip():
                await self._middle(chain, range(1, len(chain.steps)))
            transcript = Transcript(chain.text, (), transcript.warnings)
        return Encoded([transcript], replace(found.usage, steps=chain.times))


async def _side_by_side(run: Callable[[Any], Awaitable[Encoded[Any]]], inputs: Sequence[Any]) -> list[Encoded[Any]]:
    places = asyncio.Semaphore(MAX_AT_ONCE)

    async def one(each: Any) -> Encoded[Any]:
        async with places:
            return await run(each)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(each)) for each in inputs]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _joined(answers: Sequence[Encoded[Any]], context: CallContext) -> Encoded[Any]:
    usages = [each.usage for each in answers]
    usage = added_up(usages, time.monotonic_ns() - context.arrival_ns, _added([each.steps for each in usages]))
    return Encoded([result for each in answers for result in each.results], usage)


def _added(steps: Sequence[Sequence[StepTime]]) -> tuple[StepTime, ...]:
    """The times of several inputs, step by step: from when the first began, and all of them together."""
    longest = max(steps, key=len)
    found = []
    for index, step in enumerate(longest):
        same = [each[index] for each in steps if index < len(each)]
        began_ns, took_ns = min(each.began_ns for each in same), sum(each.took_ns for each in same)
        found.append(replace(step, began_ns=began_ns, took_ns=took_ns))
    return tuple(found)


def _whole(timings: Timings, context: CallContext, step: CallContext, steps: tuple[StepTime, ...]) -> Timings:
    """The timings of the last step's answer, counted from the arrival of the whole call."""
    before_ns = step.arrival_ns - context.arrival_ns
    return replace(
        timings,
        queue_ns=timings.queue_ns + before_ns,
        first_token_ns=timings.first_token_ns + before_ns if timings.first_token_ns else 0,
        total_ns=timings.total_ns + before_ns,
        steps=steps,
    )


def _text_of(item: TextItem, index: int, route: Route) -> str:
    if item.token_ids is not None or item.pair:
        field = f"inputs[{index}].{'pair' if item.pair else 'token_ids'}"
        raise InvalidRequest(field, f"cannot go through the pipeline {route.name!r}; allowed: text")
    return item.text
