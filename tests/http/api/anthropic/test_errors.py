"""Every error as Anthropic's clients, Cohere's and TEI's hear it."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from attendant.core import errors
from attendant.http.api.answers import error_answer
from attendant.http.api.anthropic.errors import ANTHROPIC
from attendant.http.api.rerank.errors import COHERE
from attendant.http.api.routes import dialect_of
from attendant.http.api.tei.errors import TEI
from attendant.http.errors import STATUSES

from tests.rpc.test_status import EXAMPLES

KINDS = sorted(STATUSES, key=str)


def told(kind: type[errors.AttendantError], dialect: object) -> tuple[int, dict[str, Any]]:
    answer = error_answer(dialect, kind(*EXAMPLES.get(kind, ("because",))))  # type: ignore[arg-type]
    return answer.status_code, json.loads(bytes(answer.body))


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_one_that_anthropics_client_knows(kind: type[errors.AttendantError]) -> None:
    status, body = told(kind, ANTHROPIC)
    assert status == STATUSES[kind]
    assert set(body) == {"type", "error", "request_id"}
    if kind is not errors.TooLarge:  # whose type is in Anthropic's documentation, and not in its client
        anthropic.types.ErrorResponse.model_validate(body)
    said = body["error"]
    expected = {
        "InvalidRequest": "invalid_request_error",
        "ContextExceeded": "invalid_request_error",
        "NotOffered": "invalid_request_error",
        "RequestCancelled": "invalid_request_error",
        "StreamNeeded": "invalid_request_error",
        "ModelNotFound": "not_found_error",
        "NotAllowed": "permission_error",
        "TooLarge": "request_too_large",
        "Unauthenticated": "authentication_error",
        "NotPermitted": "permission_error",
        "Overloaded": "rate_limit_error",
        "QueueFull": "rate_limit_error",
        "WouldBeLate": "rate_limit_error",
        "DeadlineExceeded": "timeout_error",
        "ModelFailed": "overloaded_error",
        "Unavailable": "overloaded_error",
        "Draining": "overloaded_error",
        "EngineDead": "overloaded_error",
    }
    assert said["type"] == expected.get(kind.__name__, "api_error")
    assert said["message"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_as_coheres_and_teis_callers_hear_it(kind: type[errors.AttendantError]) -> None:
    assert set(told(kind, COHERE)[1]) == {"id", "message"}
    assert set(told(kind, TEI)[1]) == {"error", "error_type"}


def test_a_body_that_is_no_json_and_a_method_that_is_not_allowed() -> None:
    for status in (405, 415):
        answer = error_answer(ANTHROPIC, errors.AttendantError("because"), status)
        assert json.loads(bytes(answer.body))["error"]["type"] == "invalid_request_error"


def test_fields_have_the_names_that_callers_know() -> None:
    def words(error: errors.InvalidRequest, path: str) -> str:
        dialect = dialect_of(path)
        assert dialect is not None
        return json.dumps(dialect.body_of(error, 400))

    assert "stop_sequences[1] is empty" in words(errors.InvalidRequest("stop[1]", "is empty"), "/v1/messages")
    assert "prompt is too long: messages has 9" in words(errors.ContextExceeded("chat", "has 9"), "/v1/messages")
    assert "top_n is 0" in words(errors.InvalidRequest("top_k", "is 0"), "/v2/rerank")
    assert "texts[3] is" in words(errors.InvalidRequest("documents[3]", "is"), "/rerank")
