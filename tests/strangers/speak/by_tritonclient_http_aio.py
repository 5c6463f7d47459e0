"""Triton's Python client over HTTP in asyncio."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import tritonclient.http.aio as triton
from by_tritonclient_http import result, tensors, with_outputs
from loop import answer
from triton_errors import told_error
from tritonclient.utils import InferenceServerException

clients: list[Any] = []


def client() -> Any:
    """One for all calls, made within the loop."""
    if not clients:
        clients.append(triton.InferenceServerClient(sys.argv[1]))
    return clients[0]


async def call(method: str, **arguments: Any) -> Any:
    """A method of the client by its name."""
    try:
        return await getattr(client(), method)(**arguments)
    except InferenceServerException as error:
        return told_error(error)


async def infer(model_name: str, inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
    """One request, one answer; or the error."""
    binary = options.pop("binary", True)
    try:
        return result(await client().infer(model_name, tensors(inputs, binary), **with_outputs(options)))
    except InferenceServerException as error:
        return told_error(error)


async def infer_and_leave(model_name: str, inputs: dict[str, Any], after_s: float) -> str:
    """A request whose caller does not wait for its answer."""
    try:
        await asyncio.wait_for(client().infer(model_name, tensors(inputs, True)), after_s)
    except TimeoutError:
        return "left"
    return "answered"


if __name__ == "__main__":
    answer({action.__name__: action for action in (call, infer, infer_and_leave)})
