"""KServe's gRPC client, used as its users do."""

from __future__ import annotations

import sys
from typing import Any

import grpc
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput
from kserve.utils.numpy_codec import from_np_dtype
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
        return {"error": error.details(), "status": error.code().name}


async def infer(
    model_name: str, inputs: dict[str, Any], binary: bool, outputs: list[str] | None = None, **options: Any
) -> Any:
    """One request. ``binary``: its tensors as raw bytes; otherwise element by element."""
    made = []
    for name, values in inputs.items():
        tensor = InferInput(name, list(values.shape), from_np_dtype(values.dtype))
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    wanted = [RequestedOutput(name) for name in outputs] if outputs else None
    request = InferRequest(model_name=model_name, infer_inputs=made, request_outputs=wanted, **options)
    try:
        response = await client().infer(request)
    except grpc.RpcError as error:
        return {"error": error.details(), "status": error.code().name}
    return {
        "id": response.id,
        "model_name": response.model_name,
        "model_version": response.model_version,
        "types": {output.name: output.datatype for output in response.outputs},
        "outputs": {output.name: output.as_numpy() for output in response.outputs},
    }


if __name__ == "__main__":
    answer({action.__name__: action for action in (call, infer)})
