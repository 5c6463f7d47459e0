"""The route /v1/completions: prompts that are continued, several of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, GenerationPart, TextPrompt, TokenPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import Events, in_events, in_one
from attendant.http.api.bodies import read_call
from attendant.http.api.dialect import Dialect
from attendant.http.api.openai.completion_answer import CompletionAnswer
from attendant.http.api.openai.completion_body import FIELDS, CompletionBody, completion_calls
from attendant.http.api.openai.errors import OPENAI
from attendant.http.api.openai.sampling import context_of
from attendant.http.api.openai.structured import grammar_fields

MOST_AT_ONCE = 16
"""Prompts of one call that run together where the model does not say how many sequences do."""

Numbered = tuple[int, GenerationPart]


def completion_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """Answers to prompts, whole or in chunks."""

    async def completions(request: Request) -> Response:
        body, calls = await read_call(request, CompletionBody, completion_calls)

        async def whole() -> dict[str, Any]:
            front_end = models()
            prepared, answer = await _prepared(front_end, body, calls)
            async with aclosing(_parts(front_end, prepared, context_of(body))) as parts:
                return await answer.whole(parts)

        async def events() -> Events:
            front_end = models()
            prepared, answer = await _prepared(front_end, body, calls)
            return _events(answer, _parts(front_end, prepared, context_of(body)))

        dialect = completion_dialect(body)
        return await (in_events(request, dialect, events) if body.stream else in_one(request, dialect, whole))

    return [Route("/v1/completions", completions, methods=["POST"])]


def completion_dialect(body: CompletionBody) -> Dialect:
    """OpenAI's, with the names that the fields of this call have."""
    n = "n" if body.best_of is None else "best_of"
    grammars = grammar_fields(body, "response_format", "response_format.json_schema.schema")
    return replace(OPENAI, fields={**FIELDS, "n": n, **grammars})


async def _prepared(
    front_end: FrontEnd, body: CompletionBody, calls: Sequence[GenerationCall]
) -> tuple[Sequence[GenerationCall], CompletionAnswer]:
    """The calls with prompts that are cut, if they are to be, and what their answers tell of the prompts."""
    sent = calls
    if body.truncate_prompt_tokens is not None or body.return_token_ids:
        calls = [replace(call, prompt=await _token_prompt(front_end, body, call)) for call in calls]
    repeated = sent if body.truncate_prompt_tokens is None else calls  # a text of tokens may be another
    echoes = [await _echo(front_end, call) for call in repeated] if body.echo else ()
    ids = [call.prompt.token_ids for call in calls if isinstance(call.prompt, TokenPrompt)]
    return calls, CompletionAnswer(body, echoes, ids)


async def _token_prompt(front_end: FrontEnd, body: CompletionBody, call: GenerationCall) -> TokenPrompt:
    prompt = call.prompt
    if isinstance(prompt, TextPrompt):
        prompt = TokenPrompt((await front_end.tokenizer.tokenize(body.model, prompt)).token_ids)
    assert isinstance(prompt, TokenPrompt), "a completion has no other"
    most = body.truncate_prompt_tokens
    if most is None:
        return prompt
    if most < 1:
        raise InvalidRequest("truncate_prompt_tokens", f"is {most}; allowed: at least 1")
    ids = prompt.token_ids
    return TokenPrompt(ids[:most] if body.truncation_side == "right" else ids[-most:])


async def _echo(front_end: FrontEnd, call: GenerationCall) -> str:
    if isinstance(call.prompt, TextPrompt):
        return call.prompt.text
    assert isinstance(call.prompt, TokenPrompt), "a completion has no other"
    return await front_end.tokenizer.detokenize(call.model, call.prompt.token_ids)


async def _events(answer: CompletionAnswer, parts: AsyncGenerator[Numbered, None]) -> Events:
    async with aclosing(parts):
        async for event in answer.events(parts):
            yield event


async def _parts(
    front_end: FrontEnd, calls: Sequence[GenerationCall], context: CallContext
) -> AsyncGenerator[Numbered, None]:
    """The parts of all answers as they come. As many prompts run as the model has sequences that do; the others follow,
    so that a call of many prompts does not fill the queue."""
    if len(calls) == 1:
        async with aclosing(front_end.generation.generate(calls[0], context)) as parts:
            async for part in parts:
                yield 0, part
        return
    ready: asyncio.Queue[Numbered | None] = asyncio.Queue(1)  # a slow reader makes the calls wait
    places = asyncio.Semaphore(_most_at_once(front_end, calls[0]))

    async def run(number: int, call: GenerationCall) -> None:
        async with places, aclosing(front_end.generation.generate(call, context.renewed())) as parts:
            async for part in parts:
                await ready.put((number, part))

    async def run_all() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number, call in enumerate(calls):
                    group.create_task(run(number, call))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        await ready.put(None)

    running = asyncio.create_task(run_all())
    try:
        while (found := await _next(ready, running)) is not None:
            yield found
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def _next(ready: asyncio.Queue[Numbered | None], running: asyncio.Task[None]) -> Numbered | None:
    """The next part; None at the end. Raises what ``running`` has ended with."""
    coming = asyncio.ensure_future(ready.get())
    try:
        await asyncio.wait((coming, running), return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            running.result()
        return await coming
    finally:
        coming.cancel()


def _most_at_once(front_end: FrontEnd, call: GenerationCall) -> int:
    info = front_end.served_model(call.model)
    return max(1, info.generation.max_running // max(1, call.n)) if info.generation is not None else MOST_AT_ONCE
