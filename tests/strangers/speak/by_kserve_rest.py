"""KServe's REST client."""

from __future__ import annotations

import sys
from typing import Any

import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from kserve.utils.numpy_codec import from_np_dtype
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


async def infer(
    model_name: str, inputs: dict[str, Any], binary: bool, outputs: list[str] | None = None, **options: Any
) -> Any:
    """One request. ``binary``: its tensors after the JSON; otherwise in it."""
    made = []
    for name, values in inputs.items():
        tensor = InferInput(name, list(values.shape), from_np_dtype(values.dtype))
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    wanted = [RequestedOutput(name) for name in outputs] if outputs else None
    request = InferRequest(model_name=model_name, infer_inputs=made, request_outputs=wanted, **options)
    try:
        response = await client().infer(BASE, request, model_name=model_name)
    except httpx.HTTPStatusError as error:
        return told_error(error)
    return {
        "id": response.id,
        "model_name": response.model_name,
        "model_version": response.model_version,
        "types": {output.name: output.datatype for output in response.outputs},
        "outputs": {output.name: output.as_numpy() for output in response.outputs},
    }


def told_error(error: httpx.HTTPStatusError) -> dict[str, Any]:
    """An error as the client has it."""
    return {"error": str(error), "status": error.response.status_code}


if __name__ == "__main__":
    answer({action.__name__: action for action in (call, infer)})
