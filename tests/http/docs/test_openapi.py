"""The OpenAPI page says what the APIs take, and its files come from this server and this wheel."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import jsonschema
import pytest
from attendant.http.api.openinference.routes import openinference_routes
from attendant.http.api.routes import api_routes
from attendant.http.app import http_app
from attendant.http.docs.described import DESCRIBED
from attendant.http.docs.openapi import openapi_page, path_of
from attendant.http.docs.routes import docs_files
from attendant.http.health import api_health_routes
from attendant.metrics import Metrics
from hatchling.builders.wheel import WheelBuilder
from starlette.routing import Route

from tests.http.loop import HANGS_S, Site

REPOSITORY = Path(__file__).parents[3]
WITHOUT_BODY = {"/ping"}
"""Paths that are posted to with nothing."""


def never() -> Any:
    raise AssertionError("nobody calls")


def every_route() -> list[Route]:
    return [*api_health_routes(lambda: True, lambda: None), *api_routes(never), *openinference_routes(never)]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site(http_app(Metrics(), lambda: False, front_end=lambda: None, inference=lambda: None))
    yield site
    site.close()


@pytest.fixture(scope="module")
def page(site: Site) -> Any:
    status, content_type, body = site.get("/openapi.json")
    assert (status, content_type) == (200, "application/json")
    return json.loads(body)


def test_every_path_that_is_described_is_there() -> None:
    assert set(DESCRIBED) <= {path_of(route) for route in every_route()}


def test_every_path_is_on_the_page_with_all_its_methods(page: Any) -> None:
    wanted: dict[str, set[str]] = {}
    for route in every_route():
        wanted.setdefault(path_of(route), set()).update({each.lower() for each in route.methods or ()} - {"head"})
    assert {path: set(methods) for path, methods in page["paths"].items()} == wanted


def test_every_call_says_what_it_does_and_what_it_takes(page: Any) -> None:
    lacking = []
    for path, methods in page["paths"].items():
        for method, told in methods.items():
            shared = "sharedmemory" in path  # refused, whatever is sent
            if not told["summary"] or (
                method == "post" and "requestBody" not in told and not shared and path not in WITHOUT_BODY
            ):
                lacking.append(f"{method} {path}")
    assert not lacking


def test_operations_have_names_of_their_own(page: Any) -> None:
    names = [told["operationId"] for methods in page["paths"].values() for told in methods.values()]
    assert len(set(names)) == len(names)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "$ref":
                yield each
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_schemas_are_schemas_and_references_lead_somewhere(page: Any) -> None:
    schemas = page["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert {each.removeprefix("#/components/schemas/") for each in references(page)} <= set(schemas)


def test_bodies_of_the_documentation_fit_their_schemas(page: Any) -> None:
    audio = page["paths"]["/v1/audio/transcriptions"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert jsonschema.Draft202012Validator(audio).is_valid({"model": "m", "file": "sound"})
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    schema = page["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    check = jsonschema.Draft202012Validator({**schema, "components": page["components"]})
    assert check.is_valid(body)
    assert not check.is_valid({**body, "unknown": 1})
    assert not check.is_valid({**body, "n": "two"})


def test_a_route_without_description_is_told_by_its_own_words() -> None:
    async def endpoint(_: Any) -> Any:
        """Does something."""

    told = openapi_page([Route("/x/{name:path}", endpoint)])["paths"]["/x/{name}"]["get"]
    assert (told["summary"], told["parameters"][0]["name"]) == ("Does something.", "name")


def test_large_files_come_packed_or_not_as_asked(site: Site) -> None:
    url = f"http://{site.address}/docs/swagger-ui.css"
    packed = urlopen(Request(url, headers={"accept-encoding": "gzip, br"}), timeout=HANGS_S)
    assert packed.headers["content-encoding"] == "gzip"
    plain = urlopen(url, timeout=HANGS_S)
    assert plain.headers["content-encoding"] is None
    assert gzip.decompress(packed.read()) == plain.read()
    assert "default-src 'none'" in plain.headers["content-security-policy"]


def test_without_apis_there_is_no_page() -> None:
    site = Site(http_app(Metrics(), lambda: True))
    assert site.get("/docs")[0] == site.get("/openapi.json")[0] == site.get("/v1/models")[0] == 404
    site.close()


def test_the_wheel_has_every_file(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(REPOSITORY)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        for name, body in docs_files().items():
            assert archive.read(f"attendant/http/docs/static/{name}") == body
