"""The routes /v1/models: which models there are, as OpenAI's clients list them, or as Anthropic's do if one asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.repository import full_name
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import in_one
from attendant.http.api.anthropic import models as anthropic
from attendant.http.api.anthropic.errors import ANTHROPIC
from attendant.http.api.dialect import Dialect
from attendant.http.api.openai.errors import OPENAI
from attendant.models.info import ModelInfo

OWNER = "attendant"


def model_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """Every model and route that takes calls, and one of them by its name."""
    begun_s = int(time.time())

    async def every(request: Request) -> Response:
        async def work() -> dict[str, Any]:
            ready = [info for info in models().list_models() if isinstance(info, ModelInfo) and info.ready]
            listed = [model_object(info, begun_s) for info in ready]
            if anthropic.VERSION in request.headers:
                return anthropic.model_page(listed, request.query_params)
            return {"object": "list", "data": listed}

        return await in_one(request, _dialect(request), work)

    async def one(request: Request) -> Response:
        async def work() -> dict[str, Any]:
            name = request.path_params["name"]
            found = model_object(models().served_model(name), begun_s) | {"id": name}
            return anthropic.model_object(found) if anthropic.VERSION in request.headers else found

        return await in_one(request, _dialect(request), work)

    return [Route("/v1/models", every), Route("/v1/models/{name:path}", one)]


def _dialect(request: Request) -> Dialect:
    return ANTHROPIC if anthropic.VERSION in request.headers else OPENAI


def model_object(info: ModelInfo, created_s: int) -> dict[str, Any]:
    """A model as an object. Calls that name no version go to the current one, which has its name alone; an older one
    has its version with it. ``max_model_len`` is of models that generate, as vLLM has it."""
    said: dict[str, Any] = {
        "id": full_name(info.name, "" if info.current else info.version),
        "object": "model",
        "created": created_s,
        "owned_by": OWNER,
        "root": info.name,
        "parent": None,
    }
    if info.generation is not None:
        said["max_model_len"] = info.generation.context_length
    return said
