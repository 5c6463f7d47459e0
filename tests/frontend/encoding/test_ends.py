"""How calls on encoders end: drained, out of time, cancelled, and large ones that go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from attendant.core.context import CallContext
from attendant.core.encoding import Arrays, Row
from attendant.core.errors import Draining
from attendant.frontend.encoding import media
from attendant.frontend.encoding.calls import ClassifyCall, ClassifyImageCall
from attendant.frontend.encoding.service import EncodingService
from attendant.metrics import Metrics
from attendant.models.encoders import EncoderPart
from prometheus_client import CollectorRegistry

from tests.batching.helpers import FakeRunner
from tests.frontend.encoding.helpers import drain, items, load, num_active, png, with_encoders
from tests.frontend.generation.helpers import wait_until
from tests.synthetic_encoder import make_image_encoder, make_text_encoder

Models = dict[str, EncoderPart]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A model that reads and one that sees."""
    folder = tmp_path_factory.mktemp("encoders")
    bundles = [make_text_encoder(folder / "moods", "classify"), make_image_encoder(folder / "images")]
    return {bundle.name: load(bundle, max_queue=10) for bundle in bundles}


class Gated(FakeRunner):
    """A model's own runner, behind a gate."""

    def __init__(self, model: EncoderPart) -> None:
        super().__init__()
        self._real = model.runner

    def run(self, rows: Sequence[Row]) -> list[Arrays]:
        self.batches.append(tuple(row.id for row in rows))
        self.entered.release()
        assert self.gate.wait(300)
        return list(self._real.run(rows))


class Slow:
    """Preparation of images that waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()
        real: Any = media.pixel_values  # type: ignore[attr-defined]

        def pixel_values(*args: Any) -> object:
            self.entered.set()
            assert self.gate.wait(300)
            return real(*args)

        monkeypatch.setattr(media, "pixel_values", pixel_values)

    async def start(self, service: EncodingService) -> asyncio.Task[Any]:
        """A call that is in preparation now."""
        call = ClassifyImageCall("", (png((255, 0, 0)),))
        task: asyncio.Task[Any] = asyncio.create_task(service.classify_image(call))
        assert await asyncio.to_thread(self.entered.wait, 300)
        return task


def test_a_drain_lets_calls_finish_whatever_they_are_at(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, runner = Slow(monkeypatch), Gated(models["moods"])

    async def test(service: EncodingService) -> None:
        runner.hold()
        many = asyncio.create_task(service.classify(ClassifyCall("", items(*["some words"] * 3000))))
        await asyncio.to_thread(runner.wait_until_running)
        preparing = await slow.start(service)
        drained = asyncio.create_task(drain(service, 30))
        await asyncio.sleep(0)
        for call in (service.classify(ClassifyCall("", items("a"))), service.classify_image(ClassifyImageCall("", ()))):
            with pytest.raises(Draining, match="takes no new requests"):
                await call
        runner.gate.set()
        assert len((await many).results) == 3000
        assert not drained.done(), "a call that has no rows yet counts"
        slow.gate.set()
        assert len((await preparing).results) == 1
        await drained

    with_encoders([replace(models["moods"], runner=runner), models["images"]], test)  # type: ignore[arg-type]


def test_calls_that_outlive_the_drain_limit_fail(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, runner, metrics = Slow(monkeypatch), Gated(models["moods"]), Metrics(CollectorRegistry())

    async def test(service: EncodingService) -> None:
        runner.hold()
        many = asyncio.create_task(service.classify(ClassifyCall("", items(*["some words"] * 3000))))
        await asyncio.to_thread(runner.wait_until_running)
        preparing = await slow.start(service)
        await drain(service, 0.01)
        for call in (many, preparing):
            with pytest.raises(Draining, match=r"did not finish within 0\.01 s"):
                await call
        assert len(runner.batches) == 1
        runner.gate.set()
        slow.gate.set()

    with_encoders([replace(models["moods"], runner=runner), models["images"]], test, metrics)  # type: ignore[arg-type]
    for model, task in (("moods", "classify"), ("images", "classify_image")):
        line = f'encoder_requests_total{{model_name="{model}",outcome="draining",task="{task}"}} 1.0'
        assert line in metrics.render()[0].decode()


def test_a_cancel_at_the_deadline_is_counted_as_one(models: Models) -> None:
    runner, metrics = Gated(models["moods"]), Metrics(CollectorRegistry())

    async def test(service: EncodingService) -> None:
        runner.hold()
        held = asyncio.create_task(service.classify(ClassifyCall("", items("a"))))
        await asyncio.to_thread(runner.wait_until_running)
        calls = [
            asyncio.create_task(
                service.classify(ClassifyCall("", items("a", "b")), CallContext.new(timeout_s=timeout_s))
            )
            for timeout_s in (0.001, 60, None)
        ]
        await asyncio.sleep(0.01)
        for call in (*calls, held):
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        runner.gate.set()

    with_encoders([replace(models["moods"], runner=runner)], test, metrics)  # type: ignore[arg-type]
    page = metrics.render()[0].decode()
    for outcome, count in (("deadline_exceeded", 1), ("cancelled", 3)):
        assert f'encoder_requests_total{{model_name="moods",outcome="{outcome}",task="classify"}} {count}.0' in page
    for error, count in (("deadline_exceeded", 2), ("request_cancelled", 4)):
        assert f'row_failures_total{{error="{error}",model_name="moods",task="classify"}} {count}.0' in page


def test_a_large_call_is_not_refused_in_the_middle(models: Models) -> None:
    runner = Gated(models["moods"])

    async def test(service: EncodingService) -> None:
        runner.hold()
        small = asyncio.create_task(service.classify(ClassifyCall("", items(*"abcde"))))
        await asyncio.to_thread(runner.wait_until_running)
        large = asyncio.create_task(service.classify(ClassifyCall("", items(*["some words"] * 500))))
        await wait_until(lambda: num_active(service) == 69)
        runner.gate.set()
        await asyncio.gather(small, large)

    with_encoders([replace(models["moods"], max_rows=100, runner=runner)], test)  # type: ignore[arg-type]
