"""Tool calls and thoughts over a socket, as OpenAI's client reads them. A header has the model say a given text, in the
format that its template has for calls; calls that have to come, it makes itself."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import openai
import pytest
from attendant.core.context import CallContext
from attendant.core.generation import GenerationCall, GenerationPart
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.generation.inner import InnerCall
from pydantic import BaseModel

from tests.frontend.answers.helpers import PARIS, TIME, TOOLS, TWO_CALLS
from tests.http.api.openai.conftest import HELLO, client_of
from tests.http.api.served import ApiSite
from tests.synthetic import EOS, HERMES_TEMPLATE, byte_tokenizer, make_synthetic_bundle

FUNCTIONS: list[Any] = [{"name": name, "parameters": schema} for name, schema in TOOLS.items()]
DECLARED: list[Any] = [{"type": "function", "function": function} for function in FUNCTIONS]
CALLS = TWO_CALLS["hermes"]
SAID = f"<think>Hm.</think>I look.\n{CALLS}"


SAYS = "x-says"


def says(text: str) -> dict[str, Any]:
    return {"extra_headers": {SAYS: json.dumps(text)}}


class Told:
    """The generation of a front end with one model, where a header of a call says what the model says."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._service = front_end.generation
        (self._entry,) = front_end.models.entries

    def generate(self, call: GenerationCall, context: CallContext) -> AsyncGenerator[GenerationPart, None]:
        if SAYS not in context.metadata:
            return self._service.generate(call, context)
        ids = byte_tokenizer().encode(json.loads(context.metadata[SAYS]), add_special_tokens=False).ids
        said = replace(call, max_tokens=len(ids) + 1)
        inner = InnerCall(said, opening=tuple([(token,) for token in (*ids, EOS)]))
        assert self._entry.serving is not None
        return self._service.on(self._entry.serving).generate_inner(inner, context)


@pytest.fixture(scope="module")
def handy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A model whose template shows tools as Hermes' do, and that thinks."""
    folder = tmp_path_factory.mktemp("tools")
    bundle = make_synthetic_bundle(folder / "m", name="m", context_length=2048, chat_template=HERMES_TEMPLATE)
    site = ApiSite(bundle, reasoning_format="think")
    site.front_end.generation = Told(site.front_end)  # type: ignore[assignment]
    with client_of(site) as client:
        yield client
    site.close()


def called(calls: Any) -> list[tuple[str, Any]]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


def test_an_answer_that_thinks_speaks_and_calls(handy: Any) -> None:
    found = handy.chat.completions.create(model="m", messages=HELLO, tools=DECLARED, **says(SAID))
    (choice,) = found.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look.")
    assert choice.message.model_extra["reasoning_content"] == "Hm."
    assert called(choice.message.tool_calls) == [PARIS, TIME]
    assert len({call.id for call in choice.message.tool_calls}) == 2
    assert 0 < found.usage.completion_tokens_details.reasoning_tokens < found.usage.completion_tokens


def test_a_stream_of_it_is_the_same(handy: Any) -> None:
    with handy.chat.completions.stream(model="m", messages=HELLO, tools=DECLARED, **says(SAID)) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= {e.type for e in events}
    (choice,) = final.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look.")
    assert called(choice.message.tool_calls) == [PARIS, TIME]
    chunks = [event.chunk for event in events if event.type == "chunk"]
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]
    assert sorted({piece.id for piece in pieces if piece.id}) == sorted(call.id for call in choice.message.tool_calls)
    assert all(bool(piece.id) == bool(piece.function.name) for piece in pieces)
    thoughts = [(chunk.choices[0].delta.model_extra or {}).get("reasoning_content") or "" for chunk in chunks]
    assert "".join(thoughts) == "Hm."


@pytest.mark.parametrize("stream", [False, True])
def test_results_go_back_with_the_calls(handy: Any, stream: bool) -> None:
    first = handy.chat.completions.create(model="m", messages=HELLO, tools=DECLARED, **says(SAID)).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "mild"} for call in first.tool_calls]
    asked = handy.chat.completions.create(
        model="m", messages=[*HELLO, first, *results], tools=DECLARED, stream=stream, **says("It is mild.")
    )
    told = "".join([c.choices[0].delta.content or "" for c in asked]) if stream else asked.choices[0].message.content
    assert told == "It is mild."


def test_functions_of_old(handy: Any) -> None:
    found = handy.chat.completions.create(model="m", messages=HELLO, functions=FUNCTIONS, **says(CALLS))
    (choice,) = found.choices
    assert choice.finish_reason == "function_call"
    assert (choice.message.function_call.name, json.loads(choice.message.function_call.arguments)) == PARIS
    streamed = handy.chat.completions.create(model="m", messages=HELLO, functions=FUNCTIONS, stream=True, **says(CALLS))
    choices = [chunk.choices[0] for chunk in streamed]
    calls = [choice.delta.function_call for choice in choices if choice.delta.function_call is not None]
    assert "".join([call.name or "" for call in calls]) == PARIS[0]
    assert json.loads("".join([call.arguments or "" for call in calls])) == PARIS[1]
    assert choices[-1].finish_reason == "function_call"


@pytest.mark.parametrize("tools", [{}, {"tools": DECLARED, "tool_choice": "none"}])
def test_without_tools_to_call_a_call_is_text(handy: Any, tools: dict[str, Any]) -> None:
    found = handy.chat.completions.create(model="m", messages=HELLO, **tools, **says(CALLS))
    assert found.choices[0].message.tool_calls is None
    assert found.choices[0].message.content.strip() == CALLS.strip()
    assert found.choices[0].finish_reason == "stop"


def test_a_tool_that_nobody_offered_is_text_with_a_flag(handy: Any) -> None:
    said = '<tool_call>{"name": "get_wether", "arguments": {}}</tool_call>'
    (choice,) = handy.chat.completions.create(model="m", messages=HELLO, tools=DECLARED, **says(said)).choices
    assert (choice.message.content, choice.finish_reason) == (said, "stop")
    assert choice.model_extra["unparsed_tool_call"] is True


def test_a_response_that_thinks_speaks_and_calls(handy: Any) -> None:
    tools = [{"type": "function", **function, "strict": False} for function in FUNCTIONS]
    found = handy.responses.create(model="m", input="hello", tools=tools, **says(SAID))
    reasoning, message, *calls = found.output
    assert reasoning.content[0].text == "Hm."
    assert message.content[0].text == "I look."
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [PARIS, TIME]
    assert found.usage.output_tokens_details.reasoning_tokens > 0
    with handy.responses.stream(model="m", input="hello", tools=tools, **says(SAID)) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.function_call_arguments.done") == 2
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    output = [{"type": "function_call_output", "call_id": call.call_id, "output": "mild"} for call in calls]
    question = {"role": "user", "content": "hello"}
    last = handy.responses.create(model="m", input=[question, *found.output, *output], tools=tools, **says("Mild."))
    assert last.output_text == "Mild."


NAMED = {"type": "function", "function": {"name": "get_weather"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [DECLARED[1]]}}


@pytest.mark.parametrize(
    ("choice", "names", "reason"),
    [
        ("required", {"get_weather", "get_time"}, "tool_calls"),
        (NAMED, {"get_weather"}, "stop"),
        (ALLOWED, {DECLARED[1]["function"]["name"]}, "tool_calls"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_has_to_come_comes(handy: Any, choice: Any, names: set[str], reason: str, stream: bool) -> None:
    """The model writes bytes at random: nothing but the choice makes it call."""
    asked: dict[str, Any] = {"model": "m", "messages": HELLO, "tools": DECLARED, "tool_choice": choice}
    asked |= {"max_tokens": 1900, "temperature": 1.0, "seed": 2, "parallel_tool_calls": False}
    if stream:
        with handy.chat.completions.stream(**asked) as events:
            final = events.get_final_completion()
    else:
        final = handy.chat.completions.create(**asked)
    ((call,), told) = final.choices[0].message.tool_calls, final.choices[0].finish_reason
    assert call.function.name in names
    jsonschema.validate(json.loads(call.function.arguments), TOOLS[call.function.name])
    assert told == reason


@pytest.mark.parametrize("choice", ["auto", "none", NAMED, ALLOWED])
def test_ids_of_the_prompt_are_those_that_the_model_is_shown(handy: Any, choice: Any) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": HELLO, "tools": DECLARED, "tool_choice": choice}
    found = handy.chat.completions.create(**asked, max_tokens=1, extra_body={"return_token_ids": True})
    assert len(found.model_extra["prompt_token_ids"]) == found.usage.prompt_tokens


def test_a_response_that_has_to_call_calls(handy: Any) -> None:
    tools = [{"type": "function", **function, "strict": False} for function in FUNCTIONS]
    body = {"seed": 2}
    found = handy.responses.create(
        model="m", input="hello", tools=tools, tool_choice={"type": "function", "name": "get_weather"}, extra_body=body
    )
    (call,) = [item for item in found.output if item.type == "function_call"]
    jsonschema.validate(json.loads(call.arguments), TOOLS["get_weather"])
    assert found.status == "completed"


class GetWeather(BaseModel):
    """The weather of a place."""

    city: str
    days: int


def test_a_call_becomes_a_model_of_pydantic(handy: Any) -> None:
    said = '<tool_call>{"name": "GetWeather", "arguments": {"city": "Paris", "days": 3}}</tool_call>'
    tool = openai.pydantic_function_tool(GetWeather)
    found = handy.chat.completions.parse(model="m", messages=HELLO, tools=[tool], **says(said))
    (call,) = found.choices[0].message.tool_calls
    assert call.function.parsed_arguments == GetWeather(city="Paris", days=3)
    again = [*HELLO, found.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "mild"}]
    answer = handy.chat.completions.create(model="m", messages=again, tools=[tool], **says("Mild."))
    assert answer.choices[0].message.content == "Mild."
