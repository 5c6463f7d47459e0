"""Triton's generate extension: a flat object of inputs and parameters by name in, a flat object of outputs out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.http.api.openinference.answering import described
from attendant.http.api.openinference.asking import put_all
from attendant.http.api.openinference.elements import json_of_raw, raw_of_json
from attendant.rpc.openinference.asked import STREAM
from attendant.rpc.openinference.contents import check_shape, objects
from attendant.rpc.openinference.options import EMPTY_FINAL, FINAL, TASK
from attendant.rpc.openinference.ports import TensorSpec
from attendant.rpc.openinference.said import SAMPLING_PARAMETERS
from attendant.rpc.openinference.single import parsed

ID, PARAMETERS = "id", "parameters"
_MOST_NESTED = 8
_BY_NAME = "an object of parameters by name"


def task_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a body says which of a model's ports is meant."""
    return {name: value for name, value in _given(body).items() if name in (TASK, "method") and isinstance(value, str)}


def generate_request(
    body: Mapping[str, Any], model: str, version: str, inputs: Sequence[TensorSpec], *, stream: bool
) -> pb.ModelInferRequest:
    """The request that a body makes.

    Names of inputs become tensors, others parameters. What a parameter cannot be, a list or an object, stands in the
    input ``sampling_parameters`` where there is one. ``null`` says nothing.

    Args:
        inputs: that the model takes.
        stream: pieces are wanted, unless the body says otherwise.

    Raises:
        InvalidRequest: a name that is there twice, or a value that no tensor and no parameter can be.
    """
    specs = {spec.name: spec for spec in inputs}
    call_id = body.get(ID)
    if not isinstance(call_id, str | None):
        raise InvalidRequest(ID, "is no text; allowed: a text")
    message = pb.ModelInferRequest(model_name=model, model_version=version, id=call_id or "")
    given = {name: value for name, value in _given(body).items() if value is not None}
    if stream and STREAM in specs:
        given.setdefault(STREAM, True)
    tensors = {name: given.pop(name) for name in list(given) if name in specs}
    composed = {name: given.pop(name) for name in list(given) if isinstance(given[name], list | dict)}
    if composed:
        tensors[SAMPLING_PARAMETERS] = _sampling(tensors.get(SAMPLING_PARAMETERS), composed, specs)
    for name, value in tensors.items():
        _add(message, specs[name], value)
    put_all(message, given)
    return message


def generated(answer: pb.ModelInferResponse) -> dict[str, Any]:
    """The object that an answer makes: a tensor of one element is that element, another one a list.

    Raises:
        InvalidRequest: JSON has no words for a tensor.
    """
    told = described(answer)
    told |= told.pop(PARAMETERS, {})
    for tensor, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        elements = json_of_raw(raw, tensor.datatype, tensor.shape, tensor.name)
        told[tensor.name] = elements[0] if list(tensor.shape) == [1] else _nested(elements, list(tensor.shape))
    return told


def piece(answer: pb.ModelInferResponse, *, flagged: bool) -> dict[str, Any]:
    """The object of one of several answers. ``flagged``: it says whether it is the last."""
    told = generated(answer)
    if not flagged:
        told.pop(FINAL, None)
    return told


def is_flagged(request: pb.ModelInferRequest) -> bool:
    """Whether a request wants to be told which answer is the last."""
    return EMPTY_FINAL in request.parameters and bool(request.parameters[EMPTY_FINAL].bool_param)


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """Everything by its name, wherever it stands."""
    inner = body.get(PARAMETERS)
    if not isinstance(inner, dict | None):
        raise InvalidRequest(PARAMETERS, "is no object; allowed: an object of values by name")
    outer = {name: value for name, value in body.items() if name not in (ID, PARAMETERS)}
    for name in inner or {}:
        if name in outer:
            raise InvalidRequest(f"{PARAMETERS}.{name[:100]}", "is there beside the same name outside; allowed: once")
    return outer | (inner or {})


def _sampling(given: Any, composed: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """The input of that name with more in it."""
    first = next(iter(composed))
    if SAMPLING_PARAMETERS not in specs:
        raise InvalidRequest(
            first[:100], f"is a list or an object, and no input; allowed: one value, or one of {', '.join(specs)}"
        )
    found = {} if given is None else given
    if isinstance(found, str):
        found = parsed(found, SAMPLING_PARAMETERS, _BY_NAME)
    if not isinstance(found, dict):
        raise InvalidRequest(SAMPLING_PARAMETERS, f"is no object; allowed: {_BY_NAME}")
    for name in composed:
        if name in found:
            raise InvalidRequest(name[:100], f"is there beside the same name in {SAMPLING_PARAMETERS}; allowed: once")
    return {**found, **composed}


def _add(message: pb.ModelInferRequest, spec: TensorSpec, value: Any) -> None:
    if spec.datatype == "BYTES" and _is_object(value):
        value = json.dumps(value)
    data = value if isinstance(value, list) else [value]
    shape = _shape(data)
    check_shape(shape, f"inputs[{spec.name}].shape")
    raw = raw_of_json(data, spec.datatype, shape, f"inputs[{spec.name}]")
    message.inputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
    message.raw_input_contents.append(raw)


def _is_object(value: Any) -> bool:
    """Whether it can only be meant as JSON: an object, or a list of some."""
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _shape(data: list[Any]) -> list[int]:
    shape: list[int] = []
    rest: Any = data
    while isinstance(rest, list) and len(shape) < _MOST_NESTED:
        shape.append(len(rest))
        rest = rest[0] if rest else None
    return shape


def _nested(elements: list[Any], shape: list[int]) -> Any:
    if len(shape) < 2:
        return elements
    return cast(Any, objects(elements).reshape(shape).tolist())
