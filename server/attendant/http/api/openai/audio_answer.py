"""What was heard, in the formats of OpenAI's API."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Iterable
from typing import Any

from attendant.frontend.speech.calls import Segment, SpeechPart, SpeechResult, SpeechTask
from attendant.http.api.answers import Event, Events

CONTENT_TYPES = {
    "text": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
"""Of formats that are no JSON."""


def plain(result: SpeechResult, form: str) -> str:
    """The answer in one of the formats of :data:`CONTENT_TYPES`."""
    match form:
        case "srt":
            return _srt(result.segments)
        case "vtt":
            return _vtt(result.segments)
    return result.text + "\n"


def as_json(result: SpeechResult, task: SpeechTask) -> dict[str, Any]:
    """The text alone, and how long the recording was."""
    told = {"text": result.text}
    return told if task == "translate" else {**told, "usage": _duration(result)}


def verbose_json(result: SpeechResult, task: SpeechTask, temperature: float) -> dict[str, Any]:
    """The text and its segments. A translation is in English, whatever was spoken."""
    return {
        "task": task,
        "language": "english" if task == "translate" else result.language,
        "duration": result.duration_s,
        "text": result.text,
        "segments": [_segment(index, segment, temperature) for index, segment in enumerate(result.segments)],
        "usage": _duration(result),
    }


async def events(parts: AsyncIterable[SpeechPart]) -> Events:
    """The text, segment by segment. All deltas joined are the text."""
    async for part in parts:
        match part:
            case Segment():
                delta = {"type": "transcript.text.delta", "delta": part.gap + part.text}
                yield Event(delta, delta["type"])
            case SpeechResult():
                done = {"type": "transcript.text.done", "text": part.text, "usage": _tokens(part)}
                yield Event(done, "transcript.text.done")


def _duration(result: SpeechResult) -> dict[str, Any]:
    return {"type": "duration", "seconds": result.duration_s}


def _tokens(result: SpeechResult) -> dict[str, Any]:
    """Those of all windows."""
    prompt, completion = result.usage.prompt_tokens, result.usage.completion_tokens
    return {
        "type": "tokens",
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _segment(index: int, segment: Segment, temperature: float) -> dict[str, Any]:
    text = segment.text.encode()
    return {
        "id": index,
        "seek": round(100 * segment.start_s),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "tokens": list(segment.token_ids),
        "temperature": temperature,
        "avg_logprob": segment.mean_logprob,
        "compression_ratio": len(text) / len(zlib.compress(text)),  # as Radford et al. 2022 have it in their code
        "no_speech_prob": segment.no_speech_probability,
    }


def _srt(segments: Iterable[Segment]) -> str:
    """SubRip: numbered from 1 on, with commas before the milliseconds."""
    return "".join(
        [
            f"{number}\n{_time(each.start_s, ',')} --> {_time(each.end_s, ',')}\n{_one_block(each.text)}\n\n"
            for number, each in enumerate(segments, 1)
        ]
    )


def _vtt(segments: Iterable[Segment]) -> str:
    """WebVTT, section 4 of the W3C's recommendation: three characters mean something in it."""
    cues = [
        f"{_time(each.start_s, '.')} --> {_time(each.end_s, '.')}\n{_escaped(_one_block(each.text))}\n\n"
        for each in segments
    ]
    return "WEBVTT\n\n" + "".join(cues)


def _one_block(text: str) -> str:
    """An empty line would end it."""
    return "\n".join([line for line in text.splitlines() if line.strip()])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float, mark: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{milliseconds:03}"
