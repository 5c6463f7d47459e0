"""attendant.v1.Speech over a real connection: messages, streams, statuses, and cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from attendant.core.errors import InvalidRequest, QueueFull
from attendant.core.generation import BeamCall
from attendant.frontend.speech.calls import RawSound, SoundData
from attendant.rpc import convert_speech as convert
from attendant.rpc.server import SERVICES
from attendant_proto.v1 import generation_pb2, speech_pb2_grpc
from attendant_proto.v1 import speech_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.frontend.speech.helpers import RATE, Answer, FakeGenerator, T, noise, speech_model, speech_service
from tests.rpc.fake import FakeService, run, serving

OPTIONS = pb.SpeechStreamRequest(options=pb.SpeechOptions())


def raw(seconds: float) -> pb.RawAudio:
    return pb.RawAudio(pcm16=noise(seconds).pcm16, sampling_rate=RATE)


def sent(seconds: float) -> pb.SpeechStreamRequest:
    return pb.SpeechStreamRequest(raw=raw(seconds))


@asynccontextmanager
async def connected(generator: FakeGenerator) -> AsyncIterator[Any]:
    service = speech_service(generator, speech_model(), speech_model("mouth", speech=None))
    async with serving(FakeService(), speech=service) as (address, _), grpc.aio.insecure_channel(address) as channel:
        yield speech_pb2_grpc.SpeechStub(channel)


def test_options_become_a_call() -> None:
    options = pb.SpeechOptions(
        model="m",
        task=pb.SpeechOptions.TASK_TRANSLATE,
        language="de",
        timestamps=True,
        beam_search=generation_pb2.BeamSearch(num_beams=4, length_penalty=0.5),
        sampling=generation_pb2.Sampling(temperature=0, seed=3, logit_bias={5: 1.5}),
        condition_on_previous_text=True,
        prompt="Zoë",
    )
    call = convert.speech_call(options)
    assert (call.model, call.task, call.language) == ("m", "translate", "de")
    assert (call.timestamps, call.condition_on_previous_text, call.prompt) == (True, True, "Zoë")
    assert (call.how.beam_search, call.how.temperature, call.how.seed) == (BeamCall(4, 0.5), 0, 3)
    assert (call.how.logit_bias, call.how.top_k) == ({5: 1.5}, None)
    plain = convert.speech_call(pb.SpeechOptions())
    assert (plain.task, plain.language, plain.timestamps, plain.how.beam_search) == ("transcribe", "", False, None)


def test_sound_becomes_sound() -> None:
    assert convert.sound(pb.SpeechRequest(file=b"x")) == SoundData(b"x")
    assert convert.sound(pb.SpeechRequest(raw=pb.RawAudio(pcm16=b"ab", sampling_rate=8))) == RawSound(b"ab", 8)
    assert convert.stream_sound(pb.SpeechStreamRequest(raw=pb.RawAudio(pcm16=b"ab"))) == RawSound(b"ab", 0)


def test_messages_that_say_nothing_or_too_much() -> None:
    with pytest.raises(InvalidRequest, match=r"^options.task is 7; allowed: TASK_TRANSCRIBE, TASK_TRANSLATE$"):
        convert.speech_call(pb.SpeechOptions(task=7))  # type: ignore[arg-type]
    beams = generation_pb2.BeamSearch(early_stopping=9)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=r"^options.beam_search.early_stopping is 9"):
        convert.speech_call(pb.SpeechOptions(beam_search=beams))
    with pytest.raises(InvalidRequest, match=r"^audio is missing; allowed: one of file, raw"):
        convert.sound(pb.SpeechRequest())


def test_a_recording() -> None:
    async def test() -> None:
        generator = FakeGenerator(Answer((T, 0, T + 20, T + 20, 1, T + 30)))
        async with connected(generator) as stub:
            options = pb.SpeechOptions(timestamps=True)
            response = await stub.Transcribe(pb.SpeechRequest(options=options, raw=raw(1.0)), timeout=100)
            assert (response.text, response.language, response.duration_s) == ("a b", "de", 1.0)
            assert [(s.start_s, s.end_s, s.text, list(s.token_ids)) for s in response.segments] == [
                (0, 0.4, "a", [0]),
                (0.4, 0.6, "b", [1]),
            ]
            assert response.language_probability == pytest.approx(0.75)
            assert response.segments[0].no_speech_probability == pytest.approx(0.01)
            assert response.segments[0].mean_logprob == pytest.approx(-0.1)
            assert response.usage.completion_tokens == 9
            assert response.timings.total_s > response.timings.decode_s == pytest.approx(1e-7)
            left_s = generator.contexts[0].time_left_s()
            assert left_s is not None
            assert 0 < left_s < 101

    run(test)


@pytest.mark.parametrize(
    ("request_", "code", "field", "words"),
    [
        (pb.SpeechRequest(), "INVALID_ARGUMENT", "audio", "audio is missing"),
        (pb.SpeechRequest(file=b""), "INVALID_ARGUMENT", "file", "file is empty"),
        (pb.SpeechRequest(file=b"mp3"), "INVALID_ARGUMENT", "file", "no known format"),
        (pb.SpeechRequest(raw=pb.RawAudio(pcm16=b"ab")), "INVALID_ARGUMENT", "raw.sampling_rate", "0 Hz"),
        (
            pb.SpeechRequest(raw=raw(1), options=pb.SpeechOptions(language="xx")),
            "INVALID_ARGUMENT",
            "options.language",
            "options.language is 'xx'; allowed: de, en, fr",
        ),
        (pb.SpeechRequest(raw=raw(1), options=pb.SpeechOptions(model="eyes")), "NOT_FOUND", None, "'ears', 'mouth'"),
        (
            pb.SpeechRequest(raw=raw(1), options=pb.SpeechOptions(model="mouth")),
            "INVALID_ARGUMENT",
            "options.model",
            "allowed, for speech: 'ears'",
        ),
    ],
)
def test_what_is_refused(request_: pb.SpeechRequest, code: str, field: str | None, words: str) -> None:
    async def test() -> None:
        async with connected(FakeGenerator(Answer((0,)))) as stub:
            call = stub.Transcribe(request_)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert (caught.value.code().name, words in caught.value.details()) == (code, True), caught.value.details()
            if field is not None:
                bad = error_details_pb2.BadRequest()
                assert (await rpc_status.aio.from_call(call)).details[0].Unpack(bad)
                assert bad.field_violations[0].field == field

    run(test)


def test_a_stream() -> None:
    async def test() -> None:
        async with connected(FakeGenerator(Answer((0,)), Answer((1,)))) as stub:
            call = stub.StreamTranscribe()
            for request in (OPTIONS, sent(0.5), sent(0.7)):
                await call.write(request)
            first = await call.read()
            assert (first.segment.text, first.segment.end_s) == ("a", 1.0)
            await call.done_writing()
            assert (await call.read()).segment.text == "b"
            finish = (await call.read()).finish
            assert (finish.text, finish.duration_s, len(finish.segments)) == ("a b", pytest.approx(1.2), 2)
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK

    run(test)


def test_partial_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from attendant.frontend.speech import transcription

    monkeypatch.setattr(transcription, "PARTIAL_S", 0.3)

    async def test() -> None:
        async with connected(FakeGenerator(Answer((0,)), Answer((0, 1)))) as stub:
            call = stub.StreamTranscribe()
            await call.write(OPTIONS)
            await call.write(sent(0.5))
            assert (await call.read()).partial == "a"
            await call.done_writing()
            assert (await call.read()).segment.text == "a b"
            assert (await call.read()).finish.text == "a b"

    run(test)


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ((), "options are missing; allowed: a first request with options"),
        ((sent(1),), "options are missing"),
        ((pb.SpeechStreamRequest(),), "options are missing"),
        ((OPTIONS, OPTIONS), "options come twice"),
        ((OPTIONS, sent(0.1), OPTIONS), "options come twice"),
        ((OPTIONS, pb.SpeechStreamRequest()), "content is missing; allowed: raw"),
        ((OPTIONS,), "raw has no sound"),
        ((OPTIONS, pb.SpeechStreamRequest(raw=pb.RawAudio(pcm16=b"abc", sampling_rate=RATE))), "raw.pcm16 has 3 bytes"),
        ((pb.SpeechStreamRequest(options=pb.SpeechOptions(language="xx")),), "allowed: de, en, fr"),
    ],
)
def test_streams_that_are_refused(requests: tuple[pb.SpeechStreamRequest, ...], words: str) -> None:
    async def test() -> None:
        generator = FakeGenerator(Answer((0,)))
        async with connected(generator) as stub:
            call = stub.StreamTranscribe(iter(requests))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call:
                    pass
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert words in caught.value.details()
        assert not generator.calls

    run(test)


def test_an_error_after_segments_ends_the_stream() -> None:
    async def test() -> None:
        generator = FakeGenerator(QueueFull("ears", 8, 0.5))
        async with connected(generator) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.StreamTranscribe(iter((OPTIONS, sent(2)))).read()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert dict(caught.value.trailing_metadata())["retry-after-ms"] == "500"

    run(test)


@pytest.mark.parametrize("where", ["in a window", "waiting for sound", "as a whole"])
def test_cancelling_ends_the_work(where: str) -> None:
    async def test() -> None:
        generator = FakeGenerator(Answer((0,)), Answer((0,)) if where == "waiting for sound" else "wait")
        async with connected(generator) as stub:
            if where == "as a whole":
                call = stub.Transcribe(pb.SpeechRequest(raw=raw(2)))
            else:
                call = stub.StreamTranscribe()
                for request in (OPTIONS, sent(1.1 if where == "waiting for sound" else 2)):
                    await call.write(request)
                await call.read()
            while len(generator.calls) < (1 if where == "waiting for sound" else 2):
                await asyncio.sleep(0.01)
            call.cancel()
            while generator.num_open:
                await asyncio.sleep(0.01)
            while any("StreamFeed" in task.get_coro().__qualname__ for task in asyncio.all_tasks()):  # type: ignore[union-attr]
                await asyncio.sleep(0.01)

    run(test)


def test_the_service_is_known_to_health_and_reflection() -> None:
    assert "attendant.v1.Speech" in SERVICES
