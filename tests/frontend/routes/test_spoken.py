"""A recording through a real speech model, and what it heard through another model: Speech in, text out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from attendant.core.errors import InvalidRequest
from attendant.core.generation import BeamCall, GenerationCall, TokenPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.speech.calls import Partial, RawSound, SpeechCall, SpeechPart, SpeechResult
from attendant.metrics import Metrics
from attendant.models.info import ModelInfo
from prometheus_client import CollectorRegistry

from tests.frontend.generation.helpers import wait_until
from tests.frontend.routes.helpers import ask, counted, said, with_routes
from tests.synthetic import make_synthetic_bundle
from tests.whisper import make_whisper_bundle

pytest.importorskip("torch", reason="the exporter is not installed")

RATE = 16_000
ROUTES = """
routes:
  ears-too: {kind: shadow, model: whisper, shadow: whisper@1}
  spoken:
    kind: pipeline
    steps:
      - {name: hear, do: transcribe, model: ears-too, language: de}
      - {name: first, do: generate, model: one, prompt: "{{ text[:20] }}", max_tokens: 3}
      - {name: say, do: generate, model: one, prompt: "{{ text }} after {{ input[:20] }}", max_tokens: 6}
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [
        make_whisper_bundle(folder / "whisper"),
        make_synthetic_bundle(folder / "one", name="one", seed=1, eos_bias=-50),
    ]


def sound(seconds: float) -> RawSound:
    samples = np.random.default_rng(3).integers(-8000, 8000, round(seconds * RATE))
    return RawSound(samples.astype("<i2").tobytes(), RATE)


def call(model: str, **fields: object) -> SpeechCall:
    return SpeechCall(model, GenerationCall("", TokenPrompt(()), beam_search=BeamCall(1)), **fields)  # type: ignore[arg-type]


def test_what_was_heard_is_spoken_of_and_the_last_step_streams(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def pieces() -> AsyncIterator[RawSound]:
        yield sound(1.5)

    async def test(front_end: FrontEnd) -> None:
        heard = await front_end.speech.transcribe(call("whisper", language="de"), sound(1.5))
        text = heard.text.strip()
        first = (await said(front_end, ask("one", text[:20], 3)))[0].strip()
        expected = (await said(front_end, ask("one", f"{first} after {text[:20]}", 6)))[0]
        result = await front_end.speech.transcribe(call("spoken"), sound(1.5))
        assert result.text == expected.strip()
        assert (result.segments, result.language, result.duration_s) == ((), "de", heard.duration_s)
        assert [(step.name, step.model) for step in result.timings.steps] == [
            ("hear", "ears-too"),
            ("first", "one"),
            ("say", "one"),
        ]
        assert result.timings.total_ns >= result.timings.steps[-1].began_ns
        parts: list[SpeechPart] = [part async for part in front_end.speech.stream(call("spoken"), pieces())]
        assert all(isinstance(part, Partial) for part in parts[:-1])
        *partial, last = parts
        assert isinstance(last, SpeechResult)
        assert partial
        assert isinstance(partial[-1], Partial)
        assert (partial[-1].text.strip(), last.text) == (expected.strip(), expected.strip())
        with pytest.raises(InvalidRequest, match="timestamps is true; allowed with 'spoken'"):
            await front_end.speech.transcribe(call("spoken", timestamps=True), sound(0.5))
        with pytest.raises(InvalidRequest, match="'spoken', which is for task speech"):
            await said(front_end, ask("spoken"))
        info = front_end.get_model("spoken")
        assert isinstance(info, ModelInfo)
        assert info.capabilities == ("speech",)
        assert info.generation is not None
        assert info.generation.manifest.speech is not None
        await wait_until(lambda: front_end._services.shadows.num_running == 0)

    with_routes(bundles, ROUTES, test, metrics)
    shadows = counted(metrics, "shadow_requests_total")
    assert shadows == {("skipped", "ears-too", "whisper@1"): sum(shadows.values())}, "sound in pieces is not kept"


def test_a_recording_that_is_whole_has_a_shadow(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        alone = await front_end.speech.transcribe(call("whisper"), sound(1.0))
        found = await front_end.speech.transcribe(call("ears-too"), sound(1.0))
        assert found.text == alone.text
        await wait_until(lambda: front_end._services.shadows.num_running == 0)

    with_routes(bundles, ROUTES, test, metrics)
    assert counted(metrics, "shadow_requests_total") == {("equal", "ears-too", "whisper@1"): 1}


def test_who_leaves_while_it_is_heard_ends_the_work(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        leaving = asyncio.create_task(front_end.speech.transcribe(call("spoken"), sound(20)))
        await wait_until(lambda: front_end.routes.gate.taken == 1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        hubs = [entry.serving.generation for entry in front_end.models.entries if entry.serving is not None]
        await wait_until(lambda: not front_end.routes.gate.taken and not any(hub.gate.taken for hub in hubs if hub))

    with_routes(bundles, ROUTES, test)
