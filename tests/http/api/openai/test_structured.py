"""Structured answers over a socket: what OpenAI's client parses into models of pydantic, and what vLLM's callers ask
for. The model writes bytes at random, so that only the grammar makes sense of them."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import jsonschema
import openai
import pytest
from pydantic import BaseModel

from tests.http.api.openai.conftest import HELLO


class Order(BaseModel):
    """What a caller wants to know of an answer."""

    dish: Literal["soup", "bread"]
    count: Literal[1, 2, 3]
    hot: bool


MOST = {"temperature": 1.0, "seed": 4}


def test_an_answer_becomes_a_model_of_pydantic(client: Any) -> None:
    found = client.chat.completions.parse(
        model="endless", messages=HELLO, response_format=Order, max_tokens=4000, **MOST
    )
    assert isinstance(found.choices[0].message.parsed, Order)
    assert found.choices[0].finish_reason == "stop"


def test_a_streamed_answer_becomes_one_too(client: Any) -> None:
    with client.chat.completions.stream(
        model="endless", messages=HELLO, response_format=Order, max_tokens=4000, **MOST
    ) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Order)


def test_a_response_becomes_one_too(client: Any) -> None:
    found = client.responses.parse(
        model="endless", input="hello", text_format=Order, max_output_tokens=4000, temperature=1, extra_body={"seed": 4}
    )
    assert isinstance(found.output_parsed, Order)
    with client.responses.stream(
        model="endless", input="hello", text_format=Order, max_output_tokens=4000, temperature=1, extra_body={"seed": 4}
    ) as stream:
        assert stream.get_final_response().output_parsed == found.output_parsed


def test_json_of_any_kind(client: Any) -> None:
    found = client.chat.completions.create(
        model="endless", messages=HELLO, response_format={"type": "json_object"}, max_tokens=4000, **MOST
    )
    if found.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(found.choices[0].message.content), dict)
    else:
        assert found.choices[0].message.content.startswith("{")


SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("extra", "pattern"),
    [
        ({"structured_outputs": {"regex": "[ab]{3}"}}, "[ab]{3}"),
        ({"guided_regex": "[ab]{3}"}, "[ab]{3}"),
        ({"structured_outputs": {"choice": ["yes", "no"]}}, "yes|no"),
        ({"guided_choice": ["yes", "no"]}, "yes|no"),
        ({"structured_outputs": {"grammar": 'start: "x" /[0-9]{2}/'}}, "x[0-9]{2}"),
        ({"guided_grammar": 'root ::= "x" [0-9] [0-9]'}, "x[0-9]{2}"),
    ],
)
def test_texts_of_a_form(client: Any, extra: dict[str, Any], pattern: str) -> None:
    found = client.chat.completions.create(model="endless", messages=HELLO, max_tokens=50, extra_body=extra, **MOST)
    assert re.fullmatch(pattern, found.choices[0].message.content)
    assert found.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("extra", [{"structured_outputs": {"json": SCHEMA}}, {"guided_json": json.dumps(SCHEMA)}])
def test_schemas_of_vllms_callers(client: Any, extra: dict[str, Any]) -> None:
    found = client.chat.completions.create(model="endless", messages=HELLO, max_tokens=4000, extra_body=extra, **MOST)
    jsonschema.validate(json.loads(found.choices[0].message.content), SCHEMA)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "strange"}}}},
            "response_format.json_schema.schema",
        ),
        ({"extra_body": {"guided_regex": "["}}, "guided_regex"),
        ({"extra_body": {"structured_outputs": {"regex": "["}}}, "structured_outputs.regex"),
        ({"extra_body": {"structured_outputs": {"json": {"type": "strange"}}}}, "structured_outputs.json"),
        ({"extra_body": {"guided_grammar": "start: nothing"}}, "guided_grammar"),
    ],
)
def test_a_grammar_that_is_none_is_named(client: Any, asked: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="endless", messages=HELLO, max_tokens=5, **asked)
    assert caught.value.param == param


def test_a_format_that_is_none_is_named_in_responses(client: Any) -> None:
    form = {"type": "json_schema", "name": "x", "schema": {"type": "strange"}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="endless", input="hello", max_output_tokens=5, text={"format": form})
    assert caught.value.param == "text.format.schema"
