"""OpenAI's and Anthropic's clients of trained models: right answers, objects that fit, tools, spoken words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal

import anthropic
import jsonschema
import openai
import pytest
import soundfile
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc, speech_pb2, speech_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb
from pydantic import BaseModel

from tests.real.conftest import BundleOf
from tests.real.test_answers import NEIGHBOURS
from tests.real.test_speech_text import SPEECH, sentences, words
from tests.system.server import HANGS_S, ServerProcess, eventually, serving

CAPITAL: Any = [{"role": "user", "content": "Name the capital city of France."}]
LETTER: Any = [{"role": "user", "content": "Anna Smith, 34 years old, lives in Oslo. Describe her as JSON."}]


class Person(BaseModel):
    """What an answer is made into."""

    name: str
    age: int
    city: Literal["Oslo", "Paris", "Rome"]


WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def server(bundle_of: BundleOf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """SmolLM2, in the precision that is made soonest, and MiniLM."""
    bundles = bundle_of("smollm2", "fp32"), bundle_of("minilm", "int8")
    with serving(tmp_path_factory.mktemp("log") / "server.log", *bundles, "--no-verify-bundles") as running:
        yield running


@pytest.fixture(scope="module")
def hearing(bundle_of: BundleOf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Whisper."""
    bundle = bundle_of("whisper-tiny-en", "fp32")
    with serving(tmp_path_factory.mktemp("log") / "server.log", bundle, "--no-verify-bundles") as running:
        yield running


def openai_client(server: ServerProcess) -> openai.OpenAI:
    """OpenAI's client of a server."""
    return openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0, timeout=HANGS_S)


@pytest.fixture
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    """OpenAI's."""
    with openai_client(server) as made:
        yield made


@pytest.fixture
def claude(server: ServerProcess) -> Iterator[anthropic.Anthropic]:
    """Anthropic's."""
    with anthropic.Anthropic(base_url=server.http, api_key="none", max_retries=0, timeout=HANGS_S) as made:
        yield made


@pytest.fixture
def asked(client: openai.OpenAI) -> dict[str, Any]:
    """The model that generates, and greedily."""
    (name,) = (model.id for model in client.models.list() if "smollm2" in model.id.lower())
    return {"model": name, "temperature": 0}


def test_every_way_to_ask_says_paris(
    server: ServerProcess, client: openai.OpenAI, claude: anthropic.Anthropic, asked: dict[str, Any]
) -> None:
    chat = pb.Chat(messages=[pb.ChatMessage(role="user", content=CAPITAL[0]["content"])])
    sampling, stopping = pb.Sampling(temperature=0), pb.Stopping(max_tokens=24)
    request = pb.GenerateRequest(model=asked["model"], chat=chat, sampling=sampling, stopping=stopping)
    expected = "".join(part.text for part in server.generation.Generate(request, timeout=HANGS_S))
    assert "Paris" in expected
    whole = client.chat.completions.create(**asked, messages=CAPITAL, max_tokens=24)
    assert whole.choices[0].message.content == expected
    with client.chat.completions.create(**asked, messages=CAPITAL, max_tokens=24, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == expected
    response = client.responses.create(**asked, input=CAPITAL, max_output_tokens=24)
    assert response.output_text == expected
    said: Any = {"model": asked["model"], "messages": CAPITAL, "max_tokens": 24, "extra_body": {"temperature": 0}}
    message = claude.messages.create(**said)
    assert message.content[0].type == "text"
    assert message.content[0].text == expected
    with claude.messages.stream(**said) as helped:
        assert "".join(helped.text_stream) == expected


def test_one_that_is_cut_off_midway_costs_nobody(
    server: ServerProcess, client: openai.OpenAI, asked: dict[str, Any]
) -> None:
    expected = client.chat.completions.create(**asked, messages=CAPITAL, max_tokens=24).choices[0].message.content
    before = server.metrics().get("request_success_total{finished_reason=cancelled}", 0.0)

    async def leave(client: openai.AsyncOpenAI, number: int) -> None:
        told: Any = [{"role": "user", "content": f"Tell a long story about {number} cats."}]
        async with await client.chat.completions.create(**asked, messages=told, max_tokens=800, stream=True) as stream:
            count = 0
            async for _ in stream:
                count += 1
                if count == 3 + number:
                    return

    async def main() -> str | None:
        url = f"{server.http}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=HANGS_S) as client:
            leaving = [asyncio.ensure_future(leave(client, number)) for number in range(6)]
            found = await client.chat.completions.create(**asked, messages=CAPITAL, max_tokens=24)
            await asyncio.gather(*leaving)
            return found.choices[0].message.content

    assert asyncio.run(main()) == expected
    eventually(server.is_idle)
    assert server.metrics()["request_success_total{finished_reason=cancelled}"] == before + 6


def test_an_object_of_a_shape(client: openai.OpenAI, asked: dict[str, Any]) -> None:
    found = client.chat.completions.parse(**asked, messages=LETTER, max_tokens=200, response_format=Person)
    person = found.choices[0].message.parsed
    assert person is not None
    assert person.name.startswith("Anna")
    response = client.responses.parse(**asked, input=LETTER, max_output_tokens=200, text_format=Person)
    assert response.output_parsed == person
    free: Any = {"messages": LETTER, "max_tokens": 200, "response_format": {"type": "json_object"}}
    plain = client.chat.completions.create(**asked, **free)
    if plain.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(plain.choices[0].message.content or ""), dict)


def test_a_tool_that_has_to_be_called(
    client: openai.OpenAI, claude: anthropic.Anthropic, asked: dict[str, Any]
) -> None:
    """sota.md 3, rows 5, 6 and 8, with a trained model."""
    question: Any = [{"role": "user", "content": "How warm is it in Oslo, in celsius?"}]
    said: Any = {**asked, "messages": question, "tools": [WEATHER], "max_tokens": 100, "parallel_tool_calls": False}
    named: Any = {"type": "function", "function": {"name": "weather"}}
    forced: Any = "required"
    schema = WEATHER["function"]["parameters"]
    for choice, reason in ((named, "stop"), (forced, "tool_calls")):
        found = client.chat.completions.create(**said, tool_choice=choice).choices[0]
        (call,) = found.message.tool_calls or []
        assert call.type == "function"
        assert found.finish_reason == reason
        jsonschema.validate(json.loads(call.function.arguments), schema)
        with client.chat.completions.create(**said, tool_choice=choice, stream=True) as stream:
            choices = [each.choices[0] for each in stream]
        pieces = [piece for each in choices for piece in each.delta.tool_calls or ()]
        assert [piece.id for piece in pieces if piece.id] == [pieces[0].id]
        joined = "".join(piece.function.arguments or "" for piece in pieces if piece.function)
        assert joined == call.function.arguments
        assert choices[-1].finish_reason == reason
    tool: Any = {"name": "weather", "input_schema": schema}
    message = claude.messages.create(
        model=asked["model"],
        messages=question,
        tools=[tool],
        tool_choice={"type": "tool", "name": "weather"},
        max_tokens=200,
        extra_body={"temperature": 0},
    )
    (use,) = (block for block in message.content if block.type == "tool_use")
    jsonschema.validate(use.input, schema)
    assert message.stop_reason == "tool_use"


def test_spoken_words_come_back_as_text(hearing: ServerProcess) -> None:
    with openai_client(hearing) as client:
        _hears(hearing, client)


def _hears(server: ServerProcess, client: openai.OpenAI) -> None:
    (model,) = (model.id for model in client.models.list())
    file = SPEECH / sentences()[0]["file"]
    sound = file.read_bytes()
    stub = speech_pb2_grpc.SpeechStub(server.channel)
    expected = stub.Transcribe(speech_pb2.SpeechRequest(file=sound, options={"model": model}), timeout=HANGS_S).text
    said = words(sentences()[0]["text"])
    assert len(set(words(expected)) & set(said)) >= 0.8 * len(set(said))
    with file.open("rb") as opened:
        assert client.audio.transcriptions.create(model=model, file=opened).text.strip() == expected.strip()
    verbose = client.audio.transcriptions.create(
        model=model,
        file=("a.ogg", sound),
        response_format="verbose_json",
        timestamp_granularities=["segment"],
    )
    assert "".join(segment.text for segment in verbose.segments or ()).strip() == expected.strip()
    assert verbose.duration == pytest.approx(soundfile.info(file).duration, abs=0.1)
    for kind, mark in (("srt", "00:00:00,000 --> "), ("vtt", "WEBVTT")):
        text: Any = client.audio.transcriptions.create(model=model, file=("a.ogg", sound), response_format=kind)  # type: ignore[call-overload]
        assert mark in text
    plain: Any = client.audio.transcriptions.create(model=model, file=("a.ogg", sound), response_format="text")
    assert plain.strip() == expected.strip()
    with pytest.raises(openai.BadRequestError):
        client.audio.transcriptions.create(model=model, file=("a.ogg", b"no sound"))
    with pytest.raises(openai.BadRequestError):
        client.audio.translations.create(model=model, file=("a.ogg", sound), prompt="x" * 100_000)


def test_vectors_of_a_trained_model_are_those_of_attendant_v1(server: ServerProcess, client: openai.OpenAI) -> None:
    (model,) = (model.id for model in client.models.list() if "minilm" in model.id.lower())
    stub = encoding_pb2_grpc.EncodingStub(server.channel)
    inputs = [encoding_pb2.TextInput(text=text) for text in NEIGHBOURS]
    expected = stub.Embed(encoding_pb2.EmbedRequest(model=model, inputs=inputs), timeout=HANGS_S).embeddings
    found = client.embeddings.create(model=model, input=list(NEIGHBOURS)).data
    assert [each.embedding for each in found] == [list(each.values) for each in expected]
