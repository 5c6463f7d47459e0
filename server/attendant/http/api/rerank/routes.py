"""Where reranking, scores and labels are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.errors import InvalidRequest
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import in_one, written
from attendant.http.api.bodies import read_json
from attendant.http.api.rerank import answers, calls, errors
from attendant.http.api.rerank.bodies import ClassifyBody, CohereBody, RerankBody, ScoreBody
from attendant.http.calls import of_this_call

LONG = 100_000
"""Characters of an answer from which on it is written in a thread."""

LEAST = 60
"""Characters of a result without its document."""

T = TypeVar("T")


def rerank_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """/v1/rerank, /v2/rerank, /score and /classify. ``models``: as
    :func:`attendant.http.api.routes.api_routes` takes it."""

    async def rerank(request: Request) -> Response:
        return await answer_rerank(request, models, await read_json(request, RerankBody))

    async def rerank_for_cohere(request: Request) -> Response:
        body = await read_json(request, CohereBody)
        front_end, call, context = models(), calls.cohere_call(body), of_this_call()

        async def work() -> Response:
            encoded = await front_end.encoding.rerank(call, context)
            return await written(
                lambda: answers.cohere_ranks(encoded, body, context.request_id), long=is_long(call.documents)
            )

        return await in_one(request, errors.COHERE, work)

    async def score(request: Request) -> Response:
        body = await read_json(request, ScoreBody)
        front_end, asked, context = models(), calls.score_calls(body), of_this_call()

        async def work() -> dict[str, Any]:
            found = await _side_by_side([front_end.encoding.rerank(call, context) for call in asked])
            return answers.scores(found, body.model, context.request_id)

        return await in_one(request, errors.SCORE, work)

    async def classify(request: Request) -> Response:
        body = await read_json(request, ClassifyBody)
        front_end, call, context = models(), calls.classify_call(body), of_this_call()

        async def work() -> dict[str, Any]:
            return answers.labels(await front_end.encoding.classify(call, context), body.model, context.request_id)

        return await in_one(request, errors.CLASSIFY, work)

    return [
        Route("/v1/rerank", rerank, methods=["POST"]),
        Route("/v2/rerank", rerank_for_cohere, methods=["POST"]),
        Route("/score", score, methods=["POST"]),
        Route("/v1/score", score, methods=["POST"]),
        Route("/classify", classify, methods=["POST"]),
    ]


async def answer_rerank(request: Request, models: Callable[[], FrontEnd], body: RerankBody) -> Response:
    """What /v1/rerank answers, errors in its words among it."""

    async def work() -> Response:
        call, context = calls.rerank_call(body), of_this_call()
        encoded = await models().encoding.rerank(call, context)
        return await written(lambda: answers.ranks(encoded, body, context.request_id), long=is_long(call.documents))

    return await in_one(request, errors.RERANK, work)


def is_long(documents: Sequence[str]) -> bool:
    """Whether an answer about them, which may have them, takes long to write."""
    return sum(LEAST + len(document) for document in documents) >= LONG


async def _side_by_side(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them give. The first that fails ends the others. Raises AttendantError."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except InvalidRequest as error:
        own = error.field.partition("[")[0]
        if len(tasks) == 1 or own not in ("query", "documents"):
            raise
        ended = [task for task in tasks if task.done() and not task.cancelled()]
        failed = next(task for task in ended if task.exception() is error)
        raise error.renamed(f"{own}[{tasks.index(failed)}]") from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
