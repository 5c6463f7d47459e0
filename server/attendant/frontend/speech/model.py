"""A model that writes what it hears: what it can be asked, and how a window becomes a generation."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from attendant.bundle import AudioSource, Speech
from attendant.bundle.graph_io import SPECTRA
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.events import TokenLogprob
from attendant.core.generation import BeamCall, Delta, Finish, GenerationPart, SourcePrompt, TextPrompt
from attendant.core.sampling import TimestampRule
from attendant.core.source import Source
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.speech.calls import SpeechCall
from attendant.models.generators import GeneratorPart
from attendant.tasks.mel import Floats, LogMel

NO_SPEECH_PROBABILITY = 0.6
NO_SPEECH_LOGPROB = -1.0
"""A window is silent if no speech is more probable than the first and its text less than the second (the thresholds of
Radford et al. 2022, section 4.5)."""


MOST_CHARACTERS = 32
"""Of a token of text before a recording: no more of it is read than may fit."""


class Generator(Protocol):
    """What runs the windows: :class:`attendant.frontend.generation.service.GenerationService`."""

    def generate_inner(self, inner: InnerCall, context: CallContext) -> AsyncGenerator[GenerationPart, None]:
        """The parts of an answer, to a part of a call that was let in before."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a model is asked about a window of sound.

    Attributes:
        features: [num_mel_bins, num_frames] float32.
        language: its token; None to have it detected, or for a model of one language.
        before: tokens of the text before it, at most :attr:`SpeechModel.max_before`.
        partial: for text that may change: without timestamps and beam search, which take longer.
        first: nothing of the recording was heard yet, so that it may be refused.
    """

    features: Floats
    language: int | None
    before: Sequence[int]
    partial: bool
    first: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """A model's answer to a window.

    Attributes:
        tokens: of text, and timestamps.
        language: its token, or None of a model of one language.
        language_probability: among all languages, of one that was detected; otherwise 1.
        mean_logprob: mean natural log-probability of the tokens, the one that ends them included.
        no_speech_probability: 0 where the model does not tell.
    """

    tokens: tuple[int, ...]
    language: int | None
    language_probability: float
    mean_logprob: float
    no_speech_probability: float
    finish: Finish

    @property
    def silent(self) -> bool:
        """Whether nobody speaks in the window."""
        return self.no_speech_probability > NO_SPEECH_PROBABILITY and self.mean_logprob < NO_SPEECH_LOGPROB


class SpeechModel:
    """One loaded model, whose manifest has a section ``speech``."""

    def __init__(self, model: GeneratorPart) -> None:
        speech, source = model.manifest.speech, model.manifest.encoder_input
        assert speech is not None, "whoever makes this has looked"
        assert isinstance(source, AudioSource), "the manifest has checked it"
        self.name = model.name
        self.manifest = model.manifest
        self.speech: Speech = speech
        self.source = source
        self.log_mel = LogMel(source)
        self.samples_per_timestamp = speech.seconds_per_timestamp * source.sampling_rate
        self.max_before = max(0, model.context_length // 2 - 1)
        self._model = model
        self._codes = {token: code for code, token in speech.languages.items()}

    def check(self, call: SpeechCall) -> None:
        """Check what does not depend on the sound.

        Raises:
            InvalidRequest: a language or a task that the model has not.
        """
        languages, tasks = self.speech.languages, self.speech.tasks
        if call.language and call.language not in languages:
            allowed = ", ".join(sorted(languages)) or "none, for this model has one language"
            raise InvalidRequest("language", f"is {call.language[:100]!r}; allowed: {allowed}")
        if call.task not in tasks and (tasks or call.task != "transcribe"):
            raise InvalidRequest("task", f"is {call.task}; allowed: {', '.join(sorted(tasks)) or 'transcribe'}")
        if call.condition_on_previous_text and self.speech.previous is None:
            raise InvalidRequest("condition_on_previous_text", "is true; allowed with this model: false")
        if call.prompt and self.speech.previous is None:
            raise InvalidRequest("prompt", "is given; allowed with this model: none, as it takes no text before")
        self.prompt_tokens(call.prompt)

    def prompt_tokens(self, prompt: str) -> tuple[int, ...]:
        """The last tokens of a text before the first window, as many as there is room for.

        Raises:
            InvalidRequest: special tokens are in it.
        """
        if not prompt.strip() or not self.max_before:
            return ()
        text = f" {prompt.strip()}"[-MOST_CHARACTERS * self.max_before :]
        tokens = self._model.text.tokenize(TextPrompt(text, add_special_tokens=False)).token_ids
        special = self._model.text.special_tokens
        if (found := next((special[token] for token in tokens if token in special), None)) is not None:
            raise InvalidRequest("prompt", f"has the special token {found!r}; allowed: text")
        return tokens[-self.max_before :]

    def code(self, language: int | None) -> str:
        """The code of a language's token; empty for none."""
        return self._codes.get(language, "") if language is not None else ""

    def text(self, tokens: Sequence[int], *, keep_special_tokens: bool = False) -> str:
        """The text of tokens among which are no timestamps."""
        return self._model.text.decode(tokens, skip_special_tokens=not keep_special_tokens)

    async def hear(self, generator: Generator, call: SpeechCall, window: Window, context: CallContext) -> Heard:
        """The answer to a window of the call that has this context.

        Raises:
            AttendantError: refused or failed.
        """
        asked = self._generation(call, window)
        tokens: list[int] = []
        logprobs: list[TokenLogprob] = []
        finish: Finish | None = None
        async with aclosing(generator.generate_inner(asked, context)) as parts:
            async for part in parts:
                if isinstance(part, Delta):
                    tokens += part.token_ids
                    logprobs += part.logprobs
                else:
                    finish = part
        assert finish is not None, "every sequence ends with one"
        return self._heard(asked, tokens, logprobs, finish)

    def _generation(self, call: SpeechCall, window: Window) -> InnerCall:
        """The window as a generation. Everything that is known of the answer's begin is forced rather than prompted:
        the language is detected, and silence told, where the prompt ends."""
        speech, manifest = self.speech, self._model.manifest
        stamped = call.timestamps and not window.partial
        opening: list[tuple[int, ...]] = []
        asked: list[int] = []
        if speech.languages:
            detected = window.language is None
            opening.append(tuple(speech.languages.values()) if window.language is None else (window.language,))
            asked += speech.languages.values() if detected else ()
        if speech.tasks:
            opening.append((speech.tasks[call.task],))
        if not stamped:
            opening.append((speech.no_timestamps,))
        if speech.no_speech is not None:
            asked.append(speech.no_speech)
        rule = TimestampRule(
            first=speech.first_timestamp,
            no_timestamps=speech.no_timestamps,
            eos=manifest.special_tokens.eos[0],
            max_initial=speech.max_initial_timestamp,
        )
        told = (speech.previous, *window.before) if window.before and speech.previous is not None else ()
        source = Source({SPECTRA.input_features.name: window.features}, self.source.max_length)
        how = replace(
            call.how,
            model=self.name,
            prompt=SourcePrompt(source, (*told, speech.start_of_transcript)),
            beam_search=BeamCall(num_beams=1) if window.partial else call.how.beam_search,
            logprobs=0,
        )
        return InnerCall(how, tuple(opening), rule if stamped else None, tuple(asked), begun=not window.first)

    def _heard(
        self, asked: InnerCall, tokens: Sequence[int], logprobs: Sequence[TokenLogprob], finish: Finish
    ) -> Heard:
        told = dict(zip(asked.asked_logprobs, logprobs[0].asked, strict=True)) if logprobs else {}
        skipped = len(asked.opening)
        own = [entry.logprob for entry in logprobs[skipped:]]
        language = tokens[0] if self.speech.languages and tokens else None
        ends = self._model.manifest.special_tokens.eos
        no_speech = self.speech.no_speech
        return Heard(
            tokens=tuple(token for token in tokens[skipped:] if token not in ends),
            language=language,
            language_probability=_share(language, {t: told[t] for t in self._codes if t in told}),
            mean_logprob=sum(own) / len(own) if own else 0.0,
            no_speech_probability=math.exp(told[no_speech]) if no_speech in told else 0.0,
            finish=finish,
        )


def _share(language: int | None, logprobs: Mapping[int, float]) -> float:
    """A language's probability among those that it was chosen from; 1 if there was no choice."""
    if language is None or language not in logprobs:
        return 1.0
    best = max(logprobs.values())
    return math.exp(logprobs[language] - best) / sum(math.exp(value - best) for value in logprobs.values())
