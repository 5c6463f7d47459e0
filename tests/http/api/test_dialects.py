"""Errors in the words of whoever asks: OpenAI's where its API is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from attendant.core import errors
from attendant.http.api.answers import error_answer
from attendant.http.api.openai.errors import OPENAI, openai_error
from attendant.http.app import app_of, http_app
from attendant.http.errors import STATUSES
from attendant.metrics import Metrics
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.http.api.known import EXAMPLES as BODIES
from tests.http.loop import Site
from tests.rpc.test_status import EXAMPLES, tree


@pytest.fixture(scope="module")
def loading() -> Iterator[Site]:
    """A server that has no models yet."""
    site = Site(http_app(Metrics(), lambda: False, front_end=lambda: None))
    yield site
    site.close()


def test_every_error_has_a_status() -> None:
    assert set(STATUSES) == set(tree(errors.AttendantError))


@pytest.mark.parametrize("kind", sorted(STATUSES, key=str))
def test_an_error_is_told_as_openai_tells_it(kind: type[errors.AttendantError]) -> None:
    answer = error_answer(OPENAI, kind(*EXAMPLES.get(kind, ("because",))))
    said = json.loads(bytes(answer.body))
    assert set(said) == {"error"}
    assert set(said["error"]) == {"message", "type", "param", "code"}
    assert said["error"]["message"]
    assert answer.status_code == STATUSES[kind]
    assert said["error"]["type"] == (
        "server_error"
        if STATUSES[kind] >= 500
        else "requests"
        if issubclass(kind, errors.Overloaded)
        else "invalid_request_error"
    )


def test_what_programs_look_for() -> None:
    too_long = openai_error(errors.ContextExceeded("prompt", "has 9 tokens; allowed: at most 7"), 400)["error"]
    assert (too_long["code"], too_long["param"]) == ("context_length_exceeded", "prompt")
    assert too_long["message"].startswith("this model's maximum context length is")  # what LiteLLM looks for
    unknown = openai_error(errors.ModelNotFound("x", ("a",)), 404)["error"]
    assert (unknown["code"], unknown["param"]) == ("model_not_found", "model")


def test_who_comes_too_early_or_too_often_hears_when_to_come_again(loading: Site) -> None:
    assert error_answer(OPENAI, errors.QueueFull("m", 8, 1.2)).headers["retry-after"] == "2"
    assert error_answer(OPENAI, errors.Draining("the server is shutting down")).headers["retry-after"] == "1"
    status, headers, body = loading.ask("/v1/models")
    assert (status, headers["retry-after"], json.loads(body)["error"]["type"]) == (503, "1", "server_error")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/messages", "stop"),
        ("/v1/messages/count_tokens", "reasoning_effort"),
        ("/v2/rerank", "top_k"),
        ("/v1/rerank", "top_k"),
        ("/rerank", "documents"),
        ("/embed", "prompt"),
        ("/tokenize", "text"),
        ("/detokenize", "token_ids"),
    ],
)
def test_a_field_that_is_not_known_is_told_as_it_was_sent(loading: Site, path: str, field: str) -> None:
    """The front end has fields of these names, which have others here."""
    answer = httpx.post(f"http://{loading.address}{path}", json={**BODIES[path], field: "x"})
    assert answer.status_code == 400
    assert f"{field} is not known" in answer.text


def test_a_field_of_a_form_that_is_not_known_is_told_as_it_was_sent(loading: Site) -> None:
    url = f"http://{loading.address}/v1/audio/translations"
    answer = httpx.post(url, data={"model": "m", "task": "x"}, files={"file": ("a.wav", b"noise")})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "task")


def test_a_path_that_is_not_there(loading: Site) -> None:
    status, headers, body = loading.ask("/v1/nothing")
    assert (status, headers["content-type"]) == (404, "application/json")
    assert json.loads(body)["error"]["message"] == "no such page: /v1/nothing"
    assert isinstance(json.loads(loading.ask("/v1x")[2])["error"], str)  # no API's


def test_a_method_that_is_not_allowed(loading: Site) -> None:
    status, headers, body = loading.ask("/v1/models", "POST")
    assert (status, set(headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_a_failure_and_an_error_that_escaped() -> None:
    async def fails(_: Request) -> Response:
        raise ValueError("the secret cause")

    async def escapes(_: Request) -> Response:
        raise errors.InvalidRequest("n", "is 0; allowed: 1")

    site = Site(app_of([Route("/v1/fails", fails), Route("/v1/escapes", escapes)]))
    status, _, body = site.ask("/v1/fails")
    assert (status, json.loads(body)["error"]["type"]) == (500, "server_error")
    assert b"secret" not in body
    status, _, body = site.ask("/v1/escapes")
    assert (status, json.loads(body)["error"]["param"]) == (400, "n")
    site.close()
