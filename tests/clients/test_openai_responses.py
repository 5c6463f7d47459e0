"""OpenAI's client and the Responses API."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from attendant_proto.v1 import generation_pb2 as pb

from tests.clients.asked import QUESTION, answer_of
from tests.clients.test_openai_embeddings import vectors_of
from tests.system.server import HANGS_S, ServerProcess

RESPOND: Any = {"model": "demo", "input": QUESTION, "temperature": 0, "max_output_tokens": 24}


def test_a_response_is_attendant_v1s(server: ServerProcess, client: openai.OpenAI) -> None:
    expected = answer_of(server)
    found = client.responses.create(**RESPOND)
    assert found.output_text == expected.texts[0]
    assert (found.status, found.incomplete_details and found.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (expected.prompt_tokens, 24)
    assert found.id.startswith("resp_")
    whole = client.responses.create(**RESPOND | {"max_output_tokens": 200})
    assert (whole.status, whole.output_text) == ("completed", answer_of(server, max_tokens=200).texts[0])


def test_a_response_streams(server: ServerProcess, client: openai.OpenAI) -> None:
    expected = answer_of(server, max_tokens=200).texts[0]
    with client.responses.create(**RESPOND | {"max_output_tokens": 200}, stream=True) as stream:
        events = list(stream)
    assert [event.type for event in events][:2] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == expected
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == expected
    assert [event.sequence_number for event in events] == list(range(len(events)))
    with client.responses.stream(**RESPOND | {"max_output_tokens": 200}) as helped:
        for _ in helped:
            pass
        assert helped.get_final_response().output_text == expected


def test_a_response_of_instructions_and_turns(server: ServerProcess, client: openai.OpenAI) -> None:
    turns: Any = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
    ]
    found = client.responses.create(**RESPOND | {"input": turns}, instructions="You help a shop's customers.")
    messages = [pb.ChatMessage(role="system", content="You help a shop's customers.")]
    messages += [
        pb.ChatMessage(role=role, content=text)
        for role, text in (("user", "Hello"), ("assistant", "Hello! How can I help?"), ("user", QUESTION))
    ]
    request = pb.GenerateRequest(
        model="demo",
        chat=pb.Chat(messages=messages),
        sampling=pb.Sampling(temperature=0),
        stopping=pb.Stopping(max_tokens=24),
    )
    expected = "".join(part.text for part in server.generation.Generate(request, timeout=HANGS_S))
    assert found.output_text == expected


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
    ],
)
def test_what_needs_a_store_or_a_tool_of_openais_is_refused(
    client: openai.OpenAI, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**RESPOND | change)
    assert (caught.value.param or "").partition("[")[0].partition(".")[0] == param


def test_asyncio_for_each_kind(server: ServerProcess) -> None:
    async def main() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as client:
            models = [model.id async for model in client.models.list()]
            one, vectors, response = await asyncio.gather(
                client.completions.create(model="demo", prompt=QUESTION, temperature=0, max_tokens=24),
                client.embeddings.create(model="vectors", input="hello"),
                client.responses.create(**RESPOND),
            )
            return [models, one.choices[0].text, vectors.data[0].embedding, response.output_text]

    models, text, vector, said = asyncio.run(asyncio.wait_for(main(), HANGS_S))
    assert "demo" in models
    assert text == answer_of(server, raw=True).texts[0]
    assert vector == vectors_of(server, "hello")[0]
    assert said == answer_of(server).texts[0]
