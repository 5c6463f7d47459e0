"""The routes /v1/audio/transcriptions and /v1/audio/translations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.frontend.front_end import FrontEnd
from attendant.frontend.speech.calls import SoundData, SpeechCall, SpeechTask
from attendant.http.api.answers import NO_STORE, Events, in_events, in_one
from attendant.http.api.openai import audio_answer as answer
from attendant.http.api.openai.audio_body import TranscriptionBody, TranslationBody, speech_call
from attendant.http.api.openai.audio_form import Form, read_form
from attendant.http.api.openai.errors import OPENAI
from attendant.http.calls import of_this_call

AUDIO = replace(OPENAI, fields={"task": "model"})
"""A model that does not translate is the wrong one."""


def audio_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """Texts of recordings, in the language that is spoken or in English."""

    async def transcriptions(request: Request) -> Response:
        return await _heard(request, models, TranscriptionBody, "transcribe")

    async def translations(request: Request) -> Response:
        return await _heard(request, models, TranslationBody, "translate")

    return [
        Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
        Route("/v1/audio/translations", translations, methods=["POST"]),
    ]


async def _heard(
    request: Request, models: Callable[[], FrontEnd], kind: type[TranslationBody], task: SpeechTask
) -> Response:
    form = await read_form(request, kind)
    call = speech_call(form.body, task)
    if isinstance(form.body, TranscriptionBody) and form.body.stream:

        async def events() -> Events:
            return _events(models(), call, form.file)

        return await in_events(request, AUDIO, events)

    async def whole() -> dict[str, Any] | Response:
        return await _whole(models(), form, call)

    return await in_one(request, AUDIO, whole)


async def _whole(front_end: FrontEnd, form: Form[Any], call: SpeechCall) -> dict[str, Any] | Response:
    result = await front_end.speech.transcribe(call, SoundData(form.file), of_this_call())
    asked = form.body.response_format
    if asked == "json":
        return answer.as_json(result, call.task)
    if asked == "verbose_json":
        return answer.verbose_json(result, call.task, form.body.temperature or 0.0)
    return Response(answer.plain(result, asked), 200, NO_STORE, answer.CONTENT_TYPES[asked])


async def _events(front_end: FrontEnd, call: SpeechCall, file: bytes) -> Events:
    async with aclosing(front_end.speech.stream(call, SoundData(file), of_this_call())) as parts:
        async for event in answer.events(parts):
            yield event
