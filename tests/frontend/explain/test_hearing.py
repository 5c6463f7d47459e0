"""A recording as a subject: what is asked of the model, and which tokens and frames its attention is of."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from attendant.bundle.graph_io import SPECTRA
from attendant.core.chat import ChatPrompt
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt
from attendant.frontend.explain.calls import GivenAnswer, SoundFile, Subject
from attendant.frontend.explain.hearing import Listens, look
from attendant.frontend.explain.subjects import Looked
from attendant.frontend.speech.model import SpeechModel
from attendant.models.info import Tokenized
from attendant.settings import ExplainSettings

from tests.frontend.speech.helpers import (
    DE,
    ENGLISH_ONLY,
    EOS,
    MEDIA,
    PLAIN,
    RATE,
    SOT,
    TRANSCRIBE,
    Answer,
    FakeGenerator,
    T,
    speech_model,
)
from tests.synthetic import byte_tokenizer


class Letters:
    """Token 0 is " a", and so on; from EOS on they are special."""

    tokenizer = byte_tokenizer()
    special_tokens = {token: f"<{token}>" for token in range(EOS, T + 51)}  # noqa: RUF012

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True, whole: bool = True) -> str:
        said = [f"<{token}>" if token >= EOS else " " + chr(ord("a") + token) for token in token_ids]
        return "".join(text for text in said if not (skip_special_tokens and text.startswith("<")))

    def tokenize(self, prompt: TextPrompt | ChatPrompt, limit: int | None = None) -> Tokenized:
        assert isinstance(prompt, TextPrompt)
        assert not prompt.add_special_tokens
        assert limit is not None, "an answer that is far too long is not read"
        words = prompt.text.split()
        return Tokenized(tuple(ord(word) - ord("a") for word in words), tuple(words))


def sound(seconds: float) -> bytes:
    data = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * RATE))
    soundfile.write(data, samples, RATE, format="WAV")
    return data.getvalue()


def looked(
    data: bytes, answer: GivenAnswer | None = None, *, english: bool = False, says: Answer | None = None
) -> tuple[Looked, FakeGenerator]:
    generator = FakeGenerator(says or Answer((0, 1, 2)))
    part = replace(speech_model(speech=ENGLISH_ONLY) if english else speech_model(), text=Letters())  # type: ignore[arg-type]
    settings = ExplainSettings(answer_tokens=5)
    listens = Listens(SpeechModel(part), part, generator, MEDIA, settings, CallContext.new())
    return asyncio.run(look(listens, Subject(SoundFile(data)), answer)), generator


def test_what_is_heard_follows_what_the_model_is_told() -> None:
    found, generator = looked(sound(0.5))
    told = (SOT, DE, TRANSCRIBE, PLAIN)
    assert found.subject.arrays["input_ids"].tolist() == [*told, 0, 1, 2]
    assert (found.num_prompt, found.answer.text, found.answer.token_ids) == (4, " a b c", (0, 1, 2))
    assert [token.special for token in found.tokens] == [True] * 4 + [False] * 3
    assert [token.text for token in found.tokens][4:] == list(found.answer.tokens) == [" a", " b", " c"]
    (call,) = generator.calls
    assert call.max_tokens == 5 + 3
    assert call.temperature == 0
    assert found.subject.source is not None
    assert found.subject.source.arrays[SPECTRA.input_features.name].shape == (8, 100)


def test_frames_know_when_they_begin_and_which_are_behind_the_end() -> None:
    found, _ = looked(sound(0.5))
    assert found.frame_s == pytest.approx(0.02)
    assert len(found.sources) == 50
    assert [token.text for token in found.sources][:3] == ["0.00 s", "0.02 s", "0.04 s"]
    assert [token.special for token in found.sources] == [index * 0.02 > 0.5 for index in range(50)]


def test_a_model_of_one_language_is_told_less() -> None:
    found, _ = looked(sound(0.2), english=True)
    assert found.subject.arrays["input_ids"].tolist() == [SOT, PLAIN, 0, 1, 2]


def test_an_answer_may_be_given() -> None:
    for answer in (GivenAnswer(text="d e"), GivenAnswer(token_ids=(3, 4))):
        found, _ = looked(sound(0.2), answer)
        assert (found.answer.text, found.answer.token_ids) == (" d e", (3, 4))
        assert found.subject.arrays["input_ids"].tolist()[4:] == [3, 4]
    none, _ = looked(sound(0.2), GivenAnswer(max_tokens=0))
    assert none.subject.arrays["input_ids"].tolist() == [SOT, DE, TRANSCRIBE, PLAIN]


@pytest.mark.parametrize(
    ("data", "answer", "field"),
    [
        (sound(1.2), None, "audio"),
        (b"no sound", None, "audio"),
        (sound(0.2), GivenAnswer(text=" "), "answer"),
        (sound(0.2), GivenAnswer(token_ids=()), "answer"),
        (sound(0.2), GivenAnswer(token_ids=(10**6,)), "answer.token_ids"),
    ],
)
def test_what_cannot_be_is_refused_by_name(data: bytes, answer: GivenAnswer | None, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        looked(data, answer)
    assert caught.value.field == field
