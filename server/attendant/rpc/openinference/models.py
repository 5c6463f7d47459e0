"""The model that a request names, looked up once: its full name, its version, and its port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from attendant_proto.openinference import inference_pb2 as pb
from attendant_proto.openinference import model_config_pb2 as config_pb

from attendant.core.caller import current_caller
from attendant.core.errors import InvalidRequest, ModelNotFound
from attendant.core.repository import ModelVersion, full_name
from attendant.frontend.front_end import FrontEnd
from attendant.models.repository import ModelRepository
from attendant.rpc.openinference.metadata import model_config, model_metadata, serving_versions
from attendant.rpc.openinference.methods import METHOD, NO_MODEL, Method, MethodPort
from attendant.rpc.openinference.options import TASK
from attendant.rpc.openinference.ports import Port
from attendant.rpc.openinference.registry import port_of, ports_of
from attendant.rpc.openinference.repository import with_routes
from attendant.rpc.openinference.statistics import all_statistics
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
        self._found: dict[tuple[str, str, str, tuple[str, ...] | None], Found] = {}
        self._changes = -1  # of the front end, as of which that holds

    @property
    def repository(self) -> ModelRepository:
        """How models come and go."""
        return self._front_end.repository

    def index(self) -> tuple[ModelVersion, ...]:
        """Every version of every model, and every route."""
        return with_routes(self._front_end.index(), self._front_end.list_models())

    def ready(self, name: str, version: str = "") -> bool:
        """Whether a model takes requests; false for one that does not exist."""
        try:
            return self._front_end.get_model(full_name(name, version)).ready
        except ModelNotFound:
            return False

    def metadata(self, name: str, version: str = "") -> pb.ModelMetadataResponse:
        """The tensors of a model. Raises ModelNotFound, ModelFailed, and Unavailable while it is being loaded."""
        info = self._front_end.served_model(full_name(name, version))
        versions = serving_versions(info.name, self.repository.index(), info.version)
        return model_metadata(info, ports_of(info, self._front_end), versions)

    def config(self, name: str, version: str = "") -> config_pb.ModelConfig:
        """How a model is served. Raises what :meth:`metadata` raises."""
        info = self._front_end.served_model(full_name(name, version))
        return model_config(info, ports_of(info, self._front_end), self.repository.policy(info.name))

    async def statistics(self, name: str = "", version: str = "") -> pb.ModelStatisticsResponse:
        """What a model has done, or every one: all its versions together, under the current one.

        Raises:
            ModelNotFound: there is none of this name or version.
            InvalidRequest: a route, whose calls are counted with the models that they come to.
        """
        every = self._front_end.list_models
        shown = [self._front_end.get_model(full_name(name, version))] if name else list(every())
        if name and shown[0].route is not None:
            raise InvalidRequest("name", f"is {name!r}, a route; allowed: a model, as its calls are counted there")
        told = sorted((info for info in shown if info.route is None), key=lambda info: info.current)
        versions = {info.name: info.version for info in told}  # of several the current one
        return all_statistics(versions, await asyncio.to_thread(self._front_end.figures))

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
        if self._changes != self._front_end.changes:
            self._found, self._changes = {}, self._front_end.changes
        key = name, version, _task(request), current_caller().models
        found = self._found.get(key)
        if found is None:
            info = self._front_end.served_model(full_name(name, version))
            port = port_of(info, self._front_end, key[2], self._recorder)
            found = self._found[key] = Found(full_name(name, version) or info.name, info.version, port)
        return found

    def _of_method(self, model: str) -> Found:
        version = self._front_end.served_model(model).version if model else ""
        return Found(model, version, MethodPort(self._methods, model))


def _task(request: pb.ModelInferRequest) -> str:
    if TASK not in request.parameters:
        return ""
    parameter = request.parameters[TASK]
    if parameter.WhichOneof("parameter_choice") != "string_param":
        raise InvalidRequest(f"parameters[{TASK}]", "is no text; allowed: one of the model's tasks")
    return str(parameter.string_param)
