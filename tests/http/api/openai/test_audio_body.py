"""Forms of recordings, and what was heard in every format."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TokenPrompt
from attendant.core.request import Timings, Usage
from attendant.frontend.speech.calls import Partial, Segment, SpeechCall, SpeechPart, SpeechResult
from attendant.http.api.bodies import refusal
from attendant.http.api.openai import audio_answer
from attendant.http.api.openai.audio_body import TranscriptionBody, TranslationBody, speech_call
from attendant.http.api.openai.audio_form import read_form
from openai.types.audio import (
    Transcription,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    TranslationVerbose,
    transcription_create_params,
    translation_create_params,
)
from pydantic import ValidationError
from starlette.requests import Request

SEGMENTS = (
    Segment(0.0, 1.5, "Hello there.", (1, 2), -0.25, 0.01),
    Segment(3601.25, 3602.0, "a < b & c", (3,), -0.5, 0.02, gap=" "),
)
RESULT = SpeechResult("Hello there. a < b & c", SEGMENTS, "en", 1.0, 3602.0, Usage(9, 0, 5), Timings())


def transcription(**fields: Any) -> SpeechCall:
    try:
        body = TranscriptionBody.model_validate({"model": "m", **fields}, strict=False)
    except ValidationError as error:
        raise refusal(TranscriptionBody, error) from None
    return speech_call(body, "transcribe")


def test_every_field_of_the_clients_schema_is_declared() -> None:
    wanted = set(transcription_create_params.TranscriptionCreateParamsBase.__annotations__)
    assert wanted - {"file"} <= set(TranscriptionBody.model_fields)
    wanted = set(translation_create_params.TranslationCreateParams.__annotations__)
    assert wanted - {"file"} <= set(TranslationBody.model_fields)


def test_what_fields_become() -> None:
    numbers: dict[str, Any] = {
        "top_p": 0.9,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
    }
    said = {name: str(value) for name, value in numbers.items()}
    call = transcription(
        language="en", prompt="Zoë", temperature="0.5", seed="7", response_format="verbose_json", top_k="4", **said
    )
    how = GenerationCall("m", TokenPrompt(()), temperature=0.5, seed=7, top_k=4, **numbers)
    assert call == SpeechCall("m", how, "transcribe", "en", timestamps=True, prompt="Zoë")
    assert transcription(stream="true", timestamp_granularities=[]).task == "transcribe"
    translation = speech_call(TranslationBody(model="m"), "translate")
    assert translation == SpeechCall("m", GenerationCall("m", TokenPrompt(())), "translate", timestamps=True)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"response_format": "xml"}, "response_format", 'is "xml"; allowed: json, text, srt, verbose_json, vtt'),
        ({"response_format": "diarized_json"}, "response_format", "allowed: json, text"),
        ({"stream": "true", "response_format": "srt"}, "response_format", "allowed with stream: json, text"),
        ({"timestamp_granularities": ["segment"]}, "timestamp_granularities", "with response_format verbose_json"),
        (
            {"timestamp_granularities": ["word"], "response_format": "verbose_json"},
            "timestamp_granularities",
            'has "word"; allowed: segment',
        ),
        ({"include": ["logprobs"]}, "include", "allowed: nothing"),
        ({"chunking_strategy": "auto"}, "chunking_strategy", "cut where its segments end"),
        ({"keywords": ["x"]}, "keywords", "prompt takes words"),
        ({"languages": ["en"]}, "languages", "language takes one"),
        ({"known_speaker_names": ["x"]}, "known_speaker_names", "speakers are not told apart"),
        ({"known_speaker_references": ["x"]}, "known_speaker_references", "speakers are not told apart"),
        ({"temperature": "hot"}, "temperature", "is not as it has to be"),
        ({"surprise": "x"}, "surprise", "is not known"),
    ],
)
def test_what_is_refused_is_named(fields: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        transcription(**fields)
    assert caught.value.field == field
    assert said in caught.value.reason


def form_of(body: bytes, content_type: str = "multipart/form-data; boundary=x") -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())], "app": None}
    return asyncio.run(read_form(Request(scope, receive), TranscriptionBody))  # type: ignore[arg-type]


def part(name: str, value: str, more: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'.encode()


MODEL, FILE, END = part("model", "m"), part("file", "RIFF", '; filename="a.wav"'), b"--x--\r\n"


def test_a_form_has_fields_and_a_file() -> None:
    parts = part("timestamp_granularities[]", "segment") + part("temperature", "0.5") + part("stream", "true")
    form = form_of(MODEL + FILE + parts + END)
    assert form.file == b"RIFF"
    assert (form.body.timestamp_granularities, form.body.temperature, form.body.stream) == (("segment",), 0.5, True)
    assert form_of(MODEL + FILE + part("timestamp_granularities", "segment") + END).body.timestamp_granularities


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b"", "file", "is missing"),
        (MODEL + END, "file", "is missing; allowed: a sound file"),
        (MODEL + part("file", "RIFF") + END, "file", "is missing; allowed: a sound file"),
        (FILE + END, "model", "is missing"),
        (MODEL + MODEL + FILE + END, "model", "comes twice"),
        (MODEL + part("photo", "x", '; filename="a"') + END, "photo", "is a file; allowed: file alone"),
        (MODEL + FILE + FILE + END, "body", "is no form: Too many files"),
        (MODEL + FILE + part("prompt", "x" * 70_000) + END, "body", "is no form"),
        (MODEL + FILE + b"".join([part(f"f{i}", "") for i in range(70)]) + END, "body", "is no form: Too many fields"),
        (b"nonsense", "body", "is no form"),
    ],
)
def test_forms_that_are_none_are_refused(body: bytes, field: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        form_of(body)
    assert caught.value.field == field
    assert said in caught.value.reason


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("application/json", "content-type"),
        ("", "content-type"),
        ("multipart/form-data", "body"),
        ("multipart/form-data; boundary=x; charset=nonsense", ""),
    ],
)
def test_other_content_types_are_refused(kind: str, field: str) -> None:
    if not field:  # fields are read as what they can be read as
        assert form_of(MODEL + FILE + END, kind).body.model == "m"
        return
    with pytest.raises(InvalidRequest) as caught:
        form_of(MODEL + FILE + END, kind)
    assert caught.value.field == field


def test_json() -> None:
    assert audio_answer.as_json(RESULT, "transcribe") == {
        "text": "Hello there. a < b & c",
        "usage": {"type": "duration", "seconds": 3602.0},
    }
    assert audio_answer.as_json(RESULT, "translate") == {"text": "Hello there. a < b & c"}
    Transcription.model_validate(audio_answer.as_json(RESULT, "transcribe"))


def test_verbose_json() -> None:
    found = json.loads(json.dumps(audio_answer.verbose_json(RESULT, "transcribe", 0.5), allow_nan=False))
    TranscriptionVerbose.model_validate(found, strict=True)
    assert (found["task"], found["language"], found["duration"]) == ("transcribe", "en", 3602.0)
    first = found["segments"][0]
    assert first.pop("compression_ratio") == 12 / len(zlib.compress(b"Hello there."))
    assert first == {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": 1.5,
        "text": "Hello there.",
        "tokens": [1, 2],
        "temperature": 0.5,
        "avg_logprob": -0.25,
        "no_speech_prob": 0.01,
    }
    translated = audio_answer.verbose_json(RESULT, "translate", 0.0)
    TranslationVerbose.model_validate(translated)
    assert (translated["task"], translated["language"]) == ("translate", "english")


def test_subtitles() -> None:
    assert audio_answer.plain(RESULT, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n01:00:01,250 --> 01:00:02,000\na < b & c\n\n"
    )
    assert audio_answer.plain(RESULT, "vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello there.\n\n01:00:01.250 --> 01:00:02.000\na &lt; b &amp; c\n\n"
    )
    assert audio_answer.plain(RESULT, "text") == "Hello there. a < b & c\n"


def test_a_text_with_empty_lines_stays_in_its_subtitle() -> None:
    odd = SpeechResult("", (Segment(0, 1, "a\n\n\nb", (), 0, 0),), "", 1.0, 1.0, Usage(0, 0, 0), Timings())
    assert re.findall("a\nb\n\n$", audio_answer.plain(odd, "srt"))


def test_events() -> None:
    async def parts() -> AsyncIterator[SpeechPart]:
        for told in (Partial("H"), *SEGMENTS, RESULT):
            yield told

    async def collect() -> list[Any]:
        return [event async for event in audio_answer.events(parts())]

    *deltas, done = asyncio.run(collect())
    for event in deltas:
        TranscriptionTextDeltaEvent.model_validate(event.data, strict=True)
        assert event.name == event.data["type"]
    assert "".join([event.data["delta"] for event in deltas]) == done.data["text"] == RESULT.text
    TranscriptionTextDoneEvent.model_validate(done.data, strict=True)
    assert done.data["usage"] == {"type": "tokens", "input_tokens": 9, "output_tokens": 5, "total_tokens": 14}
