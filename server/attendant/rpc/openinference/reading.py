"""Requests of the protocol to calls of a port. What does not fit the port's tensors is refused here, before anything
reaches a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.rpc.openinference.contents import check_shape, read_contents, read_raw
from attendant.rpc.openinference.datatypes import KINDS
from attendant.rpc.openinference.options import TASK, Options, Terms, plain
from attendant.rpc.openinference.ports import Datatype, InferCall, Parameter, Port, Tensor, TensorSpec

_SHARED_MEMORY = "shared_memory_region"


def infer_call(request: pb.ModelInferRequest, model: str, port: Port) -> tuple[InferCall, Terms]:
    """The call that a request asks for, and what the protocol itself says with it.

    Args:
        model: as :func:`attendant.core.repository.full_name` has it.

    Raises:
        InvalidRequest: a tensor or a parameter that is wrong, unknown or missing.
    """
    parameters = plain(request.parameters) if request.parameters else {}
    parameters.pop(TASK, None)  # it chose the port
    terms = Terms.take(parameters)
    outputs, raw = _outputs(request.outputs, port.outputs)
    if terms.raw is None:
        came_raw = bool(request.raw_input_contents) or not request.inputs
        terms = terms.with_raw(came_raw if raw is None else raw)
    specs = {spec.name: spec for spec in port.inputs}
    inputs, tensor_parameters = _inputs(request, specs)
    for name, spec in specs.items():
        if name not in inputs and not spec.optional:
            raise InvalidRequest(f"inputs[{name}]", f"is missing; allowed: {spec_text(spec)}")
    return InferCall(model, inputs, outputs, parameters, tensor_parameters), terms


def spec_text(spec: TensorSpec) -> str:
    """What a tensor has to be, in words."""
    types = " or ".join((spec.datatype, *spec.also))
    return f"{types} of shape {list(spec.shape)}, where -1 is any size"


def _inputs(
    request: pb.ModelInferRequest, specs: Mapping[str, TensorSpec]
) -> tuple[dict[str, Tensor], dict[str, Mapping[str, Parameter]]]:
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(
            "raw_input_contents",
            f"has {len(raw)} entries; allowed: {len(request.inputs)}, one for each input, or none at all",
        )
    found: dict[str, Tensor] = {}
    parameters: dict[str, Mapping[str, Parameter]] = {}
    for index, message in enumerate(request.inputs):
        name, field = message.name, f"inputs[{_shown(message.name)}]"
        spec = specs.get(name)
        if spec is None:
            raise InvalidRequest(field, f"is not an input of this model; allowed: {', '.join(specs)}")
        if name in found:
            raise InvalidRequest(field, "is there twice; allowed: each input once")
        if message.parameters and (own := _tensor_parameters(message, field)):
            parameters[name] = own
        found[name] = _tensor(message, raw[index] if raw else None, spec, field)
    return found, parameters


def _tensor(message: pb.ModelInferRequest.InferInputTensor, raw: bytes | None, spec: TensorSpec, field: str) -> Tensor:
    shape = tuple(message.shape)
    datatype = spec.datatype
    if message.datatype != datatype:
        datatype = _other_type(message, spec, field)
    check_shape(shape, f"{field}.shape")
    if len(shape) == 2 and len(spec.shape) == 1 and shape[1] == 1:
        shape = shape[:1]  # a batch of single elements
    fits = len(shape) == len(spec.shape)
    for size, wanted in zip(shape, spec.shape, strict=False):
        fits = fits and wanted in (-1, size)
    if not fits:
        raise InvalidRequest(f"{field}.shape", f"is {list(shape)[:16]}; allowed: {spec_text(spec)}")
    if raw is None:
        return Tensor(spec.name, datatype, read_contents(message.contents, datatype, shape, f"{field}.contents"))
    if message.HasField("contents") and message.contents.ListFields():
        raise InvalidRequest(f"{field}.contents", "is beside raw_input_contents; allowed: one of both")
    return Tensor(spec.name, datatype, read_raw(raw, datatype, shape, f"raw_input_contents of {field}"))


def _other_type(message: pb.ModelInferRequest.InferInputTensor, spec: TensorSpec, field: str) -> Datatype:
    """The type of a tensor, where it is another one than the usual one."""
    for datatype in spec.also:
        if datatype == message.datatype:
            return datatype
    known = "" if message.datatype in KINDS else ", which is no type of tensors"
    raise InvalidRequest(f"{field}.datatype", f"is {_shown(message.datatype)!r}{known}; allowed: {spec_text(spec)}")


def _tensor_parameters(message: pb.ModelInferRequest.InferInputTensor, field: str) -> dict[str, Parameter]:
    parameters = plain(message.parameters, f"{field}.parameters")
    if _SHARED_MEMORY in parameters:
        raise InvalidRequest(
            f"{field}.parameters[{_SHARED_MEMORY}]", "is set; allowed: contents in the request, as no memory is shared"
        )
    parameters.pop("binary_data_size", None)  # of the protocol's HTTP: how long what follows is
    return parameters


def _outputs(
    wanted: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor], specs: Sequence[TensorSpec]
) -> tuple[tuple[str, ...], bool | None]:
    """Names, and whether they are to be raw; None if nothing is said."""
    if not wanted:
        return (), None
    known = [spec.name for spec in specs]
    found: list[str] = []
    raws: list[bool | None] = []
    for message in wanted:
        field = f"outputs[{_shown(message.name)}]"
        if message.name not in known:
            raise InvalidRequest(field, f"is not an output of this model; allowed: {', '.join(known)}")
        if message.name in found:
            raise InvalidRequest(field, "is there twice; allowed: each output once")
        found.append(message.name)
        raws.append(_binary(message, field))
    if len(set(raws)) > 1:
        raise InvalidRequest("outputs", "differ in binary_data; allowed: the same for each, as all are raw or none is")
    return tuple(found), raws[0]


def _binary(message: pb.ModelInferRequest.InferRequestedOutputTensor, field: str) -> bool | None:
    if not message.parameters:
        return None
    parameters = plain(message.parameters, f"{field}.parameters")
    if _SHARED_MEMORY in parameters:
        raise InvalidRequest(f"{field}.parameters[{_SHARED_MEMORY}]", "is set; allowed: unset, as no memory is shared")
    if "classification" in parameters:
        raise InvalidRequest(
            f"{field}.parameters[classification]",
            "is set; allowed: unset; models that classify have the outputs label and score, and the parameter top_k",
        )
    options = Options(parameters, f"{field}.parameters")
    binary = options.optional_flag("binary_data")
    options.done()
    return binary


def _shown(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:100]}..."


def texts(tensor: Tensor, field: str = "") -> list[str]:
    """The texts of a tensor of BYTES [n]. Raises InvalidRequest for one that is not UTF-8."""
    found: list[str] = []
    for index, element in enumerate(tensor.values.tolist()):
        try:
            found.append(element.decode())
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                field or f"inputs[{tensor.name}][{index}]",
                f"is not UTF-8 ({error.reason} at byte {error.start}); allowed: text in UTF-8",
            ) from None
    return found
