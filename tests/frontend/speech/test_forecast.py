"""Recordings that would not be transcribed in their time: who is refused, and which windows end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded, WouldBeLate
from attendant.core.generation import GenerationPart
from attendant.frontend import timely
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.speech.calls import SoundData
from attendant.frontend.speech.forecast import WindowForecast
from attendant.frontend.speech.service import SpeechService

from tests.frontend.speech.helpers import Answer, FakeGenerator, asked, noise, speech_service, table
from tests.rpc.fake import run
from tests.tasks.test_audio import wav

HOUR_NS = 3600 * 10**9
"""What a window takes here: no machine is so slow that a test depends on it."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known stays fresh, however long a test takes."""
    monkeypatch.setattr(timely, "FRESH_NS", 100 * HOUR_NS)


def hours(count: float) -> CallContext:
    return CallContext.new("", count * 3600)


def slow(*inside: int) -> WindowForecast:
    """Windows take an hour for each recording inside."""
    forecast = WindowForecast("ears", predict=True, end_hopeless=True)
    for num_inside in inside or (1,):
        forecast.took(num_inside, num_inside * HOUR_NS)
    return forecast


def service(generator: FakeGenerator) -> tuple[SpeechService, WindowForecast]:
    made = speech_service(generator)
    (entry,) = table(made).entries
    forecast: Any = entry.serving.speech.forecast  # type: ignore[union-attr]
    return made, forecast


def test_a_recording_takes_as_long_as_its_windows_among_those_inside() -> None:
    forecast = slow(1, 4)
    with pytest.raises(WouldBeLate) as refused:
        forecast.check(3, 4, hours(12.5), first=True)
    assert (refused.value.what, refused.value.limit_s) == ("the result", pytest.approx(12.5 * 3600))
    assert refused.value.predicted_s == pytest.approx(12 * 3600 + 0.2 * 12.5 * 3600, rel=1e-3)
    assert forecast.check(3, 4, hours(19), first=True) == 12 * HOUR_NS
    forecast.check(3, 2, hours(10), first=True)
    forecast.check(1000, 4, CallContext.new(), first=True)


def test_one_that_is_alone_is_refused_only_by_far() -> None:
    slow().check(3, 1, hours(2), first=True)
    with pytest.raises(WouldBeLate):
        slow().check(3, 1, hours(1.4), first=True)


def test_a_target_of_the_first_token_is_for_the_first_window() -> None:
    context = replace(CallContext.new(), first_token_by_ns=hours(1.5).deadline_ns)
    with pytest.raises(WouldBeLate, match="the first part of the result"):
        slow(2).check(1, 2, context, first=True)
    slow(1, 2).check(9, 1, context, first=True)


def test_a_window_ends_only_if_no_run_was_so_fast() -> None:
    forecast = slow()
    forecast.check(3, 4, hours(3.1), first=False)
    with pytest.raises(DeadlineExceeded, match="the 3 windows that are left"):
        forecast.check(3, 4, hours(2.9), first=False)


def test_it_can_be_turned_off() -> None:
    forecast = WindowForecast("ears", predict=False, end_hopeless=False)
    forecast.took(1, HOUR_NS)
    forecast.check(9, 9, hours(0.1), first=True)
    forecast.check(9, 9, hours(0.1), first=False)


def file(seconds: float) -> SoundData:
    return SoundData(wav(np.frombuffer(noise(seconds).pcm16, "<i2") / 2**15))


def test_a_file_is_refused_by_its_length_before_it_costs_a_window() -> None:
    generator = FakeGenerator(Answer((0,)))

    async def test() -> None:
        served, forecast = service(generator)
        forecast.took(1, HOUR_NS)
        with pytest.raises(WouldBeLate, match="the result would come"):
            await served.transcribe(asked(), file(5), hours(1))
        assert not generator.demands

    run(test)


def test_a_recording_that_has_become_hopeless_ends_before_its_next_window() -> None:
    generator = FakeGenerator(Answer((0,)), Answer((1,)), Answer((2,)))

    async def test() -> None:
        served, forecast = service(generator)
        forecast.took(1, 2 * HOUR_NS)
        forecast.took = lambda *_: None  # type: ignore[method-assign]  # the test's generator takes no time
        with pytest.raises(DeadlineExceeded, match="the 2 windows that are left"):
            await served.transcribe(asked(), file(2.5), hours(3.5))
        assert len(generator.demands) == 1

    run(test)


def test_later_windows_have_no_target() -> None:
    class Noting(FakeGenerator):
        def generate_inner(self, inner: InnerCall, context: CallContext) -> AsyncGenerator[GenerationPart, None]:
            targets.append(context.first_token_by_ns)
            begun.append(inner.begun)
            return super().generate_inner(inner, context)

    targets: list[int | None] = []
    begun: list[bool] = []
    generator = Noting(Answer((0,)), Answer((1,)))

    async def test() -> None:
        by_ns = hours(1).deadline_ns
        context = replace(CallContext.new(), first_token_by_ns=by_ns)
        assert (await speech_service(generator).transcribe(asked(), file(1.5), context)).text == "a b"
        assert targets == [by_ns, None]
        assert begun == [False, True], "the first one may be refused, as nothing was heard"

    run(test)


def test_what_a_window_takes_counts_from_before_its_features_are_made() -> None:
    """They wait for those of others."""
    generator = FakeGenerator(Answer((0,)))

    async def test() -> None:
        served, forecast = service(generator)
        (entry,) = table(served).entries
        model: Any = entry.serving.speech.model  # type: ignore[union-attr]
        made = model.log_mel

        class Slow:
            num_samples = made.num_samples

            def __call__(self, sound: Any) -> Any:
                time.sleep(0.1)
                return made(sound)

        object.__setattr__(model, "log_mel", Slow())
        took: list[int] = []
        forecast.took = lambda num_inside, took_ns: took.append(took_ns)  # type: ignore[method-assign]
        await served.transcribe(asked(), file(0.5))
        (took_ns,) = took
        assert took_ns >= 100_000_000

    run(test)
