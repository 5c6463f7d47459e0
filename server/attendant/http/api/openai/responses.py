"""The route /v1/responses. Nothing is stored: who goes on with a conversation sends all of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.generation import GenerationCall
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import Events, in_events, in_one
from attendant.http.api.bodies import read_call
from attendant.http.api.openai.errors import OPENAI
from attendant.http.api.openai.responses_answer import ResponseAnswer
from attendant.http.api.openai.responses_body import FIELDS, ResponsesBody, response_call
from attendant.http.api.openai.sampling import context_of
from attendant.http.api.openai.structured import grammar_fields


def response_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """Responses, whole or as events."""

    async def responses(request: Request) -> Response:
        body, call = await read_call(request, ResponsesBody, response_call)

        async def whole() -> dict[str, Any]:
            async with aclosing(models().generation.generate(call, context_of(body))) as parts:
                return await ResponseAnswer(body).whole(parts)

        async def events() -> Events:
            return _events(models(), body, call)

        fields = {**FIELDS, **grammar_fields(body, "text.format", "text.format.schema")}
        dialect = replace(OPENAI, fields=fields)
        return await (in_events(request, dialect, events) if body.stream else in_one(request, dialect, whole))

    return [Route("/v1/responses", responses, methods=["POST"])]


async def _events(front_end: FrontEnd, body: ResponsesBody, call: GenerationCall) -> Events:
    async with aclosing(front_end.generation.generate(call, context_of(body))) as parts:
        async for event in ResponseAnswer(body).events(parts):
            yield event
