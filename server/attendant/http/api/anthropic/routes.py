"""Where Anthropic's API is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.errors import AttendantError
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import Events, error_answer, in_events, in_one
from attendant.http.api.anthropic.answers import Asked, events, message
from attendant.http.api.anthropic.bodies import CountTokensBody, MessagesBody
from attendant.http.api.anthropic.calls import generation_call, prompt_and_choice, thinking_is_shown
from attendant.http.api.anthropic.errors import ANTHROPIC, dialect_of
from attendant.http.api.bodies import read_call
from attendant.http.calls import of_this_call


def anthropic_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """The routes. ``models``: as :func:`attendant.http.api.routes.api_routes` takes it."""

    async def answer(request: Request) -> Response:
        body, call = await read_call(request, MessagesBody, generation_call)
        front_end, context = models(), of_this_call()
        dialect = dialect_of(body)
        asked = Asked(f"msg_{context.request_id}", body.model, body.max_tokens, thinking_is_shown(body))

        async def streamed() -> Events:
            return events(front_end.generation.generate(call, context), asked)

        if body.stream:
            return await in_events(request, dialect, streamed)
        return await in_one(request, dialect, lambda: message(front_end.generation.generate(call, context), asked))

    async def count(request: Request) -> Response:
        body, (prompt, choice) = await read_call(request, CountTokensBody, prompt_and_choice)
        front_end = models()

        async def counted() -> dict[str, int]:
            return {"input_tokens": len((await front_end.tokenizer.tokenize(body.model, prompt, choice)).token_ids)}

        return await in_one(request, dialect_of(body), counted)

    return [
        Route("/v1/messages", _told(answer), methods=["POST"]),
        Route("/v1/messages/count_tokens", _told(count), methods=["POST"]),
    ]


def _told(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint whose errors before its work are told as those of its work, of fields as the body names them; its
    answer has the call's id where Anthropic's clients look for it."""

    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except AttendantError as error:
            response = error_answer(ANTHROPIC.of_requests(), error)
        response.headers["request-id"] = of_this_call().request_id
        return response

    return answer
