"""A request to infer, as it comes over HTTP, to the message of the protocol's gRPC half."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.core.shown import shown
from attendant.http.api.bodies import parse
from attendant.http.api.openinference.bodies import InferBody, InputBody, OutputBody
from attendant.http.api.openinference.elements import raw_of_json
from attendant.rpc.openinference.contents import check_shape
from attendant.rpc.openinference.datatypes import KINDS
from attendant.rpc.openinference.ports import Datatype, TensorSpec
from attendant.rpc.openinference.writing import put

LENGTH = "inference-header-content-length"
"""The header that says how many bytes of a body are its JSON."""

SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
_SHARED = "shared_memory_region"
_SIZE_OF_ELEMENT = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read.

    Attributes:
        message: what it asks for; its tensors are raw, and so are those of the answer.
        binary: whether tensors of the answer go out as bytes after the JSON.
        outputs: the same of single tensors, by name.
    """

    message: pb.ModelInferRequest
    binary: bool = False
    outputs: Mapping[str, bool] = field(default_factory=dict)


def infer_request(head: bytes, tail: bytes, model: str, version: str) -> Asked:
    """The request that a body makes.

    Args:
        head: its JSON.
        tail: the bytes after that: those of the inputs that have a ``binary_data_size``, in their order.
        model: that the path names.

    Raises:
        InvalidRequest: a field, a tensor or a parameter is not as it has to be, or there are more bytes or fewer.
        TooLarge: there is more in the JSON than the server reads.
    """
    body = parse(InferBody, head)
    if body.model_name not in (None, "", model):
        raise InvalidRequest("model_name", f"is {body.model_name[:100]!r}; allowed: {model[:100]!r}, as in the path")
    message = pb.ModelInferRequest(model_name=model, model_version=version, id=body.id or "")
    parameters = dict(body.parameters or {})
    binary = _flag(parameters, ALL_BINARY, "parameters")
    put_all(message, parameters)
    place = 0
    for tensor in body.inputs:
        place += _add_input(message, tensor, tail, place)
    if place != len(tail):
        raise InvalidRequest("body", f"has {len(tail)} bytes after its JSON; allowed: {place}, as its inputs say")
    outputs = {each.name: _add_output(message, each) for each in body.outputs or ()}
    return Asked(message, bool(binary), {name: each for name, each in outputs.items() if each is not None})


def raw_request(body: bytes, model: str, version: str, first: TensorSpec) -> Asked:
    """The request that a body without JSON makes: all of it is the only element of the model's first input.

    Raises:
        InvalidRequest: that is no input of BYTES.
    """
    if first.datatype != "BYTES":
        raise InvalidRequest(
            LENGTH,
            f"is 0; allowed, as the input {first.name} is of {first.datatype}: the length of the JSON before the bytes",
        )
    message = pb.ModelInferRequest(model_name=model, model_version=version)
    message.inputs.add(name=first.name, datatype=first.datatype, shape=[1])
    message.raw_input_contents.append(_SIZE_OF_ELEMENT.pack(len(body)) + body)
    message.parameters[ALL_BINARY].bool_param = True
    return Asked(message, binary=True)


def put_all(message: pb.ModelInferRequest, parameters: Mapping[str, Any]) -> None:
    """Have a request have these parameters, and raw tensors in its answer."""
    _put(message.parameters, parameters, "parameters")
    message.parameters[ALL_BINARY].bool_param = True


def _put(found: Any, parameters: Mapping[str, Any], where: str) -> None:
    for name, value in parameters.items():
        if not isinstance(value, bool | int | float | str):
            kind = "null" if value is None else "a list" if isinstance(value, list) else "an object"
            raise InvalidRequest(f"{where}[{name[:100]}]", f"is {kind}; allowed: a flag, a number or a text")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise InvalidRequest(f"{where}[{name[:100]}]", "is a whole number that has more than 64 bits")
        put(found[name], value)


def _add_input(message: pb.ModelInferRequest, tensor: InputBody, tail: bytes, place: int) -> int:
    """Have a request have a tensor. Returns how many bytes of ``tail`` are its own, from ``place`` on."""
    where = f"inputs[{tensor.name[:100]}]"
    check_shape(tensor.shape, f"{where}.shape")
    parameters = dict(tensor.parameters or {})
    size = parameters.pop(SIZE, None)
    added = message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    _put(added.parameters, parameters, f"{where}.parameters")
    if size is None:
        message.raw_input_contents.append(_raw(tensor, f"{where}.data"))
        return 0
    if tensor.data is not None:
        raise InvalidRequest(f"{where}.data", f"is beside {SIZE}; allowed: one of both")
    left = len(tail) - place
    if type(size) is not int or not 0 <= size <= left:
        field = f"{where}.parameters[{SIZE}]"
        raise InvalidRequest(field, f"is {_told(size)}; allowed: 0 to {left}, the bytes that are left")
    message.raw_input_contents.append(tail[place : place + size])
    return size


def _told(value: Any) -> str:
    """A parameter's value for an error, and not all of a long one."""
    match value:
        case str():
            return repr(value[:100])
        case list() | dict():
            return shown(value, 100)
    return repr(value)


def _raw(tensor: InputBody, field: str) -> bytes:
    if tensor.datatype not in KINDS or _SHARED in (tensor.parameters or {}):
        return b""  # what reads the message says why that will not do
    if tensor.data is None:
        raise InvalidRequest(field, f"is missing; allowed: elements, or the parameter {SIZE} and bytes after the JSON")
    return raw_of_json(tensor.data, cast(Datatype, tensor.datatype), tensor.shape, field)


def _add_output(message: pb.ModelInferRequest, tensor: OutputBody) -> bool | None:
    parameters = dict(tensor.parameters or {})
    where = f"outputs[{tensor.name[:100]}].parameters"
    binary = _flag(parameters, BINARY, where)
    _put(message.outputs.add(name=tensor.name).parameters, parameters, where)
    return binary


def _flag(parameters: dict[str, Any], name: str, where: str) -> bool | None:
    value = parameters.pop(name, None)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"{where}[{name}]", f"is {str(value)[:100]!r}; allowed: true or false")
    return value
