"""Who is refused because the answer would be late, before it costs a step, and nobody else."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from attendant.core.context import CallContext
from attendant.core.errors import ContextExceeded, DeadlineExceeded, QueueFull, WouldBeLate
from attendant.core.pace import Pace
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.facts import EngineFacts
from attendant.engine.step_rules import StepRules
from attendant.frontend.generation.alike import rounded
from attendant.frontend.generation.forecast import Forecast
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.generation.service import GenerationService
from attendant.metrics import Metrics
from attendant.settings import AdmissionSettings
from prometheus_client import CollectorRegistry

from tests.frontend.generation.helpers import call, collect, hubs, load, table, wait_until, with_model
from tests.synthetic import make_slow_bundle

ENDLESS = call(max_tokens=8000, ignore_eos=True)
SHORT = call(max_tokens=4, ignore_eos=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_slow_bundle(tmp_path_factory.mktemp("b") / "m")


def forecast_of(service: GenerationService) -> Forecast:
    return hubs(service)[0].forecast


async def learn(service: GenerationService) -> None:
    """Have the engine learn its pace."""
    await collect(service, call(max_tokens=40, ignore_eos=True))


async def refused(service: GenerationService, context: CallContext) -> WouldBeLate:
    with pytest.raises(WouldBeLate) as caught:
        await collect(service, SHORT, context)
    return caught.value


def test_behind_a_long_answer_a_short_deadline_is_refused_at_once(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        await learn(service)
        task = asyncio.create_task(collect(service, ENDLESS))
        await wait_until(lambda: hubs(service)[0].load().running == 1)
        for deadline_s, first_s in ((0.5, None), (None, 0.5)):
            context = CallContext.new(timeout_s=deadline_s)
            if first_s is not None:
                context = replace(context, first_token_by_ns=context.arrival_ns + int(first_s * 1e9))
            error = await refused(service, context)
            assert error.what == ("the end of the answer" if first_s is None else "the first token")
            assert error.predicted_s > error.limit_s == pytest.approx(0.5)
            assert error.retry_after_s > 0.05
            assert "model 'slow' is busy" in str(error)
        estimate = await service.estimate(SHORT, CallContext.new(timeout_s=0.5))
        assert (estimate.known, estimate.admitted, estimate.requests_ahead) == (True, False, 1)
        assert estimate.end_s > estimate.first_token_s > 0.5
        assert (await service.estimate(SHORT)).admitted, "it has no deadline"
        assert hubs(service)[0].gate.taken == 1, "what is refused, or only asked about, has no place"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    registry = CollectorRegistry()
    with_model(load(bundle, max_num_seqs=1), test, Metrics(registry))
    labels = {"model_name": "slow", "error": "would_be_late"}
    assert registry.get_sample_value("attendant_request_failure_total", labels) == 2


def test_who_comes_too_late_for_a_first_token_is_refused_unread(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        await learn(service)
        task = asyncio.create_task(collect(service, ENDLESS))
        await wait_until(lambda: hubs(service)[0].load().running == 1)
        unreadable = call("x" * 100_000)
        with pytest.raises(ContextExceeded):
            await collect(service, unreadable)
        with pytest.raises(WouldBeLate):
            await collect(service, unreadable, CallContext.new(timeout_s=0.5))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with_model(load(bundle, max_num_seqs=1), test)


def test_nearly_alike_newcomers_are_looked_at_once() -> None:
    assert [rounded(number) for number in (0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1000)] == [
        *(0, 1, 7, 8, 9, 15, 16, 18, 64, 64, 72, 1024)
    ]


def test_without_deadline_nobody_is_refused_and_idle_engines_take_what_fits(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        await learn(service)
        _, ends = await collect(service, SHORT, CallContext.new(timeout_s=60))
        assert ends[0].usage.completion_tokens == 4
        many = await asyncio.gather(*[collect(service, SHORT) for _ in range(5)])
        assert all(ends[0].usage.completion_tokens == 4 for _, ends in many)

    registry = CollectorRegistry()
    with_model(load(bundle, max_num_seqs=1), test, Metrics(registry))
    labels = {"model_name": "slow", "what": "end"}
    assert registry.get_sample_value("attendant_request_foreseen_ratio_count", labels) == 1


def test_what_cannot_be_done_in_time_even_alone_is_refused(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        await learn(service)
        with pytest.raises(WouldBeLate):
            await collect(service, ENDLESS, CallContext.new(timeout_s=0.02))

    with_model(load(bundle), test)


def test_prediction_can_be_turned_off(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        await learn(service)
        hub = hubs(service)[0]
        off = AdmissionSettings(predict=False, end_hopeless=False)
        hub.forecast = Forecast("slow", [engine.facts for engine in hub._engines], 8192, off, hub._metrics)
        begin = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await collect(service, ENDLESS, CallContext.new(timeout_s=0.3))
        assert time.monotonic() - begin >= 0.3

    with_model(load(bundle), test)


def test_a_queue_has_tokens_enough(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        hub = hubs(service)[0]
        few = AdmissionSettings(max_queue_tokens=30)
        hub.forecast = Forecast("slow", [engine.facts for engine in hub._engines], 8192, few, hub._metrics)
        tasks = [asyncio.create_task(collect(service, ENDLESS))]
        await wait_until(lambda: hub.load().running == 1)
        tasks.append(asyncio.create_task(collect(service, call("x" * 25))))
        await wait_until(lambda: hub.gate.taken == 2)
        with pytest.raises(QueueFull, match="30 tokens of prompts"):
            await collect(service, call("y" * 25))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with_model(load(bundle, max_num_seqs=1), test)


def test_an_idle_engine_is_believed_to_have_become_faster() -> None:
    """Else a pace that was learnt while the machine was busy would refuse everybody, and never be corrected."""
    slow = Pace(step=1.0, num_steps=100)
    now_ns = time.monotonic_ns()
    facts = EngineFacts("one", 4, 128, 512, 16, StepRules(4, 64, kv_tokens=512, page_tokens=16), slow)
    forecast = Forecast("m", [facts], 128, AdmissionSettings(), Metrics(CollectorRegistry()))
    params = SamplingParams(max_tokens=8, ignore_eos=True)
    asked = Request("a", (1, 2, 3), params, now_ns, now_ns + int(4e9), sure_tokens=8)
    forecast.admit(0, asked, 1, inner=False)  # eight seconds at that pace
    forecast.submitted(0, asked)
    with pytest.raises(WouldBeLate):
        forecast.admit(0, replace(asked, id="b"), 1, inner=False)
    with pytest.raises(DeadlineExceeded):  # of its call something has come
        forecast.admit(0, replace(asked, id="b"), 1, inner=True)


def test_a_part_that_is_the_begin_of_its_call_may_be_refused(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        await learn(service)
        task = asyncio.create_task(collect(service, ENDLESS))
        await wait_until(lambda: hubs(service)[0].load().running == 1)
        (entry,) = table(service).entries
        for begun, error in ((False, WouldBeLate), (True, DeadlineExceeded)):
            parts = service.on(entry.serving).generate_inner(
                InnerCall(SHORT, begun=begun), CallContext.new(timeout_s=0.5)
            )
            with pytest.raises(error):
                await anext(parts)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with_model(load(bundle, max_num_seqs=1), test)
