"""The routes /v1/models: which models there are, as OpenAI's clients list them."""

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
from attendant.http.api.openai.errors import OPENAI
from attendant.models.info import ModelInfo

OWNER = "attendant"


def model_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """Every model and route that takes calls, and one of them by its name."""
    begun_s = int(time.time())

    async def every(request: Request) -> Response:
        async def work() -> dict[str, Any]:
            listed = [info for info in models().list_models() if isinstance(info, ModelInfo) and info.ready]
            return {"object": "list", "data": [model_object(info, begun_s) for info in listed]}

        return await in_one(request, OPENAI, work)

    async def one(request: Request) -> Response:
        async def work() -> dict[str, Any]:
            name = request.path_params["name"]
            return model_object(models().served_model(name), begun_s) | {"id": name}

        return await in_one(request, OPENAI, work)

    return [Route("/v1/models", every), Route("/v1/models/{name:path}", one)]


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
