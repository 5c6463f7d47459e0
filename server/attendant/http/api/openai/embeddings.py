"""/v1/embeddings: vectors of texts or tokens, as numbers or as base64 of little-endian float32."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import EmbedCall, Encoded
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import in_one, written
from attendant.http.api.bodies import ApiBody, read_json
from attendant.http.api.items import texts_or_ids
from attendant.http.api.openai.errors import OPENAI
from attendant.http.calls import of_this_call
from attendant.tasks.embeddings import Embedding

MANY_NUMBERS = 10_000
"""Of an answer from which on it is written in a thread."""


class EmbeddingsBody(ApiBody):
    """The fields of /v1/embeddings: after ``user`` those of vLLM and of TEI."""

    input: Annotated[Any, texts_or_ids("input")]
    model: str
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    truncate: bool | None = None
    truncate_prompt_tokens: int | None = Field(default=None, ge=-1)
    truncation_side: Literal["left", "right"] | None = None
    normalize: bool | None = None
    add_special_tokens: Literal[True] | None = None
    priority: Literal[0] | None = None
    prompt_name: str | None = None


_DIALECT = replace(OPENAI, fields={"inputs": "input", "max_tokens": "truncate_prompt_tokens", "prompt": "prompt_name"})


def embed_call(body: EmbeddingsBody) -> EmbedCall:
    """What a body asks for. ``truncate_prompt_tokens`` -1: as many as the model takes.

    Raises:
        InvalidRequest: a side to cut where nothing may be cut.
    """
    most = body.truncate_prompt_tokens
    truncate = body.truncate is True or most is not None
    if body.truncation_side is not None and not truncate:
        allowed = "beside truncate, or truncate_prompt_tokens"
        raise InvalidRequest("truncation_side", f"is {body.truncation_side[:100]!r} alone; allowed: {allowed}")
    return EmbedCall(
        model=body.model,
        inputs=body.input,
        truncate=truncate,
        truncate_left=body.truncation_side == "left",
        max_tokens=None if most == -1 else most,
        dimensions=body.dimensions,
        normalize=body.normalize,
        prompt=body.prompt_name or "",
    )


def embeddings_object(encoded: Encoded[Embedding], model: str, *, packed: bool) -> dict[str, Any]:
    """The answer. ``packed``: vectors in base64."""
    write = _packed if packed else _numbers
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": write(embedding)}
            for index, embedding in enumerate(encoded.results)
        ],
        "model": model,
        "usage": {"prompt_tokens": encoded.usage.num_tokens, "total_tokens": encoded.usage.num_tokens},
    }


def _packed(embedding: Embedding) -> str:
    assert embedding.values is not None, "the call asked for one vector"
    return base64.b64encode(embedding.values.astype("<f4", copy=False).tobytes()).decode()


def _numbers(embedding: Embedding) -> list[float]:
    assert embedding.values is not None, "the call asked for one vector"
    return embedding.values.tolist()  # type: ignore[no-any-return] # a list of floats


def embedding_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """/v1/embeddings."""

    async def answer(request: Request) -> Response:
        body = await read_json(request, EmbeddingsBody)
        front_end, call = models(), embed_call(body)
        packed = body.encoding_format == "base64"

        async def work() -> Response:
            encoded = await front_end.encoding.embed(call, of_this_call())

            size = sum(0 if each.values is None else each.values.size for each in encoded.results)
            return await written(
                lambda: embeddings_object(encoded, body.model, packed=packed), long=size >= MANY_NUMBERS
            )

        return await in_one(request, _DIALECT, work)

    return [Route("/v1/embeddings", answer, methods=["POST"])]
