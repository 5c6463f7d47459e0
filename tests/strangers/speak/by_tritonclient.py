"""Triton's Python client, blocking and with callbacks, used as its users do. What it raises is told with its status."""

from __future__ import annotations

import queue
import sys
from importlib.metadata import version
from typing import Any

import tritonclient.grpc as triton
from loop import answer
from triton_errors import or_error, told_error
from tritonclient.utils import np_to_triton_dtype

WAIT_S = 300.0
"""After so long a callback that does not come is a fault."""


def versions() -> dict[str, str]:
    """Of the client, and of what it needs."""
    return {name: version(name) for name in ("tritonclient", "protobuf")}


def call(method: str, **arguments: Any) -> Any:
    """A method of the client by its name, such as ``get_model_metadata``, with its own arguments."""
    return or_error(lambda: getattr(client, method)(**arguments))


def infer(model_name: str, inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
    """One request, one answer; or the error. ``inputs``: arrays by name; ``outputs``, an option: names."""
    return or_error(lambda: result(client.infer(model_name, tensors(inputs), **with_outputs(options))))


def infer_by_callback(model_name: str, inputs: dict[str, Any], cancel: bool = False, **options: Any) -> dict[str, Any]:
    """The same by ``async_infer``. ``cancel``: at once."""
    came: queue.Queue[Any] = queue.Queue()
    context = client.async_infer(
        model_name, tensors(inputs), lambda result, error: came.put((result, error)), **with_outputs(options)
    )
    if cancel:
        context.cancel()
    return told(*came.get(timeout=WAIT_S))


def stream(
    requests: list[dict[str, Any]],
    cancel_after: int | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Answers and errors of requests over one stream, in the order in which they came.

    Args:
        requests: arguments of ``async_stream_infer``; inputs and outputs as in :func:`infer`.
        cancel_after: so many messages, with ``stop_stream(cancel_requests=True)``; None: it ends of itself.
        options: of ``start_stream``.
    """
    came: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(sys.argv[1]) as own:
        own.start_stream(lambda result, error: came.put((result, error)), headers=headers, **options)
        for request in requests:
            words = with_outputs(dict(request))
            own.async_stream_infer(inputs=tensors(words.pop("inputs")), **words)
        if cancel_after is None:
            own.stop_stream()
            return [told(*came.get_nowait()) for _ in range(came.qsize())]
        found = [told(*came.get(timeout=WAIT_S)) for _ in range(cancel_after)]
        own.stop_stream(cancel_requests=True)
        return [*found, *(told(*came.get_nowait()) for _ in range(came.qsize()))]


def tensors(inputs: dict[str, Any]) -> list[Any]:
    """Inputs of a request. An array of objects is of BYTES; every other has its type's name."""
    made = []
    for name, values in inputs.items():
        tensor = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
        tensor.set_data_from_numpy(values)
        made.append(tensor)
    return made


def with_outputs(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a request, its ``outputs`` as the client has them: names, or pairs of a name and a class count."""
    names = options.pop("outputs", None)
    if names is not None:
        pairs = [name if isinstance(name, list) else [name, 0] for name in names]
        options["outputs"] = [triton.InferRequestedOutput(name, class_count=count) for name, count in pairs]
    return options


def result(found: Any) -> dict[str, Any]:
    """An answer: what it says of itself, and its tensors as the client makes arrays of them."""
    message = found.get_response()
    return {
        "model_name": message.model_name,
        "model_version": message.model_version,
        "id": message.id,
        "parameters": {
            name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in message.parameters.items()
        },
        "types": {output.name: output.datatype for output in message.outputs},
        "raw": bool(message.raw_output_contents),
        "outputs": {output.name: found.as_numpy(output.name) for output in message.outputs},
    }


def told(found: Any, error: Any) -> dict[str, Any]:
    """What a callback was given."""
    return told_error(error) if error is not None else result(found)


if __name__ == "__main__":
    client = triton.InferenceServerClient(sys.argv[1])
    actions = (versions, call, infer, infer_by_callback, stream)
    answer({action.__name__: action for action in actions})
