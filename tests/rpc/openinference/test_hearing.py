"""Models that write what they hear behind named tensors: files and samples, whole and segment by segment."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from attendant.core.errors import InvalidRequest, StreamNeeded
from attendant.frontend.speech.calls import SoundData
from attendant.rpc.convert_speech import speech_response
from attendant.rpc.openinference.hearing import SpeechPort
from attendant_proto.v1 import speech_pb2
from google.protobuf.json_format import Parse

from tests.frontend.speech.helpers import RATE, Answer, FakeGenerator, T, asked, noise, speech_service
from tests.rpc.fake import FakeFrontEnd, FakeService, NoEncoders, run
from tests.rpc.openinference.calls import answer, answers, infer_call, values
from tests.tasks.test_audio import wav

SOUND = np.frombuffer(noise(2.5).pcm16, "<i2")
FILE = wav(SOUND)
SCRIPT = Answer((0, 1)), Answer((2, T + 3)), Answer((3,))


def with_port(test: Callable[[SpeechPort, FakeGenerator], Awaitable[None]], *script: Any) -> None:
    async def whole() -> None:
        generator = FakeGenerator(*(script or SCRIPT))
        front_end = FakeFrontEnd(FakeService(), NoEncoders(), speech_service(generator))
        await test(SpeechPort(front_end), generator)  # type: ignore[arg-type]
        assert generator.num_open == 0

    run(whole)


def test_a_recording_gives_its_text_and_segments() -> None:
    async def test(port: SpeechPort, generator: FakeGenerator) -> None:
        found = await answer(port, infer_call("ears", {"audio": FILE, "return_finish": True}))
        result = await speech_service(FakeGenerator(*SCRIPT)).transcribe(asked(), SoundData(FILE))
        assert found["text_output"] == [result.text]
        assert found["language"] == ["de"]
        told = json.loads(found["segments"][0])
        assert [(each["start_s"], each["end_s"], each["text"]) for each in told] == [
            (each.start_s, each.end_s, each.text) for each in result.segments
        ]
        whole = Parse(found["finish"][0], speech_pb2.SpeechResponse())
        expected = speech_response(result)
        for message in (whole, expected):
            message.ClearField("timings")
        assert whole == expected

    with_port(test)


def test_samples_are_a_recording_too() -> None:
    async def test(port: SpeechPort, generator: FakeGenerator) -> None:
        samples = (SOUND / 2**15).astype(np.float32)
        for call in (
            infer_call("ears", {"samples": samples, "sampling_rate": RATE}),
            infer_call("ears", {"samples": samples}, sampling_rate=str(RATE)),
        ):
            found = await answer(port, call)
            assert found["text_output"][0].startswith("a b")
        heard = [call.prompt.source.arrays["input_features"] for call in generator.calls]  # type: ignore[union-attr]
        assert all(np.array_equal(first, second) for first, second in zip(heard[:3], heard[3:], strict=True))

    with_port(test, *SCRIPT, *SCRIPT)


def test_a_stream_gives_a_response_for_each_segment() -> None:
    async def test(port: SpeechPort, generator: FakeGenerator) -> None:
        call = infer_call("ears", {"audio": FILE, "stream": True}, outputs=["text_output", "finish"])
        found = await answers(port, call)
        assert [each.last for each in found] == [False, False, False, True]
        told = [values(each) for each in found]
        assert [each["text_output"] for each in told] == [["a b"], ["c"], ["d"], [""]]
        assert [len(json.loads(each["segments"][0])) for each in told] == [1, 1, 1, 0]
        assert [each["finish"][0] for each in told[:-1]] == ["null"] * 3
        assert json.loads(told[-1]["finish"][0])["text"] == "a b c d"
        with pytest.raises(StreamNeeded):
            await answers(port, call, alone=True)

    with_port(test)


def test_parameters_reach_the_call() -> None:
    async def test(port: SpeechPort, generator: FakeGenerator) -> None:
        said = {"language": "fr", "task": "translate", "timestamps": "true", "temperature": "0.5", "top_k": 5}
        await answer(port, infer_call("ears", {"audio": FILE}, sampling=said, keep_special_tokens=False))
        call = generator.calls[0]
        assert (call.temperature, call.top_k) == (0.5, 5)
        assert generator.demands[0].timestamps is not None
        assert generator.prompts[0] != ()

    with_port(test, Answer((0,)))


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("nothing", {}, {}, "inputs", "have neither audio nor samples"),
    ("both", {"audio": FILE, "samples": np.zeros(3, np.float32)}, {}, "inputs", "are audio and samples"),
    ("no sound", {"audio": b"abc"}, {}, "inputs[audio]", ""),
    ("rate of a file", {"audio": FILE, "sampling_rate": 8000}, {}, "inputs[sampling_rate]", "a file says its own"),
    ("no rate", {"samples": np.zeros(3, np.float32)}, {}, "inputs[sampling_rate]", "is missing"),
    ("rate 0", {"samples": np.zeros(3, np.float32), "sampling_rate": 0}, {}, "inputs[sampling_rate]", "is 0"),
    ("rate of words", {"samples": np.zeros(3, np.float32)}, {"sampling_rate": "x"}, "parameters[sampling_rate]", "x"),
    (
        "rate too long",
        {"samples": np.zeros(3, np.float32)},
        {"sampling_rate": "1" * 5000},
        "parameters[sampling_rate]",
        "1...; allowed: 1 to 2147483647",
    ),
    ("nan", {"samples": np.full(3, np.nan, np.float32), "sampling_rate": RATE}, {}, "inputs[samples]", "no number"),
    ("task", {"audio": FILE}, {"task": "sing"}, "parameters[task]", "transcribe or translate"),
    ("language", {"audio": FILE}, {"language": "xx"}, "parameters[language]", ""),
    ("unknown", {"audio": FILE}, {"max_tokens": 3}, "parameters[max_tokens]", "is not known; allowed: "),
]


@pytest.mark.parametrize(
    ("inputs", "parameters", "field", "words"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_is_wrong_is_named(inputs: dict[str, Any], parameters: dict[str, Any], field: str, words: str) -> None:
    async def test(port: SpeechPort, generator: FakeGenerator) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await answers(port, infer_call("ears", inputs, **parameters))
        assert caught.value.field == field
        assert words in caught.value.reason
        assert not generator.calls, "nothing reaches the model"

    with_port(test)
