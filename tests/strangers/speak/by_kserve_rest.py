"""KServe's REST client."""

from __future__ import annotations

import sys
from typing import Any

import httpx
from kserve import InferenceRESTClient, RESTConfig
from kserve_tensors import request, result
from loop import answer

clients: list[Any] = []
BASE = f"http://{sys.argv[1]}"


def client() -> Any:
    """One for all calls, made within the loop; it does not try again."""
    if not clients:
        clients.append(InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=300)))
    return clients[0]


async def call(method: str, **arguments: Any) -> Any:
    """A method of the client by its name, such as ``is_model_ready``."""
    try:
        return await getattr(client(), method)(BASE, **arguments)
    except httpx.HTTPStatusError as error:
        return told_error(error)


async def infer(**asked: Any) -> Any:
    """One request, as :func:`kserve_tensors.request` has it."""
    try:
        return result(await client().infer(BASE, request(**asked), model_name=asked["model_name"]))
    except httpx.HTTPStatusError as error:
        return told_error(error)


def told_error(error: httpx.HTTPStatusError) -> dict[str, Any]:
    """An error as the client has it."""
    return {"error": str(error), "status": error.response.status_code}


if __name__ == "__main__":
    answer({action.__name__: action for action in (call, infer)})
