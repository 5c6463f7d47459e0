"""The model that a request names, looked up once: its full name, its version, and its port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.core.repository import full_name, split_name
from attendant.frontend.front_end import FrontEnd
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo
from attendant.rpc.openinference.methods import METHOD, NO_MODEL, Method, MethodPort
from attendant.rpc.openinference.options import TASK
from attendant.rpc.openinference.ports import Port
from attendant.rpc.openinference.registry import port_of
from attendant.traffic.recorder import Recorder


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


class Models:
    """The models of a server as requests name them.

    Args:
        methods: of attendant.v1, which requests may name, whatever the model.
        recorder: keeps some of the calls.
    """

    def __init__(
        self, front_end: FrontEnd, methods: Mapping[str, Method] | None = None, recorder: Recorder | None = None
    ) -> None:
        self._front_end = front_end
        self._methods = methods or {}
        self._recorder = recorder

    def of_request(self, request: pb.ModelInferRequest) -> Found:
        """The model of a request to infer.

        Raises:
            ModelNotFound, ModelFailed, Unavailable: it does not take requests.
            InvalidRequest: it does not do what the request names.
        """
        name, version = request.model_name, request.model_version
        if not name and version:
            raise InvalidRequest("model_name", f"is empty beside model_version {version[:100]!r}")
        if METHOD in request.parameters:
            return self._of_method("" if name == NO_MODEL else full_name(name, version))
        info = served(self._front_end, name, version)
        port = port_of(info, self._front_end, _task(request), self._recorder)
        return Found(full_name(name, version) or info.name, info.manifest.version, port)

    def _of_method(self, model: str) -> Found:
        version = served(self._front_end, *split_name(model)).manifest.version if model else ""
        return Found(model, version, MethodPort(self._methods, model))


def _task(request: pb.ModelInferRequest) -> str:
    if TASK not in request.parameters:
        return ""
    parameter = request.parameters[TASK]
    if parameter.WhichOneof("parameter_choice") != "string_param":
        raise InvalidRequest(f"parameters[{TASK}]", "is no text; allowed: one of the model's tasks")
    return str(parameter.string_param)
