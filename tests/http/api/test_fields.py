"""Every field of every body, over a real server: what it cannot be is refused by its name, and null is no wish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.http.api.fuzz import is_told, served
from tests.http.api.known import BODIES, EXAMPLES, ONE_OF_TWO
from tests.system.server import HANGS_S, ServerProcess

PATHS = sorted(set(EXAMPLES) - {"/rerank"})
"""/rerank reads two APIs' bodies, each as its own path does."""

METADATA = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key"})
"""They describe a call for whoever keeps them; nothing depends on what they are."""

MADE_ANEW = re.compile(
    r'"(id|request_id|created|created_at|completed_at|cached_tokens|input_tokens|cache_read_input_tokens)":[^,}]*'
    r'|"[a-z]+_[0-9a-f]{32}[^"]*"'
)
"""What of an answer is another one each time, or depends on what is cached."""

WRONG: Any = {"no": [{"field": None}]}
OTHERWISE_WRONG: Any = {"guided_json": 5}
"""What no field is, and what those are not that may be any object."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the demo models and a tiny encoder for each task."""
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


def fields(path: str) -> dict[str, Any]:
    """Schemas of the fields of a path's body."""
    found: dict[str, Any] = BODIES[path].model_json_schema().get("properties", {})
    return found


def asked(server: ServerProcess, path: str, values: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Status and text of the answers to the path's example, each with one other field."""
    place = path.replace("{model}", "demo" if "generate" in path else "moods")
    found = {}
    with httpx.Client(base_url=server.http, timeout=HANGS_S) as plain:
        for name, value in values.items():
            response = plain.post(place, json={**EXAMPLES[path], name: value})
            found[name] = response.status_code, response.text
            assert response.status_code == 200 or is_told(path, response.json())
    return found


@pytest.mark.parametrize("path", PATHS)
def test_what_a_field_cannot_be_is_refused_by_its_name(server: ServerProcess, path: str) -> None:
    wrong = {name: OTHERWISE_WRONG.get(name, WRONG) for name in fields(path) if name not in METADATA}
    found = asked(server, path, wrong)
    assert {name: said for name, said in found.items() if said[0] != 400 or name not in said[1]} == {}


@pytest.mark.parametrize("path", PATHS)
def test_null_is_no_wish(server: ServerProcess, path: str) -> None:
    optional = {name: None for name, schema in fields(path).items() if schema.get("default", 0) is None}
    found = asked(server, path, {name: None for name in optional if name not in EXAMPLES[path]})
    assert {name: said for name, said in found.items() if said[0] != 200 and path not in ONE_OF_TWO} == {}


@pytest.mark.parametrize("path", [path for path in PATHS if not METADATA.isdisjoint(fields(path))])
def test_metadata_changes_nothing(server: ServerProcess, path: str) -> None:
    said = {name: {"a": "b"} if name == "metadata" else "u-1" for name in METADATA & set(fields(path))}
    if path.startswith("/v1/messages"):
        said["metadata"] = {"user_id": "u-1"}
    found = asked(server, path, {**said, "model": EXAMPLES[path]["model"]})
    assert {status for status, _ in found.values()} == {200}
    texts = {MADE_ANEW.sub("", text).replace('{"a":"b"}', "{}").replace('"u-1"', "null") for _, text in found.values()}
    assert len(texts) == 1


@pytest.mark.parametrize("path", PATHS)
def test_a_field_that_is_not_known_is_refused(server: ServerProcess, path: str) -> None:
    if "/generate" in path:
        pytest.skip("inputs and parameters have names of their own")
    ((status, text),) = asked(server, path, {"no_such_field": 1}).values()
    assert (status, "no_such_field" in text) == (400, True)
