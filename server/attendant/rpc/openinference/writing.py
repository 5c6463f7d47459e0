"""Answers of a port to messages of the protocol."""

from __future__ import annotations

from collections.abc import Mapping

from attendant_proto.openinference import inference_pb2 as pb

from attendant.rpc.openinference.contents import contents_of, raw_of
from attendant.rpc.openinference.datatypes import KINDS
from attendant.rpc.openinference.ports import InferAnswer, InferCall, Parameter, Tensor

_MOST_SIGNED = 2**63 - 1


def infer_response(
    request: pb.ModelInferRequest, version: str, call: InferCall, answer: InferAnswer, *, raw: bool
) -> pb.ModelInferResponse:
    """The response of an answer, with the tensors that the call wants.

    Args:
        version: of the model that answered.
        raw: as bytes; otherwise element by element, unless one of the tensors can only be raw: then all are.
    """
    tensors = _wanted(call, answer)
    response = empty_response(request, version)
    raw = raw or any(KINDS[tensor.datatype].field is None for tensor in tensors)
    for tensor in tensors:
        message = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.values.shape)
        if raw:
            response.raw_output_contents.append(raw_of(tensor.values, tensor.datatype))
        else:
            message.contents.CopyFrom(contents_of(tensor.values, tensor.datatype) or pb.InferTensorContents())
    for name, value in answer.parameters.items():
        put(response.parameters[name], value)
    return response


def empty_response(request: pb.ModelInferRequest, version: str) -> pb.ModelInferResponse:
    """A response to a request, as yet without tensors."""
    return pb.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)


def put(message: pb.InferParameter, value: Parameter) -> None:
    """Have a parameter be ``value``."""
    match value:
        case bool():
            message.bool_param = value
        case int() if value > _MOST_SIGNED:
            message.uint64_param = value
        case int():
            message.int64_param = value
        case float():
            message.double_param = value
        case _:
            message.string_param = value


def _wanted(call: InferCall, answer: InferAnswer) -> list[Tensor]:
    if not call.outputs:
        return list(answer.outputs)
    by_name: Mapping[str, Tensor] = {tensor.name: tensor for tensor in answer.outputs}
    return [by_name[name] for name in call.outputs if name in by_name]
