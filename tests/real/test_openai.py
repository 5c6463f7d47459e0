"""OpenAI's client against servers of trained models: an answer, its bytes, a structure, and a spoken sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attendant.grammars.token_bytes import TokenBytes
from openai import OpenAI
from pydantic import BaseModel
from tokenizers import Tokenizer

from tests.real.conftest import Made, ServerOf
from tests.real.test_speech_text import SPEECH, sentences, words
from tests.system.server import ServerProcess

CAPITAL: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]


class City(BaseModel):
    """What is asked of the model."""

    city: str
    country: str


def speaking(server: ServerProcess) -> Any:
    """A client, of no type that knows what is refused."""
    return OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def smollm2_client(smollm2: Path, fp32_bundle: Made, server_of: ServerOf) -> Iterator[Any]:
    with server_of(fp32_bundle(smollm2.name)) as server, speaking(server) as client:
        yield client


def name_of(client: Any) -> str:
    """The only model."""
    (model,) = client.models.list().data
    return str(model.id)


def test_an_answer_and_its_bytes(smollm2_client: Any) -> None:
    found = smollm2_client.chat.completions.create(
        model=name_of(smollm2_client), messages=CAPITAL, temperature=0, logprobs=True, top_logprobs=3
    )
    (choice,) = found.choices
    assert "Paris" in choice.message.content
    assert choice.finish_reason == "stop"
    raw = b"".join([bytes(entry.bytes) for entry in choice.logprobs.content])
    assert raw.decode() == choice.message.content
    assert all(entry.logprob == entry.top_logprobs[0].logprob for entry in choice.logprobs.content)


def test_bytes_of_characters_in_several_tokens(smollm2_client: Any) -> None:
    text = "naïve 東京 \U0001f469\u200d\U0001f467"
    found = smollm2_client.chat.completions.create(
        model=name_of(smollm2_client), messages=CAPITAL, logprobs=True, extra_body={"guided_choice": [text]}
    )
    (choice,) = found.choices
    assert choice.message.content == text
    assert any(bytes(entry.bytes).decode(errors="ignore") != entry.token for entry in choice.logprobs.content)
    assert b"".join([bytes(entry.bytes) for entry in choice.logprobs.content]).decode() == text


def test_a_structure(smollm2_client: Any) -> None:
    found = smollm2_client.chat.completions.parse(
        model=name_of(smollm2_client), messages=CAPITAL, temperature=0, response_format=City, max_tokens=100
    )
    assert found.choices[0].message.parsed.city == "Paris"
    told = smollm2_client.responses.parse(
        model=name_of(smollm2_client), input=CAPITAL, temperature=0, text_format=City, max_output_tokens=100
    )
    assert told.output_parsed == found.choices[0].message.parsed


def test_a_spoken_sentence(whisper_bundle: Made, server_of: ServerOf) -> None:
    row = sentences()[0]
    file = (row["file"], (SPEECH / row["file"]).read_bytes())
    with server_of(whisper_bundle("fp32")) as server, speaking(server) as client:
        audio, name = client.audio, name_of(client)
        found = audio.transcriptions.create(model=name, file=file, response_format="verbose_json")
        right = set(words(row["text"])) & set(words(found.text))
        assert len(right) >= 0.7 * len(set(words(row["text"])))
        assert 0 <= found.segments[0].start < found.segments[-1].end <= found.duration
        subtitles = audio.transcriptions.create(model=name, file=file, response_format="srt")
        assert subtitles.startswith("1\n00:00:0")
        assert audio.transcriptions.create(model=name, file=file).text == found.text
        told = audio.transcriptions.create(model=name, file=file, stream=True)
        assert "".join([event.delta for event in told if event.type == "transcript.text.delta"]) == found.text


@pytest.mark.parametrize("model", ["smollm2", "whisper"])
def test_bytes_of_tokens_are_those_of_texts(model: str, request: pytest.FixtureRequest) -> None:
    tokenizer = Tokenizer.from_file(str(request.getfixturevalue(model) / "tokenizer.json"))
    text = "  Naïve “quotes”, 東京, \U0001f469\u200d\U0001f467\n\tif (x): y += 1"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert b"".join(map(TokenBytes(tokenizer).of, ids)) == text.encode()
