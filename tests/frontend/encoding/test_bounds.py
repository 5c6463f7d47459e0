"""What one call on an encoder may ask for, and where its work is done: no call holds up the loop or the memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded, InvalidRequest, ModelNotFound
from attendant.frontend.encoding import media, text
from attendant.frontend.encoding.calls import (
    AnswerCall,
    ClassifyCall,
    ClassifyImageCall,
    FillMaskCall,
    Question,
    TextItem,
)
from attendant.frontend.encoding.service import EncodingService
from attendant.models.encoders import EncoderPart
from attendant.rpc import status
from attendant.tasks import masks
from attendant.tasks.job_threads import JobThreads
from attendant.tasks.masks import FilledMask, MaskFiller

from tests.frontend.encoding.helpers import TOKENIZER, load, with_encoders
from tests.frontend.generation.helpers import wait_until
from tests.synthetic_encoder import make_image_encoder, make_text_encoder

Models = dict[str, EncoderPart]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("encoders")
    bundles = [
        make_text_encoder(folder / "moods", "classify"),
        make_text_encoder(folder / "answers", "answer"),
        make_text_encoder(folder / "masks", "fill_mask"),
        make_image_encoder(folder / "images"),
    ]
    return {bundle.name: load(bundle) for bundle in bundles}


def mask_name(models: Models) -> str:
    mask_id = models["masks"].manifest.input.mask_id  # type: ignore[union-attr]
    assert mask_id is not None
    name = TOKENIZER.id_to_token(mask_id)
    assert name is not None
    return name


def refusal(model: EncoderPart, call: Any) -> InvalidRequest:
    """What the service says to a call, before any row of it runs."""
    found: list[InvalidRequest] = []

    async def test(service: EncodingService) -> None:
        run: Callable[[Any], Any] = {  # type: ignore[assignment]
            FillMaskCall: service.fill_mask,
            AnswerCall: service.answer,
            ClassifyCall: service.classify,
        }[type(call)]
        with pytest.raises(InvalidRequest) as caught:
            await run(call)
        found.append(caught.value)

    with_encoders([model], test)
    return found[0]


@pytest.mark.parametrize("top_k", [0, 101, 2**32 - 1])
def test_the_results_of_a_mask_and_of_a_question_are_bounded(models: Models, top_k: int) -> None:
    reason = f"is {top_k}; allowed: 1 to 100"
    for model, call in (
        ("masks", FillMaskCall("", ("no mask is looked for",), top_k=top_k)),
        ("answers", AnswerCall("", (Question("q", "c"),), top_k=top_k)),
    ):
        error = refusal(models[model], call)
        assert (error.field, error.reason) == ("top_k", reason)


@pytest.mark.parametrize("longest", [0, 513])
def test_the_length_of_answers_is_bounded(models: Models, longest: int) -> None:
    error = refusal(models["answers"], AnswerCall("", (Question("q", "c"),), max_answer_tokens=longest))
    assert (error.field, error.reason) == ("max_answer_tokens", f"is {longest}; allowed: 1 to 512")


def test_the_masks_of_a_text_are_bounded(models: Models) -> None:
    name = mask_name(models)
    error = refusal(models["masks"], FillMaskCall("", ("a" + name, name * 65)))
    assert (error.field, error.reason) == ("texts[1]", "has 65 masks; allowed: 1 to 64")


def test_the_size_of_filled_texts_is_bounded(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"ab{mask_name(models)}" * 2
    call = FillMaskCall("", (text, text), top_k=3)
    size = 2 * 2 * 3 * len(text)
    monkeypatch.setattr(masks, "MAX_FILLED_CHARACTERS", size - 1)
    error = refusal(models["masks"], call)
    assert error.field == "texts"
    assert f"filled texts of {size} characters" in error.reason


@pytest.mark.parametrize(("top_k", "off_loop"), [(1, False), (100, True)])
def test_many_fills_are_found_off_the_loop(
    models: Models, monkeypatch: pytest.MonkeyPatch, top_k: int, off_loop: bool
) -> None:
    found: list[threading.Thread] = []
    fill = MaskFiller.fill

    def noted(*args: Any) -> tuple[FilledMask, ...]:
        found.append(threading.current_thread())
        return fill(*args)

    monkeypatch.setattr(MaskFiller, "fill", noted)

    async def test(service: EncodingService) -> None:
        ((mask,),) = (await service.fill_mask(FillMaskCall("", ("a" + mask_name(models),), top_k=top_k))).results
        assert len(mask.fills) == top_k

    with_encoders([models["masks"]], test)
    assert [thread is not threading.main_thread() for thread in found] == [off_loop]


def test_given_tokens_count_as_text_does() -> None:
    assert not text.is_long_input([TextItem(token_ids=[1] * 4000)])
    assert text.is_long_input([TextItem(token_ids=[1] * 4000), TextItem("a")])
    assert text.is_long_input([TextItem(token_ids=[1] * 2001), TextItem("a", "b" * 2000)])


def test_too_many_given_tokens_are_refused_unread(models: Models) -> None:
    call = ClassifyCall("", (TextItem(token_ids=range(10**12)),))  # no memory holds them
    error = refusal(models["moods"], call)
    assert error.field == "inputs[0]"
    assert "has 1000000000000 tokens" in error.reason


class SlowImages:
    """A model each of whose images waits for a leave, and the threads that decoded some: names, and whether daemons."""

    def __init__(self, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = replace(models["images"], max_rows=200)
        self.decoded: list[tuple[str, bool]] = []
        self.leave = threading.Semaphore(0)
        monkeypatch.setattr(media, "pixel_values", self._decode)

    def _decode(self, *_: object) -> np.ndarray:
        thread = threading.current_thread()
        self.decoded.append((thread.name, thread.daemon))
        assert self.leave.acquire(timeout=300)
        spec: Any = self.model.manifest.input
        return np.zeros((3, spec.height, spec.width), np.float32)


@pytest.fixture
def slow_images(models: Models, monkeypatch: pytest.MonkeyPatch) -> SlowImages:
    return SlowImages(models, monkeypatch)


def test_images_are_decoded_by_few_threads_that_nobody_waits_for(slow_images: SlowImages) -> None:
    async def test(service: EncodingService) -> None:
        calls = [asyncio.create_task(service.classify_image(ClassifyImageCall("", (b"x",) * 3))) for _ in range(4)]
        await wait_until(lambda: len(slow_images.decoded) == 2)
        slow_images.leave.release(12)
        await asyncio.gather(*calls)

    with_encoders([slow_images.model], test)
    assert len(slow_images.decoded) == 12
    assert {name for name, _ in slow_images.decoded} == {"media-0", "media-1"}
    assert all(daemon for _, daemon in slow_images.decoded)


async def another_call(service: EncodingService, slow_images: SlowImages) -> None:
    """Goes through all that was asked for before it."""
    slow_images.leave.release(300)
    assert len((await service.classify_image(ClassifyImageCall("", (b"x",) * 3))).results) == 3


def test_a_cancelled_call_decodes_no_more_images(slow_images: SlowImages) -> None:
    async def test(service: EncodingService) -> None:
        call = asyncio.create_task(service.classify_image(ClassifyImageCall("", (b"x",) * 100)))
        await wait_until(lambda: len(slow_images.decoded) >= 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await another_call(service, slow_images)
        assert len(slow_images.decoded) <= 2 + 3, "what two threads were at, and the other call"

    with_encoders([slow_images.model], test)


def test_a_late_call_decodes_no_more_images(slow_images: SlowImages) -> None:
    async def test(service: EncodingService) -> None:
        call = asyncio.create_task(
            service.classify_image(ClassifyImageCall("", (b"x",) * 60), CallContext.new(timeout_s=0.2))
        )
        await asyncio.sleep(0.3)
        slow_images.leave.release(100)
        with pytest.raises(DeadlineExceeded, match="deadline passed before the input at index"):
            await call
        await another_call(service, slow_images)
        assert len(slow_images.decoded) <= 2 + 3, "what two threads were at, and the other call"

    with_encoders([slow_images.model], test)


def test_a_job_that_fails_leaves_its_thread_for_others() -> None:
    threads = JobThreads(1)
    gate = threading.Event()
    first = threads.submit(gate.wait)
    given_up = threads.submit(lambda: 1)
    assert given_up.cancel()
    gate.set()
    assert first.result(10)
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(10)
    assert threads.submit(lambda: 2).result(10) == 2


@pytest.mark.parametrize("letter", ["a", "\U0001f600", "\0", "'"])
def test_a_long_name_leaves_room_for_those_that_exist(letter: str) -> None:
    _, message, _ = status.of(ModelNotFound(letter * 100_000, ("one", "two")), "id")
    assert message.endswith("is loaded; loaded models: 'one', 'two'")
    _, message, _ = status.of(ModelNotFound("a" * 200, ("one",)), "id")
    assert "a" * 200 in message
