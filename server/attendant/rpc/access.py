"""What each method of gRPC takes of its caller, and what a call shows of who makes it. Methods that are not named here
take the right to ask models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from attendant.core.caller import Caller, Right
from attendant.core.context import CallContext
from attendant.security.door import Door, Shown, bearer_token

AUTHORIZATION = "authorization"
OPEN = frozenset(
    (
        *("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/List"),
        *("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady"),
    )
)
"""For everyone: they say whether the server, or a model, takes calls."""

_LOOKS = {
    "attendant.v1.Models": ("ListModels", "GetModel", "Index", "Load", "Unload"),
    "inference.GRPCInferenceService": (
        *("ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex"),
        *("RepositoryModelLoad", "RepositoryModelUnload", "LogSettings", "TraceSetting"),
    ),
    "tei.v1.Info": ("Info",),
    "xds.service.orca.v3.OpenRcaService": ("StreamCoreMetrics",),
    "vllm.grpc.engine.VllmEngine": ("HealthCheck", "GetModelInfo", "GetServerInfo", "GetLoads"),
    "grpc.reflection.v1.ServerReflection": ("ServerReflectionInfo",),
    "grpc.reflection.v1alpha.ServerReflection": ("ServerReflectionInfo",),
}
KNOWN = frozenset(f"/{service}/{method}" for service, methods in _LOOKS.items() for method in methods)
"""For everybody who is known. Those that change something ask for more where they do it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The door of one method. ``right``: that its calls take; None: anybody who is known may make them."""

    door: Door
    method: str
    right: Right | None

    @classmethod
    def of(cls, door: Door | None, method: str) -> Entry | None:
        """None: everyone may make these calls."""
        if door is None or method in OPEN:
            return None
        return cls(door, method, None if method in KNOWN else Right.INFER)

    def is_stranger(self, metadata: Iterable[tuple[str, Any]]) -> bool:
        """Whether a call with these metadata will be refused, so that its messages need not be read."""
        return self.door.is_stranger(_token(metadata))

    def admit(self, context: Any, call: CallContext) -> Caller:
        """Who makes a call; ``context`` is gRPC's. Raises Unauthenticated, NotPermitted."""
        token = _token(context.invocation_metadata() or ())
        shown = Shown(token, lambda: _names(context), call.client, self.method, call.request_id)
        return self.door.admit(shown, self.right)


def _token(metadata: Iterable[tuple[str, Any]]) -> str | None:
    return bearer_token(next((value for key, value in metadata if key == AUTHORIZATION), None))


def _names(context: Any) -> Sequence[str]:
    """What the certificate of a call's connection is for: URIs, then DNS names; the common name of one for neither."""
    found = context.auth_context()
    names = (*found.get("peer_uri", ()), *found.get("peer_dns", ())) or found.get("x509_common_name", ())
    return [name.decode(errors="replace") for name in names]
