"""The route that transcribes: a sound file, or what the page recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from attendant.core.context import CallContext
from attendant.core.generation import GenerationCall, TokenPrompt
from attendant.frontend.encoding.calls import Audio, TranscribeCall
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.speech.calls import SoundData, SpeechCall
from attendant.http.api.bodies import ApiBody, read_json
from attendant.http.calls import of_this_call
from attendant.http.page.answers import Line, in_one
from attendant.http.page.bodies import FileBytes


class TranscribeBody(ApiBody):
    """A sound file. ``language``: empty to detect it; that and ``task`` are for models that generate what they hear."""

    model: str
    audio: FileBytes
    task: Literal["transcribe", "translate"] = "transcribe"
    language: str = ""


class Hearing:
    """The endpoint. ``front_end``: asked at each request."""

    def __init__(self, front_end: Callable[[], FrontEnd]) -> None:
        self._front_end = front_end

    async def transcribe(self, request: Request) -> Response:
        """What was said, in segments or words with their times in seconds."""

        async def work() -> Line:
            body = await read_json(request, TranscribeBody)
            front_end, context = self._front_end(), of_this_call()
            if "speech" in front_end.get_model(body.model).capabilities:
                return await _generated(front_end, body, context)
            return await _read_off(front_end, body, context)

        return await in_one(request, work)


async def _generated(front_end: FrontEnd, body: TranscribeBody, context: CallContext) -> Line:
    how = GenerationCall(body.model, TokenPrompt(()))
    call = SpeechCall(body.model, how, task=body.task, language=body.language, timestamps=True)
    result = await front_end.speech.transcribe(call, SoundData(body.audio), context)
    timings = result.timings
    run_ns = timings.queue_ns + timings.prefill_ns + timings.decode_ns
    steps = [
        ("decode the sound", timings.total_ns - run_ns),
        ("queue", timings.queue_ns),
        ("prefill", timings.prefill_ns),
        ("decode", timings.decode_ns),
    ]
    return {
        "text": result.text,
        "parts": [{"text": part.text, "start_s": part.start_s, "end_s": part.end_s} for part in result.segments],
        "language": result.language,
        "duration_s": result.duration_s,
        "warnings": list(result.warnings),
        "steps": [{"name": name, "s": max(took_ns, 0) / 1e9} for name, took_ns in steps],
    }


async def _read_off(front_end: FrontEnd, body: TranscribeBody, context: CallContext) -> Line:
    call = TranscribeCall(body.model, (Audio(body.audio, is_wav=True),))
    encoded = await front_end.encoding.transcribe(call, context)
    result, usage = encoded.results[0], encoded.usage
    steps = [
        ("decode the sound", usage.preprocess_ns),
        ("queue", usage.queue_ns - usage.preprocess_ns),
        ("run", usage.compute_ns),
        ("read out", usage.total_ns - usage.queue_ns - usage.compute_ns),
    ]
    return {
        "text": result.text,
        "parts": [{"text": word.text, "start_s": word.start_s, "end_s": word.end_s} for word in result.words],
        "warnings": list(result.warnings),
        "steps": [{"name": name, "s": max(took_ns, 0) / 1e9} for name, took_ns in steps],
    }
