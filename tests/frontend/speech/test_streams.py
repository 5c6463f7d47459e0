"""Sound that arrives while it is transcribed: segments, text that may change, senders that are too fast or go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import numpy as np
import pytest
from attendant.core.errors import Draining, InvalidRequest, QueueFull
from attendant.core.generation import BeamCall, GenerationCall, TokenPrompt
from attendant.frontend.speech import transcription
from attendant.frontend.speech.calls import Partial, RawSound, Segment, SoundData, SpeechResult
from attendant.frontend.speech.service import SpeechService

from tests.frontend.speech.helpers import (
    PLAIN,
    RATE,
    Answer,
    FakeGenerator,
    T,
    asked,
    drain,
    noise,
    pieces,
    speech_service,
)
from tests.rpc.fake import run
from tests.tasks.test_audio import wav


def streaming(
    generator: FakeGenerator, test: Callable[[SpeechService, Callable[..., AsyncIterator[object]]], object]
) -> None:
    async def whole() -> None:
        service = speech_service(generator)
        await test(service, lambda sounds, **fields: service.stream(asked(**fields), sounds))  # type: ignore[misc]
        assert generator.num_open == 0
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert len(others) <= 1, "readers have ended; the rest is the test's own limit"

    run(whole)


def test_a_stream_tells_segments_and_then_the_whole() -> None:
    generator = FakeGenerator(Answer((0,)), Answer((1,)), Answer((2,)))

    async def test(service: SpeechService, stream: Callable[..., AsyncIterator[object]]) -> None:
        second = noise(1.0).pcm16
        cuts = [RawSound(second[i : i + 3200], RATE) for i in range(0, len(second), 3200)]
        parts = [part async for part in stream(pieces(*cuts, *cuts, RawSound(b"", RATE), cuts[0]))]
        assert [type(part) for part in parts] == [Segment, Segment, Segment, SpeechResult]
        result = parts[-1]
        assert isinstance(result, SpeechResult)
        assert result.segments == tuple(parts[:-1])
        assert [(part.end_s, part.text) for part in result.segments] == [(1, "a"), (2, "b"), (pytest.approx(2.1), "c")]

    streaming(generator, test)


def test_a_file_is_told_segment_by_segment_too() -> None:
    script = Answer((0,)), Answer((1,)), Answer((2,))
    file = SoundData(wav(np.frombuffer(noise(2.1).pcm16, "<i2")))
    found: list[object] = []

    async def test(service: SpeechService, stream: Callable[..., AsyncIterator[object]]) -> None:
        found.extend([part async for part in stream(file)])

    streaming(FakeGenerator(*script), test)
    *segments, result = found
    assert isinstance(result, SpeechResult)
    assert result.segments == tuple(segments)
    assert [(part.end_s, part.text) for part in result.segments] == [(1, "a"), (2, "b"), (pytest.approx(2.1), "c")]


def test_while_nothing_comes_the_incomplete_window_is_told() -> None:
    generator = FakeGenerator(
        Answer((0,)), Answer((T, 0)), Answer((0, 1)), Answer((2,), logprob=-2, no_speech=0.9), Answer((0, 1, 2))
    )

    async def test(service: SpeechService, stream: Callable[..., AsyncIterator[object]]) -> None:
        sent: asyncio.Queue[RawSound | None] = asyncio.Queue()

        async def microphone() -> AsyncIterator[RawSound]:
            while (piece := await sent.get()) is not None:
                yield piece

        how = GenerationCall("", TokenPrompt(()), beam_search=BeamCall(3))
        parts = stream(microphone(), timestamps=True, how=how)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transcription, "PARTIAL_S", 0.2)
            sent.put_nowait(noise(0.1))
            sent.put_nowait(noise(0.1))
            first = asyncio.ensure_future(anext(parts))
            assert await first == Partial("a")
            sent.put_nowait(noise(0.2))  # the same text is not told twice
            second = asyncio.ensure_future(anext(parts))
            while len(generator.calls) < 2:
                await asyncio.sleep(0.001)
            sent.put_nowait(noise(0.2))
            assert await second == Partial("a b")
            sent.put_nowait(noise(0.3))
            assert await anext(parts) == Partial("")
            sent.put_nowait(noise(0.1))
            segment = await anext(parts)
            assert isinstance(segment, Segment)
            assert segment.text == "a b c"
            sent.put_nowait(None)
            result = await anext(parts)
            assert isinstance(result, SpeechResult)
            assert result.usage.prompt_tokens == 5 * 2
        partial, final = generator.calls[0], generator.calls[-1]
        asked = generator.demands[0]
        assert (partial.beam_search, asked.timestamps, asked.opening[-1]) == (BeamCall(1), None, (PLAIN,))
        assert final.beam_search == BeamCall(3)
        assert generator.demands[-1].timestamps is not None
        assert [len(inner.opening[0]) for inner in generator.demands] == [3] * 5, "nothing is settled by partial text"

    streaming(generator, test)


def test_a_busy_model_owes_nobody_partial_text() -> None:
    generator = FakeGenerator(Answer((0,)), QueueFull("ears", 8, 9.0), Answer((1,)))

    async def test(service: SpeechService, stream: Callable[..., AsyncIterator[object]]) -> None:
        end = asyncio.Event()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transcription, "PARTIAL_S", 0.2)
            parts = stream(pieces(noise(1.5), pause=end))
            assert isinstance(await anext(parts), Segment)
            last = asyncio.ensure_future(anext(parts))
            while len(generator.calls) < 2:
                await asyncio.sleep(0.001)
            end.set()
            segment = await last
            assert isinstance(segment, Segment)
            assert segment.text == "b"
            await parts.aclose()  # type: ignore[attr-defined]

    streaming(generator, test)


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (RawSound(b"abc", RATE), "pcm16 has 3 bytes"),
        (RawSound(b"ab", 8000), "sampling_rate is 8000; allowed: that of the first piece, 16000"),
    ],
)
def test_a_bad_piece_ends_the_stream(later: RawSound, words: str) -> None:
    async def test(service: SpeechService, stream: Callable[..., AsyncIterator[object]]) -> None:
        with pytest.raises(InvalidRequest, match=words):
            async for _ in stream(pieces(noise(0.1), later)):
                pass

    streaming(FakeGenerator(Answer((0,))), test)


def test_an_empty_stream_has_no_sound() -> None:
    async def test(service: SpeechService, stream: Callable[..., AsyncIterator[object]]) -> None:
        with pytest.raises(InvalidRequest, match="raw has no sound"):
            async for _ in stream(pieces()):
                pass

    streaming(FakeGenerator(Answer((0,))), test)


def test_a_sender_that_is_too_fast_waits() -> None:
    read = 0

    async def endless() -> AsyncIterator[RawSound]:
        nonlocal read
        while True:
            read += 1
            yield noise(1.0)

    async def test(service: SpeechService, stream: Callable[..., AsyncIterator[object]]) -> None:
        async with aclosing(stream(endless())) as parts:  # type: ignore[type-var]
            await anext(parts)
            while read < 60:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)
            assert read <= 75
            await anext(parts)

    streaming(FakeGenerator(Answer((0,))), test)


def test_a_stream_without_sound_ends_with_the_server() -> None:
    async def test(service: SpeechService, stream: Callable[..., AsyncIterator[object]]) -> None:
        parts = stream(pieces(noise(0.1), pause=asyncio.Event()))
        waiting = asyncio.ensure_future(anext(parts))
        await asyncio.sleep(0.05)
        await drain(service, 0.05)
        with pytest.raises(Draining, match=r"did not finish within 0\.05 s"):
            await waiting
        with pytest.raises(Draining, match="takes no new requests"):
            await service.transcribe(asked(), noise(1))

    streaming(FakeGenerator(Answer((0,))), test)
