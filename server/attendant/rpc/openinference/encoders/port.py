"""A model that encodes, behind named tensors: what all of its tasks have in common."""

from __future__ import annotations

import asyncio
import json
import re
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import json_format

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.request import StepTime
from attendant.frontend.encoding.calls import Encoded, EncodingUsage
from attendant.frontend.encoding.service import EncodingService
from attendant.models.info import EncodingInfo
from attendant.rpc.convert_receipt import seal
from attendant.rpc.openinference.contents import objects
from attendant.rpc.openinference.encoders.recorded import typed_request
from attendant.rpc.openinference.encoders.specs import DATA, inputs_of, outputs_of
from attendant.rpc.openinference.options import Options
from attendant.rpc.openinference.ports import (
    Datatype,
    InferAnswer,
    InferCall,
    Parameter,
    SinglePort,
    Tensor,
    TensorSpec,
)
from attendant.rpc.openinference.single import is_large
from attendant.rpc.sizes import MANY_RESULTS
from attendant.traffic.recorder import Recorder

MOST = 2**31 - 1
"""Of a whole number among the parameters; what is allowed of each, the front end says."""

_FIELD = re.compile(r"(\w+)(\[\d+\])?(?:\.(\w+))?")


class Work(NamedTuple):
    """What a request asks of a model, read.

    Attributes:
        run: computes it.
        write: makes tensors of what was computed; the outputs that it gives are ``gives``.
        message: the same as a response of attendant.v1, of which a receipt tells.
        asked: the call of the front end, where it can have a receipt.
        fields: names of inputs, by what the front end calls them.
        size: how many results were computed, as far as writing them goes.
    """

    run: Callable[[CallContext], Awaitable[Encoded[Any]]]
    write: Callable[[Encoded[Any]], Iterable[Tensor]]
    gives: Sequence[str]
    message: Callable[[Encoded[Any]], Any] | None = None
    asked: Any = None
    fields: Mapping[str, str] = MappingProxyType({})
    size: Callable[[Sequence[Any]], int] = len


class EncoderPort(SinglePort):
    """One task of a model. ``recorder``: keeps some of the calls."""

    def __init__(self, info: EncodingInfo, service: EncodingService, recorder: Recorder | None = None) -> None:
        self._recorder = recorder
        self.manifest = info.manifest
        self.service = service
        self.inputs: tuple[TensorSpec, ...] = inputs_of(info.manifest)
        self.outputs: tuple[TensorSpec, ...] = outputs_of(info.manifest)
        self._ways = [spec.name for spec in self.inputs if spec.name in DATA]

    @abstractmethod
    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """What a request asks for. ``way``: its input of DATA. Raises InvalidRequest."""

    async def only(self, call: InferCall, context: CallContext) -> InferAnswer:
        """See :class:`attendant.rpc.openinference.ports.SinglePort`."""
        if call.tensor_parameters:
            name, parameters = next(iter(call.tensor_parameters.items()))
            raise InvalidRequest(f"inputs[{name}].parameters[{next(iter(parameters))}]", "is not known; allowed: none")
        way, options = self._way(call), Options(call.parameters)
        usage, receipt = options.flag("usage"), options.flag("receipt")
        recorder = self._recorder if self._recorder is not None and self._recorder.wants() else None
        reading = partial(self.read, call, way, options, receipt=receipt or recorder is not None)
        work = await asyncio.to_thread(reading) if is_large(call) else reading()
        options.done()
        if receipt and work.message is None:
            raise InvalidRequest("parameters[receipt]", f"is true; allowed: false, for {way} of a model like this")
        self._check_given(call, work, way)
        try:
            encoded = await work.run(context)
        except InvalidRequest as error:
            raise on_wire(error, work.fields, call.parameters) from None
        many = work.size(encoded.results) > MANY_RESULTS
        tensors, message = await asyncio.to_thread(_written, work, encoded) if many else _written(work, encoded)
        parameters = _usage(encoded.usage) if usage else {}
        if message is not None:
            if receipt:
                parameters["receipt"] = _as_json(message.receipt)
            if recorder is not None and (typed := typed_request(work.asked)) is not None:
                recorder.keep(typed, [message])
        return InferAnswer(tensors, parameters, last=True)

    def _way(self, call: InferCall) -> str:
        found = [name for name in self._ways if name in call.inputs]
        if len(found) == 1:
            return found[0]
        said = f"are {' and '.join(found)}" if found else "have none that a model works on"
        raise InvalidRequest("inputs", f"{said}; allowed: one of {', '.join(self._ways)}")

    def _check_given(self, call: InferCall, work: Work, way: str) -> None:
        """Who names all that the metadata tells of, as perf_analyzer does, gets of them what there is."""
        if {spec.name for spec in self.outputs} <= set(call.outputs):
            return
        for name in call.outputs:
            if name not in work.gives:
                raise InvalidRequest(
                    f"outputs[{name}]",
                    f"is not given for this request, of {way} and its parameters; allowed: {', '.join(work.gives)}",
                )


def on_wire(error: InvalidRequest, fields: Mapping[str, str], parameters: Mapping[str, Parameter]) -> InvalidRequest:
    """The error as callers of the protocol know its field."""
    found = _FIELD.match(error.field)
    own, index, inner = found.groups() if found is not None else ("", None, None)
    tensor = fields.get(f"{own}.{inner}") or fields.get(own)
    if tensor is not None:
        return InvalidRequest(f"inputs[{tensor}]{index or ''}", error.reason)
    if own == "model":
        return InvalidRequest("model_name", error.reason)
    return InvalidRequest(f"parameters[{own}]", error.reason) if own in parameters else error


def only_with(call: InferCall, way: str, *names: str) -> None:
    """Raises InvalidRequest for an input beside ``way`` that does not go with it; those of ``names`` do."""
    for name in call.inputs:
        if name != way and name not in names:
            raise InvalidRequest(
                f"inputs[{name}]", f"is beside {way}; allowed with it: {', '.join(names) or 'nothing'}"
            )


def same_length(call: InferCall, name: str, other: str) -> None:
    """Raises InvalidRequest unless two inputs have as many entries."""
    first, second = (len(call.inputs[each].values) for each in (name, other))
    if first != second:
        raise InvalidRequest(f"inputs[{other}].shape", f"is [{second}]; allowed: [{first}], that of {name}")


def numbers(name: str, datatype: Datatype, values: Any, *shape: int) -> Tensor:
    """A tensor of numbers. ``shape``: where there may be none of them."""
    array = np.asarray(values, {"INT64": np.int64, "FP32": np.float32}[datatype])
    return Tensor(name, datatype, array.reshape(shape) if shape else array)


def strings(name: str, values: Sequence[str], *shape: int) -> Tensor:
    """A tensor of texts, [n] or ``shape``."""
    array = objects([value.encode() for value in values])
    return Tensor(name, "BYTES", array.reshape(shape) if shape else array)


def _written(work: Work, encoded: Encoded[Any]) -> tuple[tuple[Tensor, ...], Any]:
    """The tensors, and the message of which the receipt tells; None where there is none."""
    tensors = tuple(work.write(encoded))
    if encoded.receipt is None or work.message is None:
        return tensors, None
    message = work.message(encoded)
    seal(message, encoded.receipt)
    return tensors, message


def _usage(usage: EncodingUsage) -> dict[str, Parameter]:
    return {
        "num_tokens": usage.num_tokens,
        "num_truncated": usage.num_truncated,
        "queue_s": usage.queue_ns / 1e9,
        "preprocess_s": usage.preprocess_ns / 1e9,
        "compute_s": usage.compute_ns / 1e9,
        "total_s": usage.total_ns / 1e9,
        **({"steps": json.dumps([_step(step) for step in usage.steps])} if usage.steps else {}),
    }


def _step(step: StepTime) -> dict[str, str | float]:
    """What a route led to, and how long it took."""
    return {"name": step.name, "model": step.model, "began_s": step.began_ns / 1e9, "took_s": step.took_ns / 1e9}


def _as_json(message: Any) -> str:
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
