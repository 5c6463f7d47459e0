"""Makes the OpenAPI page of routes from the pydantic bodies that they take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from attendant import __version__
from attendant.http.docs.described import DESCRIBED, PROTOCOL, VLLM, Described

VERSION = "3.1.0"
"""Of OpenAPI: the one whose schemas are JSON schemas as pydantic writes them."""

_CONVERTER = re.compile(r"\{(\w+)(?::\w+)?\}")
_JSON, _EVENTS, _FORM = "application/json", "text/event-stream", "multipart/form-data"
_ERRORS = {
    "400": "The request breaks a rule; the error names the field.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "429": "The model's queue is full; retry-after says when to come again.",
    "503": "The server is loading, draining, or cannot serve the model.",
}


def openapi_page(routes: Sequence[Route]) -> dict[str, Any]:
    """The page. A path without a description is told by its endpoint's own words."""
    listed = [(path_of(route), route) for route in routes]
    described = {path: DESCRIBED.get(path) or _by_itself(path, route) for path, route in listed}
    bodies = list(dict.fromkeys([each.body for each in described.values() if each.body is not None]))
    template = "#/components/schemas/{model}"
    schemas, definitions = models_json_schema([(body, "validation") for body in bodies], ref_template=template)
    paths: dict[str, dict[str, Any]] = {}
    for path, route in listed:
        told = described[path]
        schema = None
        if told.body is not None:
            schema = schemas[(told.body, "validation")]
            if told.form:
                schema = _with_file(definitions["$defs"][schema["$ref"].rpartition("/")[2]])
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(path, method, told, schema)
    about = {"title": "Attendant", "version": __version__, "description": "What others' HTTP clients may call."}
    return {
        "openapi": VERSION,
        "info": about,
        "paths": paths,
        "components": {"schemas": definitions.get("$defs", {})},
    }


def path_of(route: Route) -> str:
    """The path of a route as OpenAPI writes it."""
    return _CONVERTER.sub(r"{\1}", route.path)


def _by_itself(path: str, route: Route) -> Described:
    words = (getattr(route.endpoint, "__doc__", None) or "").strip().partition("\n")[0]
    return Described(PROTOCOL if path.startswith("/v2") else VLLM, words)


def _operation(path: str, method: str, told: Described, schema: dict[str, Any] | None) -> dict[str, Any]:
    answers: dict[str, Any] = {_JSON: {}} | ({_EVENTS: {}} if told.streams else {})
    found: dict[str, Any] = {
        "tags": [told.group],
        "summary": told.summary,
        "operationId": f"{method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', path)}",
        "responses": {"200": {"description": "The answer.", "content": answers}},
    }
    names = _CONVERTER.findall(path)
    if names:
        text = {"type": "string"}
        found["parameters"] = [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
    if method == "POST" and schema is not None:
        kind = _FORM if told.form else _JSON
        found["requestBody"] = {"required": True, "content": {kind: {"schema": schema}}}
        found["responses"] |= {status: {"description": words} for status, words in _ERRORS.items()}
    return found


def _with_file(schema: dict[str, Any]) -> dict[str, Any]:
    """A body's own schema, as a form that has a file, too."""
    file = {"type": "string", "format": "binary"}
    return {
        **schema,
        "properties": {"file": file, **schema["properties"]},
        "required": ["file", *schema.get("required", ())],
    }
