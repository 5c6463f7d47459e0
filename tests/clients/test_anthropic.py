"""Anthropic's client: messages, streams, counts of tokens, errors."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest
from attendant_proto.v1 import generation_pb2 as pb

from tests.clients.asked import QUESTION, answer_of
from tests.system.server import HANGS_S, ServerProcess

ASKED: Any = {
    "model": "demo",
    "messages": [{"role": "user", "content": QUESTION}],
    "max_tokens": 24,
    "extra_body": {"temperature": 0},
}

IMAGE = {"type": "image", "source": {"type": "url", "url": "http://x/y.png"}}


def read_in_all(usage: anthropic.types.Usage) -> int:
    """Tokens of a prompt: those that were computed, and those that were there already, which the API counts apart."""
    return usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_a_message_is_attendant_v1s(server: ServerProcess, claude: anthropic.Anthropic) -> None:
    expected = answer_of(server)
    found = claude.messages.create(**ASKED)
    assert [block.text for block in found.content if block.type == "text"] == [expected.texts[0]]
    assert (found.stop_reason, found.stop_sequence) == ("max_tokens", None)
    assert read_in_all(found.usage) == expected.prompt_tokens
    assert found.usage.output_tokens == 24
    assert (found.type, found.role, found.model) == ("message", "assistant", "demo")
    assert found.id.startswith("msg_")
    whole = claude.messages.create(**ASKED | {"max_tokens": 200})
    assert (whole.stop_reason, whole.content[0].type) == ("end_turn", "text")


def test_a_stream_has_the_same_text(server: ServerProcess, claude: anthropic.Anthropic) -> None:
    expected = answer_of(server)
    with claude.messages.create(**ASKED, stream=True) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    with claude.messages.stream(**ASKED) as helped:
        text = "".join(helped.text_stream)
        final = helped.get_final_message()
    assert text == expected.texts[0]
    assert final.content[0].type == "text"
    assert final.content[0].text == text
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 24)
    assert read_in_all(final.usage) == expected.prompt_tokens


def test_systems_blocks_and_stop_sequences(server: ServerProcess, claude: anthropic.Anthropic) -> None:
    system = "You help a shop's customers."
    messages = [pb.ChatMessage(role="system", content=system), pb.ChatMessage(role="user", content=QUESTION)]
    request = pb.GenerateRequest(
        model="demo",
        chat=pb.Chat(messages=messages),
        sampling=pb.Sampling(temperature=0),
        stopping=pb.Stopping(max_tokens=24),
    )
    expected = "".join(part.text for part in server.generation.Generate(request, timeout=HANGS_S))
    blocks: Any = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    for said in (system, [{"type": "text", "text": system}]):
        found = claude.messages.create(**ASKED | {"messages": blocks}, system=said)  # type: ignore[arg-type]
        assert found.content[0].type == "text"
        assert found.content[0].text == expected
    word = answer_of(server).texts[0].split()[2]
    stopped = claude.messages.create(**ASKED, stop_sequences=[word])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", word)


def test_tokens_are_counted_before(server: ServerProcess, claude: anthropic.Anthropic) -> None:
    found = claude.messages.count_tokens(model="demo", messages=ASKED["messages"])
    assert found.input_tokens == answer_of(server).prompt_tokens


@pytest.mark.parametrize(
    ("change", "kind", "word"),
    [
        ({"model": "nope"}, anthropic.NotFoundError, "nope"),
        ({"messages": []}, anthropic.BadRequestError, "messages"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "max_tokens"),
        ({"extra_body": {"no_such_field": 1}}, anthropic.BadRequestError, "no_such_field"),
        ({"extra_body": {"temperature": -1}}, anthropic.BadRequestError, "temperature"),
        ({"messages": [{"role": "user", "content": "order " * 3000}]}, anthropic.BadRequestError, "tokens"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, anthropic.BadRequestError, "image"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, anthropic.BadRequestError, "tools"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_is_wrong_is_told_in_its_own_shape(
    claude: anthropic.Anthropic, change: dict[str, Any], kind: type[anthropic.APIStatusError], word: str
) -> None:
    with pytest.raises(kind) as caught:
        claude.messages.create(**ASKED | change)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] in ("invalid_request_error", "not_found_error")
    assert word in body["error"]["message"]


def test_in_asyncio(server: ServerProcess) -> None:
    async def main() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(base_url=server.http, api_key="none", max_retries=0) as client:
            whole = await client.messages.create(**ASKED)
            async with client.messages.stream(**ASKED) as stream:
                streamed = "".join([text async for text in stream.text_stream])
        assert whole.content[0].type == "text"
        return whole.content[0].text, streamed

    assert asyncio.run(asyncio.wait_for(main(), HANGS_S)) == (answer_of(server).texts[0],) * 2
    raw = anthropic.Anthropic(base_url=server.http, api_key="none", max_retries=0).messages.with_raw_response
    found = raw.create(**ASKED, extra_headers={"x-request-id": "mine-2"})
    assert found.headers["request-id"] == "mine-2"
