"""Recordings as subjects of models that write what they hear: one window, and what is said in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from attendant.bundle.graph_io import PACKED, SPECTRA
from attendant.core.attention import AttentionSubject
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import BeamCall, GenerationCall, TextPrompt
from attendant.core.source import Source
from attendant.frontend.explain.calls import Answered, GivenAnswer, SoundFile, Subject
from attendant.frontend.explain.subjects import Looked, refuse, refuse_beside
from attendant.frontend.explain.tokens import answer_texts, answer_tokens, frame_tokens, given_tokens
from attendant.frontend.generation.prompts import check_ids
from attendant.frontend.speech.calls import SpeechCall
from attendant.frontend.speech.feed import FileFeed
from attendant.frontend.speech.model import Generator, SpeechModel, Window
from attendant.models.generators import GeneratorPart
from attendant.settings import ExplainSettings
from attendant.tasks.job_threads import JobThreads
from attendant.tasks.mel import Floats


@dataclass(frozen=True, slots=True)
class Listens:
    """What a call needs of a model that hears: the model, what runs its windows and decodes files, and for whom."""

    model: SpeechModel
    part: GeneratorPart
    generator: Generator
    media: JobThreads
    settings: ExplainSettings
    context: CallContext


async def look(listens: Listens, subject: Subject, answer: GivenAnswer | None) -> Looked:
    """A recording of one window at most, and what is said in it, without timestamps.

    Raises:
        AttendantError: it is no recording, is too long, or could not be transcribed.
    """
    model, part, media, settings = listens.model, listens.part, listens.media, listens.settings
    refuse(subject, model.name, ("audio",))
    refuse_beside(subject, model.name)
    assert isinstance(subject.given, SoundFile)
    samples = await _samples(model, subject.given.data, media)
    features = await media.run(partial(model.log_mel, samples))
    given = answer or GivenAnswer()
    wanted = settings.answer_tokens if given.max_tokens is None else given.max_tokens
    asked = GenerationCall(
        model.name,
        TextPrompt(""),
        max_tokens=max(wanted, 1) + _num_opening(model),
        beam_search=BeamCall(1),
        temperature=0.0,
    )
    window = Window(features, language=None, before=(), partial=True)
    heard = await model.hear(listens.generator, SpeechCall(model.name, asked), window, listens.context)
    prompt = (model.speech.start_of_transcript, *_opening(model, heard.language))
    answered = _answered(part, given, heard.tokens[:wanted])
    ids = (*prompt, *answered.token_ids)
    frame_s = len(features[0]) * model.source.hop_length / model.source.sampling_rate / model.source.max_length
    duration_s = len(samples) / model.source.sampling_rate
    source = Source({SPECTRA.input_features.name: features}, model.source.max_length)
    return Looked(
        AttentionSubject({PACKED.input_ids.name: np.array(ids, np.int64)}, source),
        given_tokens(part.text, ids),
        frame_tokens(model.source.max_length, frame_s, duration_s),
        num_prompt=len(prompt),
        answer=answered,
        causal=True,
        frame_s=frame_s,
    )


def _answered(part: GeneratorPart, given: GivenAnswer, heard: Sequence[int]) -> Answered:
    ids = tuple(heard)
    if given.token_ids is not None:
        check_ids(part, given.token_ids, "answer.token_ids")
        ids = given.token_ids
    elif given.text is not None:
        ids = answer_tokens(part.text, given.text, part.context_length)
    if not ids and (given.token_ids is not None or given.text is not None):
        raise InvalidRequest("answer", "has 0 tokens; allowed: at least one")
    return Answered(part.text.decode(ids), ids, answer_texts(part.text, ids))


def _num_opening(model: SpeechModel) -> int:
    return bool(model.speech.languages) + bool(model.speech.tasks) + 1


def _opening(model: SpeechModel, language: int | None) -> tuple[int, ...]:
    speech = model.speech
    told = () if language is None else (language,)
    task = (speech.tasks["transcribe"],) if speech.tasks else ()
    return (*told, *task, speech.no_timestamps)


async def _samples(model: SpeechModel, data: bytes, media: JobThreads) -> Floats:
    """All of a recording; one that is longer than a window is refused."""
    rate, most = model.source.sampling_rate, model.log_mel.num_samples
    async with FileFeed(data, rate, most / rate, media, "audio") as feed:
        parts: list[Floats] = []
        while (more := await feed.more()) is not None:
            parts.append(more)
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if not 0 < len(samples) <= most:
        raise InvalidRequest("audio", f"lasts {len(samples) / rate:.2f} s; allowed: up to {most / rate:.0f} s")
    return samples
