"""Calls that explain, whatever happens to them or beside them: each ends once, and nobody else hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from attendant.core.attention import AttentionSubject
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded, Draining, EngineDead, QueueFull, StepFailed
from attendant.core.generation import Delta, GenerationCall, TextPrompt
from attendant.demo import demo_bundle
from attendant.frontend.explain.calls import Attended, AttentionCall, AttributeCall, GivenAnswer, Subject
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.loaded import LoadedModel
from prometheus_client import CollectorRegistry

from tests.frontend.explain.helpers import CHAT, demo, with_demos, with_models
from tests.frontend.generation.helpers import load, wait_until
from tests.frontend.generation.process_engine import engine_process
from tests.sidework.helpers import FAILS, FakeAttention
from tests.synthetic import make_synthetic_bundle

ENCODER, DECODER = "encoder", "decoder"
LOOK = AttentionCall("", Subject(TextPrompt("lovely film " * 3)), reduction="mean")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", eos_bias=-50)


def held(bundle: Path, kind: str, attention: FakeAttention) -> LoadedModel:
    """A model whose attention is ``attention``: a decoder with a place for two, or an encoder."""
    if kind == ENCODER:
        return LoadedModel.of(replace(demo("sentiment").encoders[0], attention=attention))
    return LoadedModel.of(replace(load(bundle, max_num_seqs=1, max_queue=1), attention=attention))


def look(kind: str) -> AttentionCall:
    return LOOK if kind == ENCODER else replace(LOOK, answer=GivenAnswer(max_tokens=0))


def taken(front_end: FrontEnd) -> int:
    """Places that calls and jobs hold, at all gates."""
    serving = [entry.serving for entry in front_end.models.entries]
    models = [served for served in serving if served is not None]
    gates = [served.explained for served in models]
    gates += [served.generation.gate for served in models if served.generation is not None]
    gates += [encoder.hub.gate for served in models for encoder in served.encoders.values()]
    return sum(gate.taken for gate in gates)


Test = Callable[[FrontEnd, "asyncio.Task[Attended]"], Awaitable[None]]


def while_it_runs(bundle: Path, kind: str, test: Test) -> FakeAttention:
    """Run ``test`` while a call is held in its first run; afterwards nothing of it may be left."""
    attention = FakeAttention()

    async def main(front_end: FrontEnd) -> None:
        attention.hold()
        task = asyncio.create_task(front_end.explain.attention(look(kind)))
        await asyncio.to_thread(attention.wait_until_running)
        try:
            await test(front_end, task)
        finally:
            attention.go_on()
        await wait_until(lambda: taken(front_end) == 0)

    assert with_models([held(bundle, kind, attention)], main) == []
    assert attention.num_closed == 1
    return attention


@pytest.mark.parametrize("kind", [DECODER, ENCODER])
def test_a_call_that_is_cancelled_ends_before_its_next_run(bundle: Path, kind: str) -> None:
    async def test(front_end: FrontEnd, task: asyncio.Task[Attended]) -> None:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert while_it_runs(bundle, kind, test).num_runs == 1


@pytest.mark.parametrize("kind", [DECODER, ENCODER])
def test_a_deadline_ends_a_call(bundle: Path, kind: str) -> None:
    # on a busy machine a short one passes while the call waits
    assert any(ends_while_it_runs(bundle, kind, timeout_s) for timeout_s in (0.3, 3, 30, 200))


def ends_while_it_runs(bundle: Path, kind: str, timeout_s: float) -> bool:
    """Whether a call with this deadline, which ends it in any case, had begun to run by then."""
    attention = FakeAttention()
    began = False

    async def main(front_end: FrontEnd) -> None:
        nonlocal began
        attention.hold()
        context = CallContext.new(timeout_s=timeout_s)
        task = asyncio.create_task(front_end.explain.attention(look(kind), context))
        began = await asyncio.to_thread(attention.runs_within, timeout_s)
        await asyncio.sleep(max(context.time_left_s() or 0, 0) + 0.05)
        attention.go_on()
        with pytest.raises(DeadlineExceeded, match="while it was running" if began else None):
            await task
        await wait_until(lambda: taken(front_end) == 0)

    assert with_models([held(bundle, kind, attention)], main) == []
    if began:
        assert (attention.num_runs, attention.num_closed) == (1, 1)
    return began


@pytest.mark.parametrize("kind", [DECODER, ENCODER])
def test_a_drain_lets_a_call_finish(bundle: Path, kind: str) -> None:
    attention = FakeAttention()

    async def main(front_end: FrontEnd) -> None:
        attention.hold()
        task = asyncio.create_task(front_end.explain.attention(look(kind)))
        await asyncio.to_thread(attention.wait_until_running)
        draining = asyncio.create_task(front_end.drain(300))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await front_end.explain.attention(look(kind))
        attention.go_on()
        assert (await task).pieces
        await draining

    assert with_models([held(bundle, kind, attention)], main) == []


@pytest.mark.parametrize("kind", [DECODER, ENCODER])
def test_a_drain_ends_a_call_that_outlives_it(bundle: Path, kind: str) -> None:
    async def test(front_end: FrontEnd, task: asyncio.Task[Attended]) -> None:
        draining = asyncio.create_task(front_end.drain(0.01))
        with pytest.raises(Draining, match=r"within 0\.01 s"):
            await task
        draining.cancel()

    while_it_runs(bundle, kind, test)


@pytest.mark.parametrize("kind", [DECODER, ENCODER])
def test_a_thread_that_dies_ends_its_calls(bundle: Path, kind: str) -> None:
    class Dies(FakeAttention):
        def runs(self, subject: AttentionSubject):  # type: ignore[no-untyped-def]
            yield next(super().runs(subject))
            raise SystemExit("the machine burns")

    async def main(front_end: FrontEnd) -> None:
        for _ in range(2):
            with pytest.raises(EngineDead):
                await front_end.explain.attention(look(kind))
        assert taken(front_end) == 0

    ((_, error),) = with_models([held(bundle, kind, Dies())], main)
    assert str(error) == "the machine burns"


def test_a_run_that_fails_costs_its_own_call(bundle: Path) -> None:
    async def main(front_end: FrontEnd) -> None:
        long = replace(look(DECODER), subject=Subject(TextPrompt("x" * FAILS)))
        with pytest.raises(StepFailed, match="the server's log has the cause"):
            await front_end.explain.attention(long)
        assert (await front_end.explain.attention(look(DECODER))).pieces
        assert taken(front_end) == 0

    assert with_models([held(bundle, DECODER, FakeAttention())], main) == []


def test_places_are_those_of_the_model(bundle: Path) -> None:
    async def test(front_end: FrontEnd, task: asyncio.Task[Attended]) -> None:
        waiting = asyncio.create_task(front_end.explain.attention(look(DECODER)))
        await wait_until(lambda: taken(front_end) == 4)  # two calls and two jobs
        with pytest.raises(QueueFull):
            await front_end.explain.attention(look(DECODER))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        task.cancel()

    while_it_runs(bundle, DECODER, test)


def test_an_attribution_that_is_cancelled_leaves_nothing_behind() -> None:
    async def test(front_end: FrontEnd) -> None:
        call = AttributeCall("demo", Subject(CHAT), GivenAnswer(token_ids=(17,) * 400))
        task = asyncio.create_task(front_end.explain.attribute(call))
        await wait_until(lambda: taken(front_end) > 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await wait_until(lambda: taken(front_end) == 0)

    with_demos(test, "bundle")


async def answers(front_end: FrontEnd) -> list[object]:
    """Tokens and log-probabilities of four conversations at once."""
    questions = ("Where is my order 48213?", "I want to return a coat", "Which sizes are there?", "hello")

    async def one(number: int, text: str) -> list[object]:
        call = GenerationCall(
            "demo",
            ChatPrompt((ChatMessage("user", text),)),
            max_tokens=60,
            temperature=float(number % 2),
            seed=number,
            logprobs=2,
        )
        parts = [part async for part in front_end.generation.generate(call)]
        return [entry for part in parts if isinstance(part, Delta) for entry in part.logprobs]

    return list(await asyncio.gather(*(one(number, text) for number, text in enumerate(questions))))


def test_answers_of_others_are_equal_to_the_bit() -> None:
    async def test(front_end: FrontEnd) -> None:
        alone = await answers(front_end)
        looks = AttentionCall("demo", Subject(CHAT), GivenAnswer(text="It is on its way. " * 9))
        first = await front_end.explain.attention(looks)
        ended = asyncio.Event()

        async def look_on() -> list[Attended]:
            found = []
            while not ended.is_set():
                found.append(await front_end.explain.attention(looks))
            return found

        looking = asyncio.create_task(look_on())
        beside = [await answers(front_end) for _ in range(3)]
        ended.set()
        found = await looking
        assert beside == [alone] * 3
        assert found
        for each in found:
            assert all(np.array_equal(a.weights, b.weights) for a, b in zip(each.pieces, first.pieces, strict=True))

    with_demos(test, "bundle", share=1.0)


def test_what_was_asked_is_counted(bundle: Path) -> None:
    registry = CollectorRegistry()

    async def main(front_end: FrontEnd) -> None:
        await front_end.explain.attention(look(DECODER))
        with pytest.raises(StepFailed):
            await front_end.explain.attention(replace(look(DECODER), subject=Subject(TextPrompt("x" * FAILS))))

    def counted(kind: str, outcome: str) -> float | None:
        labels = {"model_name": "synthetic", "kind": kind, "outcome": outcome}
        return registry.get_sample_value("attendant_explain_requests_total", labels)

    model = held(bundle, DECODER, FakeAttention())
    assert with_models([model], main, metrics=Metrics(registry)) == []
    assert (counted("attention", "success"), counted("attention", "step_failed")) == (1, 1)
    assert (counted("similarity", "success"), counted("attribute", "success")) == (0, 0)
    run_s = registry.get_sample_value("attendant_explain_run_seconds_total", {"model_name": "synthetic"})
    assert run_s
    assert run_s > 0


def test_jobs_cross_to_an_engine_in_another_process() -> None:
    process = engine_process(demo_bundle())

    async def main(front_end: FrontEnd) -> None:
        found = await front_end.explain.attention(AttentionCall("", Subject(CHAT), GivenAnswer(max_tokens=4)))
        assert found.answer.text.startswith("Thank you")
        assert all(np.allclose(piece.weights.sum(axis=-1), 1, atol=1e-5) for piece in found.pieces)
        too_late = CallContext.new(timeout_s=0.0)
        with pytest.raises(DeadlineExceeded):
            await front_end.explain.attention(AttentionCall("", Subject(CHAT), GivenAnswer(max_tokens=0)), too_late)
        process.kill()
        with pytest.raises(EngineDead):
            await front_end.explain.attention(AttentionCall("", Subject(CHAT), GivenAnswer(max_tokens=0)))

    deaths = with_models([demo("bundle")], main, engines=lambda part: process.clients())
    assert [name for name, _ in deaths] == ["demo"]
