"""Recordings to segments: windows, languages, silence, streams, and how calls end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attendant.core.context import CallContext
from attendant.core.errors import (
    AttendantError,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    QueueFull,
    StepFailed,
)
from attendant.core.generation import BeamCall, GenerationCall, TokenPrompt
from attendant.frontend.speech.calls import RawSound, SoundData, SpeechResult
from attendant.metrics import Metrics
from prometheus_client import CollectorRegistry

from tests.frontend.speech.helpers import (
    DE,
    EN,
    ENGLISH_ONLY,
    FR,
    PLAIN,
    PREVIOUS,
    RATE,
    SILENCE,
    SOT,
    TRANSCRIBE,
    TRANSLATE,
    Answer,
    FakeGenerator,
    T,
    asked,
    noise,
    pieces,
    speech_model,
    speech_service,
)
from tests.rpc.fake import run
from tests.tasks.test_audio import wav


def transcribe(generator: FakeGenerator, sound: RawSound | SoundData, **fields: Any) -> SpeechResult:
    found: list[SpeechResult] = []

    async def test() -> None:
        found.append(await speech_service(generator).transcribe(asked(**fields), sound))
        assert generator.num_open == 0

    run(test)
    return found[0]


def times(result: SpeechResult) -> list[tuple[float, float, str]]:
    return [(segment.start_s, segment.end_s, segment.text) for segment in result.segments]


def test_without_timestamps_a_window_is_a_segment() -> None:
    generator = FakeGenerator(Answer((0, 1)), Answer((2, T + 3)), Answer((3,)))
    result = transcribe(generator, noise(2.5))
    assert times(result) == [(0, 1, "a b"), (1, 2, "c"), (2, 2.5, "d")]
    assert (result.text, result.duration_s) == ("a b c d", 2.5)
    assert result.segments[0].token_ids == (0, 1)
    assert result.segments[0].mean_logprob == pytest.approx(-0.1)
    assert result.segments[0].no_speech_probability == pytest.approx(0.01)
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (6, 6 + 6 + 5)
    assert (result.timings.queue_ns, result.timings.prefill_ns, result.timings.decode_ns) == (3, 30, 300)
    assert result.timings.total_ns > result.timings.first_token_ns > 11
    assert all(inner.timestamps is None and inner.call.model == "ears" for inner in generator.demands)
    assert generator.loudness == [100, 100, 52]


def test_with_timestamps_the_next_window_begins_where_the_last_segment_ends() -> None:
    script = (
        Answer((T, 0, T + 20, T + 25, 1, T + 30, T + 30, 2)),  # 2 is heard again
        Answer((T, 2, T + 10, T + 10)),  # from 0.6 s
        Answer((T + 5, 3, T + 40)),  # from 0.8 s: nobody speaks after 1.6 s, the window ends at 1.8 s
        Answer((4, 5)),  # from 1.8 s
    )
    generator = FakeGenerator(*script)
    result = transcribe(generator, noise(2.0), timestamps=True, language="en")
    expected = [(0, 0.4, "a"), (0.5, 0.6, "b"), (0.6, 0.8, "c"), (0.8, 1.6, "d"), (1.8, 2.0, "e f")]
    assert [(pytest.approx(s), pytest.approx(e), text) for s, e, text in times(result)] == expected
    rule = generator.demands[0].timestamps
    assert rule is not None
    assert (rule.first, rule.no_timestamps, rule.eos, rule.max_initial) == (T, PLAIN, 40, 25)
    assert generator.demands[0].opening == ((EN,), (TRANSCRIBE,))
    assert (result.text, result.language, result.language_probability) == ("a b c d e f", "en", 1.0)


def test_what_was_heard_is_counted() -> None:
    async def test() -> None:
        metrics = Metrics(CollectorRegistry())
        service = speech_service(FakeGenerator(Answer((0,)), Answer((30,))), metrics=metrics)
        await service.transcribe(asked(), noise(1.5))
        assert [part async for part in service.stream(asked(), pieces(noise(0.5)))]
        page = metrics.render()[0].decode()
        assert 'attendant_speech_requests_total{model_name="ears",outcome="success"} 2.0' in page
        assert 'attendant_speech_windows_total{kind="speech",model_name="ears"} 1.0' in page
        assert 'attendant_speech_windows_total{kind="silence",model_name="ears"} 2.0' in page
        assert 'attendant_speech_audio_seconds_total{model_name="ears"} 2.0' in page

    run(test)


def test_the_language_is_detected_once() -> None:
    generator = FakeGenerator(Answer((0,), language=FR), Answer((1,)))
    result = transcribe(generator, noise(2.0), task="translate")
    assert [inner.opening for inner in generator.demands] == [
        ((EN, DE, FR), (TRANSLATE,), (PLAIN,)),
        ((FR,), (TRANSLATE,), (PLAIN,)),
    ]
    assert [inner.asked_logprobs for inner in generator.demands] == [(EN, DE, FR, SILENCE), (SILENCE,)]
    assert result.language == "fr"
    assert result.language_probability == pytest.approx(0.6 / 0.8)


def test_silence_has_no_segments_and_no_language() -> None:
    silent = Answer((9,), logprob=-1.5, no_speech=0.7)
    generator = FakeGenerator(silent, Answer((30,)), Answer((1,), no_speech=0.7), Answer((2,), logprob=-1.5))
    result = transcribe(generator, noise(4.0), condition_on_previous_text=True)
    assert times(result) == [(2, 3, "b"), (3, 4, "c")]
    assert (result.language, result.text) == ("de", "b c")
    assert generator.prompts == [(SOT,), (SOT,), (PREVIOUS, 30, SOT), (PREVIOUS, 30, 1, SOT)]
    assert [len(inner.opening[0]) for inner in generator.demands] == [3, 3, 3, 1]
    nothing = transcribe(FakeGenerator(silent), noise(1.0))
    assert (nothing.text, nothing.segments, nothing.language, nothing.duration_s) == ("", (), "", 1.0)


def test_windows_know_the_end_of_the_text_before_them() -> None:
    first = Answer((T, 0, T + 20, T + 20, 1, 2, T + 30, T + 30))
    generator = FakeGenerator(first, Answer((T, 3)))
    transcribe(generator, noise(1.5), timestamps=True, condition_on_previous_text=True)
    assert generator.prompts == [(SOT,), (PREVIOUS, T + 20, T + 20, 1, 2, T + 30, SOT)]  # half the context, minus one


@pytest.mark.parametrize("conditioned", [False, True])
def test_the_first_window_knows_the_prompt(conditioned: bool) -> None:
    generator = FakeGenerator(Answer((T, 0, T + 50)), Answer((T, 3)))
    said = transcribe(generator, noise(1.5), timestamps=True, condition_on_previous_text=conditioned, prompt=" e  f ")
    later = (PREVIOUS, 4, 5, T, 0, T + 50, SOT) if conditioned else (SOT,)
    assert generator.prompts == [(PREVIOUS, 4, 5, SOT), later]
    assert said.text == "a d"


def test_of_a_prompt_the_end_counts() -> None:
    generator = FakeGenerator(Answer((0,)))
    transcribe(generator, noise(1.0), prompt="abcdefghij")
    assert generator.prompts == [(PREVIOUS, 5, 6, 7, 8, 9, SOT)]  # half the context, minus one


def test_a_prompt_is_text() -> None:
    with pytest.raises(InvalidRequest, match="prompt has the special token '!'; allowed: text"):
        transcribe(FakeGenerator(Answer((0,))), noise(1.0), prompt="ab!")


def test_segments_know_what_stands_between_them() -> None:
    generator = FakeGenerator(Answer((T, 0, 30, T + 20, T + 20, 1, T + 50)), Answer((T, 3)))
    said = transcribe(generator, noise(1.5), timestamps=True)
    assert [(segment.gap, segment.text) for segment in said.segments] == [("", "a"), ("  ", "b"), (" ", "d")]
    assert "".join([segment.gap + segment.text for segment in said.segments]) == said.text


def test_a_model_of_one_language() -> None:
    generator = FakeGenerator(Answer((0,)))

    async def test() -> None:
        service = speech_service(generator, speech_model(speech=ENGLISH_ONLY))
        plain = await service.transcribe(asked(), noise(1.0))
        assert (plain.text, plain.language, plain.language_probability) == ("a", "", 1.0)
        await service.transcribe(asked(timestamps=True), noise(1.0))
        assert [inner.opening for inner in generator.demands] == [((PLAIN,),), ()]
        with pytest.raises(InvalidRequest, match=r"language is 'en'; allowed: none"):
            await service.transcribe(asked(language="en"), noise(1.0))
        with pytest.raises(InvalidRequest, match=r"task is translate; allowed: transcribe"):
            await service.transcribe(asked(task="translate"), noise(1.0))

    run(test)


def test_a_file_is_transcribed_like_its_samples() -> None:
    import numpy as np

    samples = np.frombuffer(noise(2.5).pcm16, "<i2") / 2**15
    result = transcribe(FakeGenerator(Answer((0,))), SoundData(wav(samples, "f4")))
    assert times(result) == [(0, 1, "a"), (1, 2, "a"), (2, 2.5, "a")]


def test_sampling_and_beams_reach_every_window() -> None:
    how = GenerationCall("", TokenPrompt(()), temperature=0.5, seed=3, beam_search=BeamCall(2))
    generator = FakeGenerator(Answer((0,)))
    transcribe(generator, noise(2.0), how=how)
    assert [(call.temperature, call.seed, call.beam_search) for call in generator.calls] == [(0.5, 3, BeamCall(2))] * 2


@pytest.mark.parametrize(
    ("fields", "sound", "error", "words"),
    [
        ({"language": "xx"}, noise(1), InvalidRequest, "language is 'xx'; allowed: de, en, fr"),
        ({"model": "eyes"}, noise(1), ModelNotFound, "no model named 'eyes' is loaded; loaded models: 'ears', 'mouth'"),
        ({"model": "mouth"}, noise(1), InvalidRequest, "model is 'mouth', which does not write what it hears"),
        ({}, RawSound(b"", RATE), InvalidRequest, "pcm16 has no sound; allowed: at least one sample"),
        ({}, RawSound(b"abc", RATE), InvalidRequest, "pcm16 has 3 bytes"),
        ({}, RawSound(b"ab", 0), InvalidRequest, "sampling_rate has a sampling rate of 0 Hz"),
        ({}, RawSound(b"ab", 2**31), InvalidRequest, "sampling_rate has a sampling rate of 2147483648 Hz"),
        ({}, noise(5.1), InvalidRequest, "pcm16 is longer than allowed: 5.1 s; allowed: 5 s"),
        ({}, SoundData(b""), InvalidRequest, "file is empty"),
        ({}, SoundData(b"abc"), InvalidRequest, "file is of no known format"),
        ({"timeout_s": 0.0}, noise(1), DeadlineExceeded, "the deadline passed"),
    ],
)
def test_what_is_refused_runs_nothing(
    fields: dict[str, Any], sound: RawSound | SoundData, error: type[Exception], words: str
) -> None:
    generator, metrics = FakeGenerator(Answer((0,))), Metrics(CollectorRegistry())
    context = CallContext.new(timeout_s=fields.get("timeout_s"))
    options = {name: value for name, value in fields.items() if name != "timeout_s"}

    async def test() -> None:
        models = (speech_model(), speech_model("mouth", speech=None))
        service = speech_service(generator, *models, metrics=metrics, max_duration_s=5)
        with pytest.raises(error, match=f"^{words}"):
            await service.transcribe(asked(**options), sound, context)

    run(test)
    assert not generator.calls
    page = metrics.render()[0].decode()
    assert 'outcome="success"} 0.0' in page
    assert 'attendant_speech_requests_total{model_name="' in page


def test_several_models_must_be_told_apart() -> None:
    async def test() -> None:
        service = speech_service(FakeGenerator(Answer((0,))), speech_model("a"), speech_model("b"))
        with pytest.raises(InvalidRequest, match=r"model is empty; allowed: 'a', 'b'"):
            await service.transcribe(asked(), noise(1))
        assert (await service.transcribe(asked(model="b"), noise(1))).text == "a"
        with pytest.raises(ModelNotFound, match="no model for task 'speech' is loaded"):
            await speech_service(FakeGenerator("wait"), speech_model("mouth", None)).transcribe(asked(), noise(1))

    run(test)


def test_a_model_without_a_token_for_text_before() -> None:
    async def test() -> None:
        deaf = speech_model(speech=ENGLISH_ONLY.model_copy(update={"previous": None}))
        service = speech_service(FakeGenerator(Answer((0,))), deaf)
        with pytest.raises(InvalidRequest, match=r"condition_on_previous_text is true"):
            await service.transcribe(asked(condition_on_previous_text=True), noise(1))
        with pytest.raises(InvalidRequest, match=r"prompt is given; allowed with this model: none"):
            await service.transcribe(asked(prompt="a"), noise(1))

    run(test)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (StepFailed("the run failed"), StepFailed),
        (InvalidRequest("top_p", "is 7; allowed: 1"), InvalidRequest),
        (QueueFull("ears", 8, 0.5), QueueFull),
    ],
)
def test_an_error_ends_the_call_once(error: AttendantError, raised: type[AttendantError]) -> None:
    async def test() -> None:
        script = (error,) if isinstance(error, QueueFull) else (Answer((0,)), error)
        generator = FakeGenerator(*script)
        parts = speech_service(generator).stream(asked(), pieces(noise(2.0)))
        seen: list[object] = []

        async def listen() -> None:
            async for part in parts:
                seen.append(part)

        with pytest.raises(raised) as caught:
            await listen()
        if isinstance(error, InvalidRequest):
            assert str(caught.value) == "top_p is 7; allowed: 1"
        assert len(seen) == len(script) - 1
        with pytest.raises(StopAsyncIteration):
            await anext(parts)
        assert (generator.num_open, len(generator.calls)) == (0, len(script))

    run(test)


def test_a_call_that_has_begun_waits_for_a_place() -> None:
    full = QueueFull("ears", 8, 0.01)
    result = transcribe(FakeGenerator(Answer((0,)), full, full, Answer((1,))), noise(2.0))
    assert result.text == "a b"


def test_cancelling_closes_the_window_that_runs() -> None:
    async def test() -> None:
        generator, metrics = FakeGenerator(Answer((0,)), "wait"), Metrics(CollectorRegistry())
        service = speech_service(generator, metrics=metrics)
        task = asyncio.create_task(service.transcribe(asked(), noise(2.0)))
        while len(generator.calls) < 2:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert generator.num_open == 0
        page = metrics.render()[0].decode()
        assert 'attendant_speech_requests_total{model_name="ears",outcome="cancelled"} 1.0' in page
        assert 'attendant_speech_windows_total{kind="speech",model_name="ears"} 1.0' in page
        assert 'attendant_speech_audio_seconds_total{model_name="ears"} 2.0' in page

    run(test)
