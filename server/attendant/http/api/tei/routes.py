"""Where TEI's API is answered. Its requests name no model: the header ``model`` does, as the metadata of its gRPC."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import EmbedCall
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import error_answer, in_one, written
from attendant.http.api.bodies import read_json
from attendant.http.api.openai.embeddings import MANY_NUMBERS
from attendant.http.api.rerank.errors import RERANK
from attendant.http.api.rerank.routes import answer_rerank, is_long
from attendant.http.api.tei import answers, calls
from attendant.http.api.tei.bodies import AnyRerankBody, EmbedAllBody, EmbedBody, PredictBody, TeiRerankBody
from attendant.http.api.tei.errors import TEI
from attendant.http.calls import of_this_call

MODEL = "model"

MANY_LABELS = 2_000
"""Of an answer from which on it is written in a thread."""


def tei_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """The routes, /rerank among them, which answers as /v1/rerank does where it is asked so."""

    async def embed(request: Request) -> Response:
        body = await read_json(request, EmbedBody)
        return await _vectors(request, models(), calls.embed_call(body, _model(request)))

    async def embed_all(request: Request) -> Response:
        body = await read_json(request, EmbedAllBody)
        return await _vectors(request, models(), calls.embed_all_call(body, _model(request)))

    async def embed_sparse(request: Request) -> Response:
        body = await read_json(request, EmbedAllBody)
        front_end, call = models(), calls.embed_sparse_call(body, _model(request))

        async def work() -> Response:
            encoded = await front_end.encoding.embed_sparse(call, of_this_call())
            size = sum(len(each.indices) for each in encoded.results)
            return await written(lambda: answers.weights(encoded), long=size >= MANY_LABELS)

        return await in_one(request, TEI, work)

    async def predict(request: Request) -> Response:
        body = await read_json(request, PredictBody)
        front_end, call = models(), calls.predict_call(body, _model(request))

        async def work() -> Response:
            encoded = await front_end.encoding.classify(call, of_this_call())
            size = sum(map(len, encoded.results))
            return await written(lambda: answers.predictions(encoded, batch=body.inputs[1]), long=size >= MANY_LABELS)

        return await in_one(request, TEI, work)

    async def rerank(request: Request) -> Response:
        is_tei, body = (await read_json(request, AnyRerankBody)).root
        if isinstance(body, InvalidRequest):
            return error_answer((TEI if is_tei else RERANK).of_requests(), body)
        if not isinstance(body, TeiRerankBody):
            return await answer_rerank(request, models, body)
        front_end, call = models(), calls.rerank_call(body, _model(request))

        async def work() -> Response:
            encoded = await front_end.encoding.rerank(call, of_this_call())
            return await written(
                lambda: answers.ranks(encoded, with_text=body.return_text), long=is_long(call.documents)
            )

        return await in_one(request, TEI, work)

    made = {"/embed": embed, "/embed_all": embed_all, "/embed_sparse": embed_sparse, "/predict": predict}
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in {**made, "/rerank": rerank}.items()]


async def _vectors(request: Request, front_end: FrontEnd, call: EmbedCall) -> Response:
    async def work() -> Response:
        encoded = await front_end.encoding.embed(call, of_this_call())
        return await written(lambda: answers.vectors(encoded), long=answers.num_numbers(encoded) >= MANY_NUMBERS)

    return await in_one(request, TEI, work)


def _model(request: Request) -> str:
    """The model that a request names; empty if it names none."""
    return request.headers.get(MODEL, "")
