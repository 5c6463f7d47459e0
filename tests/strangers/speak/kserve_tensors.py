"""Requests and answers in KServe's own classes, which its clients of gRPC and REST share."""

from __future__ import annotations

from typing import Any

from kserve import InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput
from kserve.utils.numpy_codec import from_np_dtype


def request(
    model_name: str, inputs: dict[str, Any], binary: bool, outputs: list[str] | None = None, **options: Any
) -> InferRequest:
    """One request. ``inputs``: arrays by name; ``binary``: as raw bytes, otherwise element by element."""
    made = []
    for name, values in inputs.items():
        tensor = InferInput(name, list(values.shape), from_np_dtype(values.dtype))
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    wanted = [RequestedOutput(name) for name in outputs] if outputs else None
    return InferRequest(model_name=model_name, infer_inputs=made, request_outputs=wanted, **options)


def result(response: Any) -> dict[str, Any]:
    """An answer: what it says of itself, and its tensors as the client makes arrays of them."""
    return {
        "id": response.id,
        "model_name": response.model_name,
        "model_version": response.model_version,
        "types": {output.name: output.datatype for output in response.outputs},
        "outputs": {output.name: output.as_numpy() for output in response.outputs},
    }
