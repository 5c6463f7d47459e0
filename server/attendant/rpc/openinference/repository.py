"""The repository extension: which versions there are, and how models come and go by calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.core.repository import ModelVersion, VersionState, split_name
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo

STATES = {
    VersionState.UNAVAILABLE: "UNAVAILABLE",
    VersionState.LOADING: "LOADING",
    VersionState.READY: "READY",
    VersionState.DRAINING: "UNLOADING",
    VersionState.FAILED: "UNAVAILABLE",
}


def index_response(request: pb.RepositoryIndexRequest, index: Sequence[ModelVersion]) -> pb.RepositoryIndexResponse:
    """The versions that there are. Raises InvalidRequest for another repository."""
    _check_repository(request.repository_name)
    shown = [each for each in index if each.state is VersionState.READY or not request.ready]
    return pb.RepositoryIndexResponse(
        models=[
            pb.RepositoryIndexResponse.ModelIndex(
                name=each.name, version=each.version, state=STATES[each.state], reason=each.cause
            )
            for each in shown
        ]
    )


def named(request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest) -> tuple[str, str]:
    """Name and version of the model that a request to load or unload names.

    Raises:
        InvalidRequest: it names none, or another repository, or a parameter that is not known.
    """
    _check_repository(request.repository_name)
    if not request.model_name:
        raise InvalidRequest("model_name", "is empty; allowed: the name of a model, or name@version")
    dependents = "unload_dependents"  # what clients send with every request to unload
    for name, value in request.parameters.items():
        if name == dependents and isinstance(request, pb.RepositoryModelUnloadRequest) and not value.bool_param:
            continue
        allowed = "false" if name == dependents else "none: a model is loaded as the repository has it"
        raise InvalidRequest(f"parameters[{name[:100]}]", f"is set; allowed: {allowed}")
    return split_name(request.model_name)


def with_routes(index: Sequence[ModelVersion], models: Iterable[ModelInfo | FailedModel]) -> tuple[ModelVersion, ...]:
    """The versions that there are, and after them the routes, which callers name as they name models."""
    return *index, *(_of_route(info) for info in models if info.route is not None)


def _of_route(info: ModelInfo | FailedModel) -> ModelVersion:
    state = VersionState.READY if info.ready else VersionState.FAILED
    return ModelVersion(info.name, "", state, info.route.cause if info.route is not None else "", current=True)


def _check_repository(name: str) -> None:
    if name:
        raise InvalidRequest("repository_name", f"is {name[:100]!r}; allowed: empty, as there is one repository")
