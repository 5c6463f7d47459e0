"""Triton's Python client in asyncio."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import tritonclient.grpc.aio as triton
from by_tritonclient import result, tensors, told, with_outputs
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
    try:
        return result(await client().infer(model_name, tensors(inputs), **with_outputs(options)))
    except InferenceServerException as error:
        return told_error(error)


async def stream(requests: list[dict[str, Any]], cancel_after: int | None = None, **options: Any) -> dict[str, Any]:
    """Answers and errors of requests over one stream, and how it ended.

    Args:
        cancel_after: so many messages; None: it ends of itself.
    """

    async def asked() -> AsyncIterator[dict[str, Any]]:
        for request in requests:
            words = with_outputs(dict(request))
            final = words.pop("enable_empty_final_response", False)
            if final:  # this method of the client has no word of its own for it, and reserves the parameter's name
                raise ValueError("not with this client")
            yield {**words, "inputs": tensors(words["inputs"])}

    answers = client().stream_infer(asked(), **options)
    found: list[dict[str, Any]] = []
    try:
        async for pair in answers:
            found.append(told(*pair))
            if len(found) == cancel_after:
                answers.cancel()
    except BaseException as error:  # noqa: BLE001 a stream that was cancelled ends in CancelledError
        return {"found": found, "ended": type(error).__name__}
    return {"found": found, "ended": ""}


if __name__ == "__main__":
    answer({action.__name__: action for action in (call, infer, stream)})
