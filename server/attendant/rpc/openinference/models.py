"""The model that a request names, looked up once: its full name, its version, and its port."""

from __future__ import annotations

from dataclasses import dataclass

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.core.repository import full_name
from attendant.frontend.front_end import FrontEnd
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo
from attendant.rpc.openinference.options import TASK
from attendant.rpc.openinference.ports import Port
from attendant.rpc.openinference.registry import port_of


@dataclass(frozen=True, slots=True)
class Found:
    """A model that takes requests.

    Attributes:
        name: as calls of the front end name it: with the version, if the request has one.
        version: which it is.
    """

    name: str
    version: str
    port: Port


def served(front_end: FrontEnd, name: str, version: str) -> ModelInfo:
    """A model of this server. Raises ModelNotFound, or ModelFailed where it cannot be served."""
    info = front_end.get_model(full_name(name, version))
    if isinstance(info, FailedModel):
        raise info.refusal()
    return info


def of_request(front_end: FrontEnd, request: pb.ModelInferRequest) -> Found:
    """The model of a request to infer.

    Raises:
        ModelNotFound, ModelFailed, Unavailable: it does not take requests.
        InvalidRequest: it does not do what the request names.
    """
    if not request.model_name and request.model_version:
        raise InvalidRequest("model_name", f"is empty beside model_version {request.model_version[:100]!r}")
    info = served(front_end, request.model_name, request.model_version)
    port = port_of(info, front_end, _task(request))
    name = full_name(request.model_name, request.model_version) or info.name
    return Found(name, info.manifest.version, port)


def _task(request: pb.ModelInferRequest) -> str:
    if TASK not in request.parameters:
        return ""
    parameter = request.parameters[TASK]
    if parameter.WhichOneof("parameter_choice") != "string_param":
        raise InvalidRequest(f"parameters[{TASK}]", "is no text; allowed: one of the model's tasks")
    return str(parameter.string_param)
