"""Recordings over a socket, as OpenAI's own client sends them, to a tiny Whisper."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from attendant.core.generation import GenerationCall, TokenPrompt
from attendant.frontend.speech.calls import SoundData, SpeechCall, SpeechResult

from tests.http.api.openai.conftest import client_of
from tests.http.api.served import ApiSite
from tests.whisper import make_whisper_bundle

pytest.importorskip("torch", reason="the exporter is not installed")


def recording(seconds: float = 2.5) -> bytes:
    """A voice of noise that comes and goes, as a file."""
    rate = 16_000
    time = np.arange(int(seconds * rate)) / rate
    loud = 0.2 * np.abs(np.sin(2 * np.pi * 0.7 * time)) * np.random.default_rng(3).standard_normal(len(time))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((loud.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


FILE = ("a.wav", recording())


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiSite]:
    site = ApiSite(make_whisper_bundle(tmp_path_factory.mktemp("whisper") / "whisper"))
    yield site
    site.close()


@pytest.fixture(scope="module")
def speaker(ears: ApiSite) -> Iterator[Any]:
    with client_of(ears) as client:
        yield client


@pytest.fixture(scope="module")
def heard(ears: ApiSite) -> SpeechResult:
    """What the front end hears itself."""
    call = SpeechCall("whisper", GenerationCall("whisper", TokenPrompt(())), timestamps=True)
    return ears.loop.run(ears.front_end.speech.transcribe(call, SoundData(FILE[1])))


def test_json_is_what_the_front_end_hears(speaker: Any, heard: SpeechResult) -> None:
    found = speaker.audio.transcriptions.create(model="whisper", file=FILE)
    assert found.text == heard.text != ""
    assert (found.usage.type, found.usage.seconds) == ("duration", heard.duration_s)


def test_segments_have_times(speaker: Any, heard: SpeechResult) -> None:
    found = speaker.audio.transcriptions.create(
        model="whisper", file=FILE, response_format="verbose_json", timestamp_granularities=["segment"]
    )
    assert (found.text, found.language, found.duration) == (heard.text, heard.language, heard.duration_s)
    assert [(each.start, each.end, each.text, tuple(each.tokens)) for each in found.segments] == [
        (each.start_s, each.end_s, each.text, each.token_ids) for each in heard.segments
    ]
    assert len(found.segments) > 1


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_formats_that_are_text(speaker: Any, heard: SpeechResult, form: str) -> None:
    found = speaker.audio.transcriptions.create(model="whisper", file=FILE, response_format=form)
    assert isinstance(found, str)
    assert found.count("-->") == (0 if form == "text" else len(heard.segments))
    if form == "text":
        assert found == heard.text + "\n"


def test_a_stream_is_the_same_text(speaker: Any, heard: SpeechResult) -> None:
    told = list(speaker.audio.transcriptions.create(model="whisper", file=FILE, stream=True))
    assert "".join([event.delta for event in told if event.type == "transcript.text.delta"]) == heard.text
    assert (told[-1].type, told[-1].text) == ("transcript.text.done", heard.text)
    assert told[-1].usage.output_tokens == heard.usage.completion_tokens


def test_what_is_asked_reaches_the_model(ears: ApiSite, speaker: Any) -> None:
    how = GenerationCall("whisper", TokenPrompt(()), temperature=0.7, seed=5)
    call = SpeechCall("whisper", how, "translate", timestamps=True, prompt="Zenith")
    heard = ears.loop.run(ears.front_end.speech.transcribe(call, SoundData(FILE[1])))
    found = speaker.audio.translations.create(
        model="whisper", file=FILE, prompt="Zenith", temperature=0.7, extra_body={"seed": 5}
    )
    assert found.text == heard.text
    call = SpeechCall("whisper", GenerationCall("whisper", TokenPrompt(())), "transcribe", "de", timestamps=True)
    heard = ears.loop.run(ears.front_end.speech.transcribe(call, SoundData(FILE[1])))
    assert speaker.audio.transcriptions.create(model="whisper", file=FILE, language="de").text == heard.text


@pytest.mark.parametrize(
    ("changes", "kind", "param"),
    [
        ({"model": "none"}, openai.NotFoundError, "model"),
        ({"language": "xx"}, openai.BadRequestError, "language"),
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"file": ("a.wav", b"noise")}, openai.BadRequestError, "file"),
        ({"file": ("a.wav", b"")}, openai.BadRequestError, "file"),
        ({"prompt": "<|startoftranscript|>"}, openai.BadRequestError, "prompt"),
        ({"include": ["logprobs"]}, openai.BadRequestError, "include"),
        ({"chunking_strategy": {"type": "server_vad"}}, openai.BadRequestError, "chunking_strategy[type]"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_an_exception_with_the_field(
    speaker: Any, changes: dict[str, Any], kind: type[openai.APIStatusError], param: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        speaker.audio.transcriptions.create(**{"model": "whisper", "file": FILE, "stream": stream} | changes)
    assert caught.value.param == param


def test_a_body_of_json_is_refused(ears: ApiSite) -> None:
    answer = httpx.post(f"{ears.url}/v1/audio/transcriptions", json={"model": "whisper"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (415, "content-type")
