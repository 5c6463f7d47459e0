"""What transcriptions and translations are asked for, and the call of the front end that it is."""

from __future__ import annotations

from collections.abc import Mapping

from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TokenPrompt
from attendant.core.shown import shown
from attendant.frontend.speech.calls import SpeechCall, SpeechTask
from attendant.http.api.bodies import ApiBody
from attendant.http.api.openai.refusals import Refusal, check_refused

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
STREAMED = ("json", "text")
"""Formats of answers that can be streamed: the events are the same."""


class TranslationBody(ApiBody):
    """The fields of a translation: OpenAI's, then those by which vLLM's callers say how words are chosen."""

    model: str
    prompt: str | None = None
    response_format: str = "json"
    temperature: float | None = None

    seed: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class TranscriptionBody(TranslationBody):
    """The fields of a transcription."""

    language: str | None = None
    timestamp_granularities: tuple[str, ...] = ()
    stream: bool = False

    include: tuple[str, ...] = ()
    chunking_strategy: str | None = None
    keywords: tuple[str, ...] = ()
    known_speaker_names: tuple[str, ...] = ()
    known_speaker_references: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


_REFUSED: Mapping[str, Refusal] = {
    "include": Refusal("segments of verbose_json have the mean of their log-probabilities"),
    "chunking_strategy": Refusal("a recording is cut where its segments end"),
    "keywords": Refusal("prompt takes words that are to be known"),
    "known_speaker_names": Refusal("speakers are not told apart"),
    "known_speaker_references": Refusal("speakers are not told apart"),
    "languages": Refusal("language takes one"),
}


def speech_call(body: TranslationBody, task: SpeechTask) -> SpeechCall:
    """The call that a body asks for. Segments have times, whatever the format: windows follow each other without a cut
    inside a word.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    if body.response_format not in FORMATS:
        asked = shown(body.response_format)
        raise InvalidRequest("response_format", f"is {asked}; allowed: {', '.join(FORMATS)}")
    language = ""
    if isinstance(body, TranscriptionBody):
        _check_transcription(body)
        language = body.language or ""
    how = GenerationCall(
        body.model,
        TokenPrompt(()),
        temperature=body.temperature,
        seed=body.seed,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        repetition_penalty=body.repetition_penalty,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
    )
    return SpeechCall(body.model, how, task, language, timestamps=True, prompt=body.prompt or "")


def _check_transcription(body: TranscriptionBody) -> None:
    check_refused(body, _REFUSED)
    for asked in body.timestamp_granularities:
        if asked != "segment":
            raise InvalidRequest("timestamp_granularities", f"has {shown(asked)}; allowed: segment")
    if body.timestamp_granularities and body.response_format != "verbose_json":
        raise InvalidRequest("timestamp_granularities", "are given; allowed: with response_format verbose_json")
    if body.stream and body.response_format not in STREAMED:
        allowed = ", ".join(STREAMED)
        raise InvalidRequest("response_format", f"is {shown(body.response_format)}; allowed with stream: {allowed}")
