"""Calls on encoders beside others: a loop that stays free, a queue that is left, a drain."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import EmbeddingHead
from attendant.core.context import CallContext
from attendant.core.errors import AttendantError, DeadlineExceeded, Draining, InvalidRequest, QueueFull
from attendant.frontend.encoding.calls import ClassifyCall, EmbedCall
from attendant.frontend.encoding.service import EncodingService
from attendant.models.encoders import EncoderPart
from attendant.tasks.text import TextTokenizer, Tokens
from attendant.tasks.vectors import Floats

from tests.batching.helpers import FakeRunner
from tests.frontend.encoding.helpers import drain, items, load, num_active, with_encoders
from tests.frontend.generation.helpers import wait_until
from tests.synthetic_encoder import make_text_encoder


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> EncoderPart:
    return load(make_text_encoder(tmp_path_factory.mktemp("encoders") / "moods"), max_queue=10)


def test_long_texts_do_not_hold_up_the_loop(moods: EncoderPart, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop turns while they are read: whoever reads them waits for that."""
    tokenize, turned, reading = TextTokenizer.tokenize, threading.Event(), threading.Event()

    def watched(self: TextTokenizer, *texts: Any, **how: Any) -> list[Tokens]:
        turned.clear()
        reading.set()
        assert turned.wait(60), "the loop stands still"
        return tokenize(self, *texts, **how)

    async def test(service: EncodingService) -> None:
        async def turn() -> None:
            while True:
                await asyncio.sleep(0.001)
                if reading.is_set():
                    turned.set()

        watcher = asyncio.create_task(turn())
        with pytest.raises(InvalidRequest, match=r"more than \d+ tokens \(10000000 characters\)"):
            await service.classify(ClassifyCall("", items("word " * 2_000_000)))
        await service.classify(ClassifyCall("", items(*["some words " * 20] * 2000)))
        watcher.cancel()

    monkeypatch.setattr(TextTokenizer, "tokenize", watched)
    with_encoders([moods], test)
    assert reading.is_set()


def test_a_projection_runs_on_another_thread_than_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = EmbeddingHead(pooling="mean", dimensions=3)
    model = load(make_text_encoder(tmp_path / "vectors", "embed", embedding=vectors))
    project, threads = model.runner.project, set()

    def on_some_thread(pooled: Floats) -> Floats:
        threads.add(threading.get_ident())
        return project(pooled)

    monkeypatch.setattr(model.runner, "project", on_some_thread)

    async def test(service: EncodingService) -> None:
        assert len((await service.embed(EmbedCall("", items("a", "b")))).results) == 2

    with_encoders([model], test)
    assert threads
    assert threading.get_ident() not in threads, "the loop ran on this one"


@pytest.fixture
def held(moods: EncoderPart) -> tuple[EncoderPart, FakeRunner]:
    """A model that holds ten rows and whose runs wait for a gate."""
    runner = FakeRunner()
    runner.gate.clear()
    return replace(moods, runner=runner, max_rows=10), runner  # type: ignore[arg-type]


def test_a_call_that_is_given_up_leaves_the_queue(held: tuple[EncoderPart, FakeRunner]) -> None:
    model, runner = held

    async def test(service: EncodingService) -> None:
        running = asyncio.create_task(service.classify(ClassifyCall("", items("a"))))
        await asyncio.to_thread(runner.wait_until_running)
        waiting = asyncio.create_task(service.classify(ClassifyCall("", items(*"abcdefgh"))))
        await wait_until(lambda: num_active(service) == 9)
        with pytest.raises(QueueFull):
            await service.classify(ClassifyCall("", items("a", "b")))
        late = asyncio.create_task(service.classify(ClassifyCall("", items("a")), CallContext.new(timeout_s=0.05)))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        runner.gate.set()
        with pytest.raises(DeadlineExceeded):
            await late
        await asyncio.gather(running, return_exceptions=True)
        assert sum(map(len, runner.batches)) == 1  # what was given up never ran

    with_encoders([model], test)


def test_draining_refuses_and_fails_what_outlives_it(held: tuple[EncoderPart, FakeRunner]) -> None:
    model, runner = held

    async def test(service: EncodingService) -> None:
        calls = [asyncio.create_task(service.classify(ClassifyCall("", items("a")))) for _ in range(3)]
        await wait_until(lambda: num_active(service) == 3)
        draining = asyncio.create_task(drain(service, 0.1))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await service.classify(ClassifyCall("", items("a")))
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(failure, AttendantError) for failure in failures)
        runner.gate.set()
        await draining

    with_encoders([model], test)
