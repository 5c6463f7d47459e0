"""Models that come and go by calls: which one is meant, and what there is, as messages."""

from __future__ import annotations

import math
from collections.abc import Iterable

from attendant_proto.v1 import models_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.core.repository import ModelVersion, VersionState, split_name

STATES = {
    VersionState.UNAVAILABLE: pb.MODEL_STATE_UNLOADED,
    VersionState.LOADING: pb.MODEL_STATE_LOADING,
    VersionState.READY: pb.MODEL_STATE_READY,
    VersionState.DRAINING: pb.MODEL_STATE_DRAINING,
    VersionState.FAILED: pb.MODEL_STATE_FAILED,
}


def meant(request: pb.LoadRequest | pb.UnloadRequest) -> tuple[str, str]:
    """Name and version of the model that is meant, the version empty if there is none.

    Raises:
        InvalidRequest: no name, or a version twice.
    """
    name, version = split_name(request.model)
    if not name:
        raise InvalidRequest("model", "is empty; allowed: the name of a model")
    if version and request.version not in ("", version):
        raise InvalidRequest(
            "version", f"is {request.version[:100]!r}, and model names {version[:100]!r}; allowed: one of them"
        )
    return name, version or request.version


def drain_timeout_s(request: pb.UnloadRequest) -> float | None:
    """Seconds that calls may go on, None if it is not said. Raises InvalidRequest."""
    if not request.HasField("drain_timeout_s"):
        return None
    value = request.drain_timeout_s
    if not (math.isfinite(value) and value >= 0):
        raise InvalidRequest("drain_timeout_s", f"is {value:g}; allowed: 0 or more seconds")
    return value


def version_messages(versions: Iterable[ModelVersion]) -> list[pb.ModelVersion]:
    """One for each."""
    return [
        pb.ModelVersion(
            model=each.name,
            version=each.version,
            state=STATES[each.state],
            cause=each.cause,
            current=each.current,
        )
        for each in versions
    ]
