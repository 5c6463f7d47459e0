"""Random bodies for every endpoint of a real server, for a while; `python -m tests.http.api.fuzz` goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import NoReturn

import httpx
import pytest
from attendant.core.errors import Unavailable
from attendant.http.api.openinference.routes import openinference_routes
from attendant.http.api.routes import api_routes

from tests.http.api.fuzz import fuzz, served
from tests.http.api.known import BODIES, EXAMPLES, ONE_OF_TWO
from tests.system.server import HANGS_S, ServerProcess

SECONDS = 4.0


def loading() -> NoReturn:
    raise Unavailable("there are no models")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the demo models and a tiny encoder for each task."""
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


def test_every_path_that_takes_a_body_is_known() -> None:
    routes = [*api_routes(loading), *openinference_routes(loading)]
    paths = {re.sub(r":path}", "}", route.path) for route in routes if "POST" in (route.methods or ())}
    of_versions = {path for path in paths if "{version}" in path}
    refused = {path for path in paths if "shared" in path or "shared_memory" in path}
    without = {"/ping"}
    assert paths - of_versions - refused - without == set(BODIES)


@pytest.mark.parametrize("path", sorted(set(EXAMPLES) - ONE_OF_TWO))
def test_examples_are_answered(server: ServerProcess, path: str) -> None:
    model = "demo" if "generate" in path else "moods"
    found = httpx.post(server.http + path.replace("{model}", model), json=EXAMPLES[path], timeout=HANGS_S)
    assert found.status_code == 200, found.text


def test_no_body_does_any_harm(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    bad = asyncio.run(fuzz(server.http, SECONDS, seed=3))
    assert bad == []
    assert "Traceback" not in server.log()
    assert " calls, " in capsys.readouterr().out
