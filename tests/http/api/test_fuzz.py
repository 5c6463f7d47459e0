"""The paths that random bodies are drawn for are all that there are; `tests/fuzz` asks them."""

from __future__ import annotations

import re
from typing import NoReturn

from attendant.core.errors import Unavailable
from attendant.http.api.openinference.routes import openinference_routes
from attendant.http.api.routes import api_routes

from tests.http.api.known import BODIES


def loading() -> NoReturn:
    raise Unavailable("there are no models")


def test_every_path_that_takes_a_body_is_known() -> None:
    routes = [*api_routes(loading), *openinference_routes(loading)]
    paths = {re.sub(r":path}", "}", route.path) for route in routes if "POST" in (route.methods or ())}
    of_versions = {path for path in paths if "{version}" in path}
    refused = {path for path in paths if "shared" in path or "shared_memory" in path}
    without = {"/ping"}
    assert paths - of_versions - refused - without == set(BODIES)
