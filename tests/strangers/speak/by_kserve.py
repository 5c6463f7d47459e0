"""KServe's gRPC client, used as its users do."""

from __future__ import annotations

import sys
from typing import Any

import grpc
from kserve import InferenceGRPCClient
from kserve_tensors import request, result
from loop import answer

clients: list[Any] = []


def client() -> Any:
    """One for all calls, made within the loop; it does not try again."""
    if not clients:
        clients.append(InferenceGRPCClient(sys.argv[1], retries=0))
    return clients[0]


async def call(method: str, **arguments: Any) -> Any:
    """A method of the client by its name, such as ``is_model_ready``."""
    try:
        return await getattr(client(), method)(**arguments)
    except grpc.RpcError as error:
        return told_error(error)


async def infer(**asked: Any) -> Any:
    """One request, as :func:`kserve_tensors.request` has it."""
    try:
        return result(await client().infer(request(**asked)))
    except grpc.RpcError as error:
        return told_error(error)


def told_error(error: Any) -> dict[str, Any]:
    """An error as the client has it."""
    return {"error": error.details(), "status": error.code().name}


if __name__ == "__main__":
    answer({action.__name__: action for action in (call, infer)})
