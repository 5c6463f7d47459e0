"""An answer of the protocol's gRPC half as it goes out over HTTP: JSON, and after it the tensors that are binary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attendant_proto.openinference import inference_pb2 as pb

from attendant.http.api.openinference.asking import LENGTH, SIZE, Asked
from attendant.http.api.openinference.elements import json_of_raw

PIECE = 2000
"""Elements that are written at once: about a millisecond."""


def written(answer: pb.ModelInferResponse, asked: Asked) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an answer, whose tensors are raw.

    Raises:
        InvalidRequest: JSON has no words for a tensor.
    """
    tail: list[bytes] = []
    outputs: list[bytes] = []
    for tensor, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if is_binary(asked, tensor.name):
            told["parameters"] = {SIZE: len(raw)}
            tail.append(raw)
            outputs.append(as_json(told))
        else:
            data = _in_pieces(json_of_raw(raw, tensor.datatype, tensor.shape, tensor.name))
            outputs.append(b'%b,"data":[%b]}' % (as_json(told)[:-1], data))
    body = b'%b,"outputs":[%b]}' % (as_json(described(answer))[:-1], b",".join(outputs))
    if not tail:
        return body, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", LENGTH: str(len(body))}
    return b"".join((body, *tail)), headers


def described(answer: pb.ModelInferResponse) -> dict[str, Any]:
    """What an answer says of itself, without its tensors."""
    told: dict[str, Any] = {"id": answer.id} if answer.id else {}
    told |= {"model_name": answer.model_name, "model_version": answer.model_version}
    parameters = values(answer.parameters)
    return told | ({"parameters": parameters} if parameters else {})


def values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a message as plain values."""
    return {name: getattr(each, each.WhichOneof("parameter_choice")) for name, each in parameters.items()}


def as_json(body: Any) -> bytes:
    """The bytes of an object."""
    return json.dumps(body, separators=(",", ":")).encode()


def is_binary(asked: Asked, name: str) -> bool:
    """Whether an output goes out as bytes."""
    return asked.outputs.get(name, asked.binary)


def _in_pieces(elements: list[Any]) -> bytes:
    """Elements as JSON, without brackets. Between two pieces other threads get their turn, which ``json`` does not give
    them before it is done."""
    pieces = range(0, len(elements), PIECE)
    return b",".join([as_json(elements[begin : begin + PIECE])[1:-1] for begin in pieces])
