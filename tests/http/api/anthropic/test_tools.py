"""Tools by Anthropic's own client: a model that is made to call them, whole and streamed, and a round with results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import jsonschema
import pytest

from tests.http.api.served import ApiSite
from tests.synthetic import make_synthetic_bundle

TEMPLATE = (
    "{% for tool in tools or [] %}<tool_call>{{ tool.function | tojson }}{% endfor %}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function.name }}{{ call.function.arguments|tojson }}"
    "{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A template that shows tools as Hermes' do."""

TOOLS: dict[str, Any] = {
    "get_weather": {
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 3}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    "get_time": {
        "type": "object",
        "properties": {"zone": {"enum": ["UTC", "CET"]}},
        "required": ["zone"],
        "additionalProperties": False,
    },
}
ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 600,
    "messages": [{"role": "user", "content": "How is the weather?"}],
    "tools": [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[anthropic.Anthropic]:
    folder = tmp_path_factory.mktemp("bundles")
    site = ApiSite(make_synthetic_bundle(folder / "m", name="m", context_length=2048, chat_template=TEMPLATE))
    with anthropic.Anthropic(base_url=site.url, api_key="any", max_retries=0) as client:
        yield client
    site.close()


@pytest.mark.parametrize(
    ("choice", "names", "most"),
    [
        ({"type": "any"}, set(TOOLS), 100),
        ({"type": "any", "disable_parallel_tool_use": True}, set(TOOLS), 1),
        ({"type": "tool", "name": "get_time"}, {"get_time"}, 1),
        ({"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}, {"get_weather"}, 1),
    ],
)
def test_a_forced_call_fits_its_schema(client: Any, choice: dict[str, Any], names: set[str], most: int) -> None:
    whole = client.messages.create(**ASKED, tool_choice=choice)
    with client.messages.stream(**ASKED, tool_choice=choice) as stream:
        streamed = stream.get_final_message()
    for answer in (whole, streamed):
        calls = [block for block in answer.content if block.type == "tool_use"]
        assert answer.stop_reason == "tool_use"
        assert 1 <= len(calls) <= most
        assert len({call.id for call in calls}) == len(calls)
        for call in calls:
            assert call.name in names
            jsonschema.validate(call.input, TOOLS[call.name])
    told = [[(b.name, b.input) for b in answer.content if b.type == "tool_use"] for answer in (whole, streamed)]
    assert told[0] == told[1]


def test_pieces_of_the_arguments_are_json_together(client: Any) -> None:
    choice = {"type": "tool", "name": "get_weather"}
    pieces: list[str] = []
    for event in client.messages.create(**ASKED, tool_choice=choice, stream=True):
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            pieces.append(event.delta.partial_json)
    jsonschema.validate(json.loads("".join(pieces)), TOOLS["get_weather"])


def test_a_model_that_may_call_none_is_not_shown_any(client: Any) -> None:
    plain = {name: value for name, value in ASKED.items() if name != "tools"}
    none = client.messages.create(**{**ASKED, "max_tokens": 20}, tool_choice={"type": "none"})
    assert none.content == client.messages.create(**{**plain, "max_tokens": 20}).content
    counted = {name: value for name, value in ASKED.items() if name != "max_tokens"}
    without = client.messages.count_tokens(**counted, tool_choice={"type": "none"}).input_tokens
    assert without == none.usage.input_tokens + (none.usage.cache_read_input_tokens or 0)
    assert client.messages.count_tokens(**counted).input_tokens > without


def test_of_a_tool_that_has_to_be_called_as_much_is_counted_as_the_model_is_shown(client: Any) -> None:
    choice = {"type": "tool", "name": "get_time"}
    usage = client.messages.create(**ASKED, tool_choice=choice).usage
    counted = {name: value for name, value in ASKED.items() if name != "max_tokens"}
    shown = usage.input_tokens + (usage.cache_read_input_tokens or 0)
    assert client.messages.count_tokens(**counted, tool_choice=choice).input_tokens == shown


def test_a_round_with_results(client: Any) -> None:
    first = client.messages.create(**ASKED, tool_choice={"type": "tool", "name": "get_time"})
    (call,) = [block for block in first.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "It is noon."}]
    messages = [*ASKED["messages"], first.to_param(), {"role": "user", "content": results}]
    counted = {name: value for name, value in ASKED.items() if name != "max_tokens"}
    before = client.messages.count_tokens(**counted).input_tokens
    after = client.messages.count_tokens(**{**counted, "messages": messages}).input_tokens
    written = f"get_time{json.dumps(call.input)}"
    assert after == before + 1 + len("<tool_call>") + len(written) + 1 + len("<|tool|>It is noon.") + 1
    second = client.messages.create(**{**ASKED, "max_tokens": 20, "messages": messages})
    assert second.usage.input_tokens + (second.usage.cache_read_input_tokens or 0) == after
