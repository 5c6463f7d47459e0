"""Routes whose parts are names of models: a name may have any characters, percent-encoded, and slashes as they are."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import Scope

MODEL, VERSION = "model", "version"


class EncodedRoute(Route):
    """A route that looks at the path as it was sent: an encoded slash in a name does not part the path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette does; parameters come decoded."""
        raw = scope.get("raw_path")
        if scope["type"] != "http" or raw is None:
            return super().matches(scope)
        match, found = super().matches({**scope, "path": raw.partition(b"?")[0].decode("latin-1")})
        parameters: dict[str, Any] = found.get("path_params", {})
        return match, {**found, "path_params": {name: unquote(value) for name, value in parameters.items()}}


def model_of(request: Request) -> tuple[str, str]:
    """Name and version of the model that a path names; the version is empty where it names none."""
    return request.path_params.get(MODEL, ""), request.path_params.get(VERSION, "")
