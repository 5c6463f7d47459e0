"""The route /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.chat import ChatPrompt
from attendant.core.generation import GenerationCall
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import Events, in_events, in_one
from attendant.http.api.bodies import read_call
from attendant.http.api.dialect import Dialect
from attendant.http.api.openai.chat_answer import ChatAnswer
from attendant.http.api.openai.chat_body import FIELDS, ChatBody, chat_call, is_named
from attendant.http.api.openai.errors import OPENAI
from attendant.http.api.openai.sampling import context_of
from attendant.http.api.openai.structured import grammar_fields


def chat_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """Answers to conversations, whole or in chunks."""

    async def chat_completions(request: Request) -> Response:
        body, call = await read_call(request, ChatBody, chat_call)

        async def whole() -> dict[str, Any]:
            front_end = models()
            answer = await _answer(front_end, body, call)
            async with aclosing(front_end.generation.generate(call, context_of(body))) as parts:
                return await answer.whole(parts)

        async def events() -> Events:
            front_end = models()
            return _events(await _answer(front_end, body, call), front_end, body, call)

        dialect = chat_dialect(body)
        return await (in_events(request, dialect, events) if body.stream else in_one(request, dialect, whole))

    return [Route("/v1/chat/completions", chat_completions, methods=["POST"])]


def chat_dialect(body: ChatBody) -> Dialect:
    """OpenAI's, with the names that the fields of this call have."""
    fields = dict(FIELDS)
    if body.max_completion_tokens is not None:
        fields["max_tokens"] = "max_completion_tokens"
    fields |= grammar_fields(body, "response_format", "response_format.json_schema.schema")
    for index, message in enumerate(body.messages):
        for place in range(len(message.tool_calls or ())):
            call = f"messages[{index}].tool_calls[{place}]"
            fields[f"{call}.arguments"] = f"{call}.function.arguments"
        if message.function_call is not None:
            fields[f"messages[{index}].tool_calls[0].arguments"] = f"messages[{index}].function_call.arguments"
    return replace(OPENAI, fields=fields)


async def _events(answer: ChatAnswer, front_end: FrontEnd, body: ChatBody, call: GenerationCall) -> Events:
    async with aclosing(front_end.generation.generate(call, context_of(body))) as parts:
        async for event in answer.events(parts):
            yield event


async def _answer(front_end: FrontEnd, body: ChatBody, call: GenerationCall) -> ChatAnswer:
    prompt, ids, prefix = call.prompt, None, ""
    assert isinstance(prompt, ChatPrompt)
    if body.return_token_ids:
        ids = list((await front_end.tokenizer.tokenize(body.model, prompt, call.tool_choice)).token_ids)
    if body.echo and prompt.messages and prompt.messages[-1].role == "assistant":
        prefix = prompt.messages[-1].text
    return ChatAnswer(body, named=is_named(call), prefix=prefix, prompt_token_ids=ids)
