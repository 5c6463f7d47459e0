"""Receipts of recordings: the sound that went in, what held for every window, and one seed for all of them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from attendant.core.generation import GenerationCall, TokenPrompt
from attendant.frontend.speech.calls import RawSound, SpeechResult

from tests.frontend.speech.helpers import RATE, Answer, FakeGenerator, asked, noise, pieces, speech_service
from tests.rpc.fake import run


def results(generator: FakeGenerator, sound: RawSound, **fields: Any) -> SpeechResult:
    found: list[SpeechResult] = []

    async def test() -> None:
        found.append(await speech_service(generator).transcribe(asked(**fields), sound))

    run(test)
    return found[0]


def test_the_input_is_the_sound() -> None:
    sound = noise(2.5)
    receipt = results(FakeGenerator(Answer((1, 2))), sound, receipt=True, timestamps=True).receipt
    assert receipt is not None
    samples = np.frombuffer(sound.pcm16, "<i2").astype(np.float32) / np.float32(2**15)
    assert sound.sampling_rate == RATE
    assert receipt.input == hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest()
    assert receipt.call == "speech"
    assert json.loads(receipt.settings) == {"task": "transcribe", "timestamps": True}
    assert receipt.seed is None


def test_a_stream_of_the_same_sound_has_the_same_receipt() -> None:
    sound = noise(2.5)
    whole = results(FakeGenerator(Answer((1, 2))), sound, receipt=True)
    last: list[Any] = []

    async def test() -> None:
        stream = speech_service(FakeGenerator(Answer((1, 2)))).stream(asked(receipt=True), pieces(sound))
        async for part in stream:
            last[:] = [part]

    run(test)
    assert last[0].receipt == whole.receipt


def test_windows_that_are_drawn_share_a_seed_that_is_told() -> None:
    generator = FakeGenerator(Answer((1, 2)))
    how = GenerationCall("", TokenPrompt(()), temperature=0.5)
    receipt = results(generator, noise(2.5), receipt=True, how=how).receipt
    assert receipt is not None
    seeds = {call.seed for call in generator.calls}
    assert len(generator.calls) > 1
    assert seeds == {receipt.seed}
    assert json.loads(receipt.settings)["temperature"] == 0.5


def test_nobody_gets_one_who_does_not_ask() -> None:
    generator = FakeGenerator(Answer((1, 2)))
    assert results(generator, noise(1)).receipt is None
    assert generator.calls[0].seed is None
