"""A speech model without weights: windows of a second, a vocabulary of a hundred tokens, answers by script."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from attendant.bundle import AudioSource, Graph, KVLayer, Seq2SeqRules, SpecialTokens, Speech
from attendant.core.context import CallContext
from attendant.core.events import TokenLogprob
from attendant.core.generation import (
    Delta,
    Finish,
    GenerationCall,
    GenerationPart,
    SourcePrompt,
    TextPrompt,
    TokenPrompt,
)
from attendant.core.request import FinishReason, Timings, Usage
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.speech.calls import RawSound, SpeechCall
from attendant.frontend.speech.served import ServedListener
from attendant.frontend.speech.service import SpeechService
from attendant.metrics import Metrics
from attendant.models.generators import GeneratorPart
from attendant.models.info import Tokenized
from attendant.models.loaded import LoadedModel
from attendant.models.maker import maker_of
from attendant.models.table import ModelTable
from attendant.settings import SpeechSettings
from attendant.tasks.job_threads import JobThreads
from prometheus_client import CollectorRegistry

from tests.rpc.fake import manifest

MEDIA = JobThreads(2)
RATE = 16_000
WINDOW = RATE  # samples
EOS, SOT, EN, DE, FR, TRANSCRIBE, TRANSLATE, SILENCE, PREVIOUS, PLAIN, T = range(40, 51)
SPEECH = Speech(
    start_of_transcript=SOT,
    languages={"en": EN, "de": DE, "fr": FR},
    tasks={"transcribe": TRANSCRIBE, "translate": TRANSLATE},
    no_timestamps=PLAIN,
    first_timestamp=T,
    previous=PREVIOUS,
    no_speech=SILENCE,
    max_initial_timestamp=25,
)
ENGLISH_ONLY = SPEECH.model_copy(update={"languages": {}, "tasks": {}})


class Codec:
    """Token 0 is " a", token 1 is " b", and so on; 30 is a space; "!" is one that is special."""

    special_tokens: ClassVar = {SOT: "!"}

    def tokenize(self, prompt: TextPrompt) -> Tokenized:
        assert not prompt.add_special_tokens
        letters = prompt.text.replace(" ", "")
        return Tokenized(tuple(SOT if letter == "!" else ord(letter) - ord("a") for letter in letters), tuple(letters))

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        assert skip_special_tokens
        assert all(token < EOS for token in token_ids), "only text is for reading"
        return "".join(" " if token == 30 else " " + chr(ord("a") + token) for token in token_ids)


def speech_model(name: str = "ears", speech: Speech | None = SPEECH) -> GeneratorPart:
    source = AudioSource(max_length=50, num_mel_bins=8, num_frames=100)
    values = {
        "name": name,
        "vocab_size": T + 51,
        "special_tokens": SpecialTokens(eos=(EOS,)),
        "encoder_input": source if speech else None,
        "graphs": {"encoder": Graph(file="encoder.onnx", inputs=(), outputs=())},
        "cross_layers": (KVLayer(num_kv_heads=1, head_size=8, dtype="float32"),),
        "answer": Seq2SeqRules(start=(SOT,)),
        "speech": speech,
    }
    return GeneratorPart(
        manifest(**values),
        Codec(),  # type: ignore[arg-type]
        (),
        context_length=12,
        max_running=4,
        max_requests=8,
    )


@dataclass(frozen=True)
class Answer:
    """What the model says to a window: text and timestamps after what it was told to open with."""

    tokens: tuple[int, ...] = ()
    logprob: float = -0.1
    no_speech: float = 0.01
    language: int = DE


class FakeGenerator:
    """Answers windows in turn by script; an exception is raised, "wait" waits for ever. The last one repeats."""

    def __init__(self, *script: Answer | Exception | str) -> None:
        self._script = list(script)
        self.calls: list[GenerationCall] = []
        self.demands: list[InnerCall] = []
        self.contexts: list[CallContext] = []
        self.num_open = 0
        self.began = asyncio.Event()

    async def generate_inner(self, inner: InnerCall, context: CallContext) -> AsyncGenerator[GenerationPart, None]:
        self.calls.append(inner.call)
        self.demands.append(inner)
        self.contexts.append(context)
        self.num_open += 1
        self.began.set()
        try:
            answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
            await asyncio.sleep(0)
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, str):
                await asyncio.Event().wait()
                raise AssertionError("nobody sets it")
            for part in _parts(inner, answer):
                yield part
                await asyncio.sleep(0)
        finally:
            self.num_open -= 1

    @property
    def prompts(self) -> list[tuple[int, ...]]:
        """The decoder's prompts."""
        return [_source(call).prefix for call in self.calls]

    @property
    def loudness(self) -> list[int]:
        """Of each window, frames that are not as silent as can be."""
        features = [_source(call).source.arrays["input_features"] for call in self.calls]
        return [int((array > array.max() - 1.9).any(axis=0).sum()) for array in features]


def _source(call: GenerationCall) -> SourcePrompt:
    assert isinstance(call.prompt, SourcePrompt)
    assert call.prompt.source.length == 50
    assert call.prompt.source.arrays["input_features"].shape == (8, 100)
    assert call.logprobs == 0
    return call.prompt


def _parts(inner: InnerCall, answer: Answer) -> list[GenerationPart]:
    chances = {EN: 0.1, DE: 0.1, FR: 0.1, answer.language: 0.6, SILENCE: answer.no_speech}
    opened = [choice[0] if len(choice) == 1 else answer.language for choice in inner.opening]
    tokens = (*opened, *answer.tokens, EOS)
    logprobs = [TokenLogprob(token, answer.logprob if i >= len(opened) else -9.0) for i, token in enumerate(tokens)]
    asked = tuple(math.log(chances[token]) for token in inner.asked_logprobs)
    logprobs[0] = TokenLogprob(logprobs[0].token_id, logprobs[0].logprob, (), asked)
    half = len(tokens) // 2
    return [
        *(
            Delta(0, "?", tokens[part], tuple(logprobs[part]))
            for part in (slice(half), slice(half, None))
            if tokens[part]
        ),
        Finish(0, FinishReason.STOP, Usage(2, 0, len(tokens)), Timings(1, 10, 100, 11, 111), stop_token_id=EOS),
    ]


def speech_service(
    generator: FakeGenerator, *models: GeneratorPart, metrics: Metrics | None = None, **settings: float
) -> SpeechService:
    counted = metrics or Metrics(CollectorRegistry())
    table: ModelTable[Any] = ModelTable(lambda model: pytest.fail("nobody loads one"))
    for part in models or (speech_model(),):
        table.adopt(LoadedModel.of(part), WithoutEngines(part, counted))
    return SpeechService(table, lambda served: generator, counted, SpeechSettings(**settings), MEDIA)


class WithoutEngines:
    """What takes recordings of a model; its windows go to the test's generator."""

    ready = True

    def __init__(self, part: GeneratorPart, metrics: Metrics) -> None:
        self.name = part.name
        self.maker = maker_of(part.manifest)
        self.speech = None if part.manifest.speech is None else ServedListener(part, metrics.speech)

    def refuse(self, who: str) -> None:
        if self.speech is not None:
            self.speech.gate.refuse(who)

    async def drain(self, timeout_s: float) -> None:
        if self.speech is not None:
            await self.speech.gate.drain(timeout_s)


def table(service: SpeechService) -> ModelTable[Any]:
    """The table that the service asks."""
    models = service._models
    assert isinstance(models, ModelTable)
    return models


async def drain(service: SpeechService, timeout_s: float) -> None:
    """Drain every model of the table that the service asks."""
    await table(service).drain(timeout_s)


def asked(**fields: Any) -> SpeechCall:
    return SpeechCall(**{"model": "", "how": GenerationCall("", TokenPrompt(())), **fields})


def noise(seconds: float) -> RawSound:
    samples = np.random.default_rng(0).integers(-8000, 8000, round(seconds * RATE))
    return RawSound(samples.astype("<i2").tobytes(), RATE)


async def pieces(*sounds: RawSound, pause: asyncio.Event | None = None) -> AsyncIterator[RawSound]:
    for sound in sounds:
        yield sound
    if pause is not None:
        await pause.wait()
