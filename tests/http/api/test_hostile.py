"""Bodies drawn for a schema reach what it describes, and beyond; shapes of errors are told apart."""

from __future__ import annotations

import json
import random
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from tests.http.api.fuzz import is_told
from tests.http.api.hostile import Hostile


class Part(BaseModel):
    kind: Literal["text"]
    text: str


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    parts: list[Part] | str
    temperature: float | None = None
    stop: list[str] | None = None
    bias: dict[str, float] | None = None


def test_bodies_are_now_right_now_wrong_now_no_json() -> None:
    schema = Body.model_json_schema()
    hostile = Hostile(random.Random(1), ["demo"])
    right = wrong = broken = 0
    for _ in range(2000):
        body = hostile.body(schema, schema["$defs"])
        try:
            Body.model_validate_json(body)
            right += 1
        except ValidationError as error:
            broken += error.errors()[0]["type"] == "json_invalid"
            wrong += error.errors()[0]["type"] != "json_invalid"
    assert min(right, wrong, broken) > 50


def test_the_same_chance_draws_the_same() -> None:
    schema = Body.model_json_schema()

    def drawn() -> list[bytes]:
        hostile = Hostile(random.Random(7), ["demo"])
        return [hostile.body(schema, schema["$defs"]) for _ in range(50)]

    assert drawn() == drawn()


OPENAI: Any = {"error": {"message": "m", "type": "invalid_request_error", "param": None, "code": None}}
ANTHROPIC: Any = {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/chat/completions", OPENAI, True),
        ("/v1/messages", ANTHROPIC, True),
        ("/v2/rerank", {"message": "m"}, True),
        ("/v2/models/m/infer", {"error": "m"}, True),
        ("/v1/messages", OPENAI, False),
        ("/v1/chat/completions", ANTHROPIC, False),
        ("/v1/chat/completions", {"error": "m"}, False),
        ("/v2/models/m/infer", OPENAI, False),
        ("/v1/embeddings", {"detail": "m"}, False),
        ("/v1/embeddings", json.loads("[]"), False),
    ],
)
def test_each_api_tells_errors_in_its_own_shape(path: str, body: Any, expected: bool) -> None:
    assert is_told(path, body) == expected
