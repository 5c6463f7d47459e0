"""Triton's Python client over HTTP, blocking and with greenlets, used as its users do. What it raises is told with its
status."""

from __future__ import annotations

import sys
from typing import Any

import tritonclient.http as triton
from loop import answer
from triton_errors import or_error
from tritonclient.utils import np_to_triton_dtype


def call(method: str, **arguments: Any) -> Any:
    """A method of the client by its name, such as ``get_model_metadata``, with its own arguments."""
    return or_error(lambda: getattr(client, method)(**arguments))


def infer(model_name: str, inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
    """One request, one answer; or the error. See :func:`tensors`, :func:`with_outputs`."""
    binary = options.pop("binary", True)
    return or_error(lambda: result(client.infer(model_name, tensors(inputs, binary), **with_outputs(options))))


def infer_side_by_side(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same by ``async_infer``, all under way at once."""
    waiting = []
    for request in requests:
        words = with_outputs(dict(request))
        waiting.append(client.async_infer(inputs=tensors(words.pop("inputs"), True), **words))
    return [or_error(lambda each=each: result(each.get_result())) for each in waiting]


def infer_by_bodies(model_name: str, inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A request made by the client and sent by somebody else, as proxies and load tools do."""
    import urllib.request

    body, length = triton.InferenceServerClient.generate_request_body(tensors(inputs, True), **options)
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    url = f"http://{sys.argv[1]}/v2/models/{model_name}/infer"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
        length = response.headers.get("Inference-Header-Content-Length")
        read = triton.InferenceServerClient.parse_response_body
        return result(read(response.read(), header_length=None if length is None else int(length)))


def tensors(inputs: dict[str, Any], binary: bool) -> list[Any]:
    """Inputs of a request. An array of objects is of BYTES; every other has its type's name.

    Args:
        binary: after the JSON; otherwise in it.
    """
    made = []
    for name, values in inputs.items():
        tensor = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    return made


def with_outputs(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a request, its ``outputs`` as the client has them: names, or names and whether they come as bytes."""
    wanted = options.pop("outputs", None)
    if wanted is not None:
        pairs = wanted.items() if isinstance(wanted, dict) else [(name, True) for name in wanted]
        options["outputs"] = [triton.InferRequestedOutput(name, binary_data=binary) for name, binary in pairs]
    return options


def result(found: Any) -> dict[str, Any]:
    """An answer: what it says of itself, and its tensors as the client makes arrays of them."""
    told = dict(found.get_response())  # as_numpy() reads the client's own
    outputs = told.pop("outputs")
    return {
        **told,
        "raw": {output["name"]: "data" not in output for output in outputs},
        "outputs": {output["name"]: found.as_numpy(output["name"]) for output in outputs},
    }


if __name__ == "__main__":
    client = triton.InferenceServerClient(sys.argv[1], concurrency=4, network_timeout=300.0)
    actions = (call, infer, infer_side_by_side, infer_by_bodies)
    answer({action.__name__: action for action in actions})
