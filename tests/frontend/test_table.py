"""Models that come and go while others serve: nobody else notices, and nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
import mmap
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import Manifest, read_any_manifest
from attendant.core.context import CallContext, working_for
from attendant.core.errors import BundleError, Draining, ModelFailed, ModelNotFound, Unavailable
from attendant.core.generation import Delta, GenerationCall, TextPrompt
from attendant.demo import demo_bundle
from attendant.frontend.encoding.calls import ClassifyCall
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models import garbage
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo, ModelState
from attendant.models.loaded import LoadedModel
from attendant.models.loader import ModelLoader
from attendant.rpc.servicers import GenerationServicer
from attendant.settings import EncoderSettings, EngineSettings
from attendant_proto.v1 import generation_pb2 as pb
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import items
from tests.frontend.generation.helpers import collect, wait_until
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

Test = Callable[[FrontEnd], Awaitable[None]]
DEMO = GenerationCall("demo", TextPrompt("Where is my parcel?"), max_tokens=60, seed=1, temperature=1.0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(
        tmp_path_factory.mktemp("b") / "other", name="other", eos_bias=-50, context_length=4096
    )


class Loader(ModelLoader):
    """Loads as any does, but not before it may."""

    may = threading.Event()

    def load(self, path: Path, manifest: Manifest, holder: str = "") -> LoadedModel:
        assert self.may.wait(60)
        return super().load(path, manifest, holder)


def with_front_end(test: Test, metrics: Metrics | None = None, **settings: object) -> list[dict[str, ModelState]]:
    """Run ``test`` beside the demo model that continues prompts; returns what was told as models came and went."""
    told: list[dict[str, ModelState]] = []

    async def main() -> None:
        async def on_change() -> None:
            told.append({entry.name: entry.state for entry in front_end.models.entries})

        chosen = EngineSettings(**{"threads": 1, "spinning": False, "max_num_seqs": 4} | settings)
        Loader.may.set()
        loader = Loader(chosen, encoder=EncoderSettings(threads=1, spinning=False), verify=False, progress=print)
        front_end = FrontEnd(
            metrics or Metrics(CollectorRegistry()),
            lambda name, error: pytest.fail(f"{name}: {error}"),
            loader=loader,
            on_change=on_change,
        )
        await front_end.start(await asyncio.to_thread(loader.load_all, [demo_bundle()]))
        try:
            await asyncio.wait_for(test(front_end), 120)
        finally:
            await front_end.close()

    asyncio.run(main())
    return told


def ask(model: str, max_tokens: int = 5) -> GenerationCall:
    return GenerationCall(model, TextPrompt("hello"), max_tokens=max_tokens)


async def tokens(front_end: FrontEnd, call: GenerationCall) -> list[tuple[int, float]]:
    """Tokens of an answer and their log-probabilities, to the bit."""
    found: list[tuple[int, float]] = []
    async for part in front_end.generation.generate(call):
        if isinstance(part, Delta):
            found += [(entry.token_id, entry.logprob) for entry in part.logprobs]
    return found


def test_a_request_is_not_disturbed_by_models_that_come_and_go(other: Path, tmp_path: Path) -> None:
    moods = make_text_encoder(tmp_path / "moods")
    call = GenerationCall("demo", TextPrompt("Where is my parcel?"), max_tokens=60, seed=1, temperature=1.0, logprobs=2)

    async def test(front_end: FrontEnd) -> None:
        alone = await tokens(front_end, call)
        assert len(alone) > 20
        beside: list[list[tuple[int, float]]] = []
        going = True

        async def ask_on() -> None:
            while going:
                beside.append(await tokens(front_end, call))

        asking = asyncio.create_task(ask_on())
        for _ in range(2):
            assert await front_end.models.load(other) == "other"
            assert await front_end.models.load(moods) == "moods"
            await collect(front_end.generation, ask("other"))
            labelled = await front_end.encoding.classify(ClassifyCall("moods", items("good")))
            assert len(labelled.results) == 1
            await front_end.models.unload("other", 1)
            await front_end.models.unload("moods", 1)
        going = False
        await asking
        assert len(beside) > 1
        assert all(answer == alone for answer in beside)
        with pytest.raises(ModelNotFound, match="no model named 'other' is loaded; loaded models: 'demo'"):
            await collect(front_end.generation, ask("other"))

    told = with_front_end(test)
    assert told[:4] == [
        {"demo": ModelState.READY, "other": ModelState.LOADING},
        {"demo": ModelState.READY, "other": ModelState.READY},
        {"demo": ModelState.READY, "other": ModelState.READY, "moods": ModelState.LOADING},
        {"demo": ModelState.READY, "other": ModelState.READY, "moods": ModelState.READY},
    ]
    assert told[4:6] == [
        {"demo": ModelState.READY, "other": ModelState.DRAINING, "moods": ModelState.READY},
        {"demo": ModelState.READY, "moods": ModelState.READY},
    ]


def test_nothing_of_a_model_that_left_stays(other: Path, tmp_path: Path) -> None:
    """Neither frozen garbage nor a cache of a method nor a closure keeps its sessions and its KV memory."""
    moods = make_text_encoder(tmp_path / "moods")

    async def test(front_end: FrontEnd) -> None:
        garbage.freeze()
        try:
            await front_end.models.load(other)
            await front_end.models.load(moods)
            assert gc.get_freeze_count() > 0, "the program is frozen"
            call = GenerationCall("other", TextPrompt("hello"), max_tokens=5, stop=("never",), logprobs=1)
            await collect(front_end.generation, call)
            await front_end.encoding.classify(ClassifyCall("moods", items("good")))
            left = [*parts_of(front_end, "other"), *parts_of(front_end, "moods")]
            assert len(left) > 10
            for name in ("other", "moods"):
                await front_end.models.unload(name, 1)
            assert [found for reference in left if (found := reference()) is not None] == []
            assert gc.get_freeze_count() > 0, "and stays so"
        finally:
            gc.unfreeze()

    with_front_end(test)


def parts_of(front_end: FrontEnd, name: str) -> list[weakref.ref[object]]:
    """Weak references to all that is heavy of a model, and to what holds it."""
    served = next(entry.serving for entry in front_end.models.entries if entry.name == name)
    assert served is not None
    found: list[object] = [served]
    if served.generation is not None:
        part = served.generation.model
        found += [served.generation, part.text, part.text.tokenizer, *part.engines]
        for engine in part.engines:
            runner: Any = engine._runner
            buffers = runner._memories[0]
            found += [runner, runner._session, buffers, *buffers.keys, *buffers.values]
    for encoder in served.encoders.values():
        found += [encoder, encoder.hub, encoder.hub.model.runner, encoder.hub.model.runner._session]
    return [reference(each) for each in found if (reference := _weakly(each))]


def _weakly(thing: object) -> Callable[[object], weakref.ref[object]] | None:
    try:
        weakref.ref(thing)
    except TypeError:  # a class with slots, or one of another language
        return None
    return weakref.ref


def test_memory_of_the_kv_cache_is_given_back(other: Path) -> None:
    """Its mappings are gone, and so is what backed them. What else the process holds is not looked at: it varies."""

    async def test(front_end: FrontEnd) -> None:
        await front_end.models.load(other)
        served = next(entry.serving for entry in front_end.models.entries if entry.name == "other")
        assert served is not None
        assert served.generation is not None
        runner: Any = served.generation.model.engines[0]._runner
        buffers = runner._memories[0]
        mappings = [weakref.ref(_mapping(array)) for array in (*buffers.keys, *buffers.values)]
        assert all(mapping() is not None for mapping in mappings)
        del served, runner, buffers
        await front_end.models.unload("other", 1)
        assert [mapping() for mapping in mappings] == [None] * len(mappings)

    with_front_end(test, max_num_seqs=64)


def _mapping(array: Any) -> mmap.mmap:
    """The memory that a slot buffer is a view of."""
    while array.base is not None and not isinstance(array.base, memoryview):
        array = array.base
    mapping = array.base.obj
    assert isinstance(mapping, mmap.mmap)
    return mapping


async def running(front_end: FrontEnd, other: Path, num_tokens: int) -> asyncio.Task[Any]:
    """A call on the other model, which runs."""
    await front_end.models.load(other)
    (served,) = (entry.serving for entry in front_end.models.entries if entry.name == "other")
    assert served is not None
    hub = served.generation
    assert hub is not None
    task = asyncio.create_task(collect(front_end.generation, ask("other", num_tokens)))
    await wait_until(lambda: hub.gate.taken == 1)
    return task


def test_a_model_that_leaves_finishes_what_runs_and_takes_no_more(other: Path) -> None:
    async def test(front_end: FrontEnd) -> None:
        task = await running(front_end, other, 3900)
        leaving = asyncio.create_task(front_end.models.unload("other", 300))
        await wait_until(lambda: front_end.get_model("other").state is ModelState.DRAINING)  # type: ignore[union-attr]
        with pytest.raises(Draining, match="model 'other' is being unloaded and takes no new requests"):
            await collect(front_end.generation, ask("other"))
        _, ends = await task
        assert ends[0].usage.completion_tokens == 3900
        await leaving
        await collect(front_end.generation, DEMO)

    with_front_end(test)


def test_what_outlives_the_time_to_leave_fails(other: Path) -> None:
    async def test(front_end: FrontEnd) -> None:
        task = await running(front_end, other, 4000)
        await front_end.models.unload("other", 0)
        with pytest.raises(Draining, match="model 'other' shut down and the request did not finish within 0 s"):
            await task
        await collect(front_end.generation, DEMO)

    with_front_end(test)


def test_a_bundle_that_cannot_be_loaded_is_told_and_may_come_again(tmp_path: Path) -> None:
    bundle = make_synthetic_bundle(tmp_path / "broken", name="broken")
    graph = (bundle / "decoder.onnx").read_bytes()
    (bundle / "decoder.onnx").write_bytes(b"no graph")
    registry = CollectorRegistry()

    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(BundleError, match="is not an ONNX file"):
            await front_end.models.load(bundle)
        with pytest.raises(ModelFailed, match=r"'broken' is not served: .*is not an ONNX file"):
            await collect(front_end.generation, ask("broken"))
        assert isinstance(front_end.list_models()[-1], FailedModel)
        assert registry.get_sample_value("attendant_model_ready", {"model_name": "broken"}) == 0
        (bundle / "decoder.onnx").write_bytes(graph)
        assert await front_end.models.load(bundle) == "broken"
        await collect(front_end.generation, ask("broken"))
        assert registry.get_sample_value("attendant_model_ready", {"model_name": "broken"}) == 1
        with pytest.raises(BundleError, match="has the name 'broken', which version 1 has that is served"):
            await front_end.models.load(bundle)
        await front_end.models.unload("broken", 1)
        assert registry.get_sample_value("attendant_model_ready", {"model_name": "broken"}) is None
        with pytest.raises(ModelNotFound):
            await front_end.models.unload("broken", 1)

    with_front_end(test, Metrics(registry))


def test_a_model_that_is_being_loaded_is_shown_and_takes_no_calls_yet(other: Path) -> None:
    async def test(front_end: FrontEnd) -> None:
        Loader.may.clear()
        loading = asyncio.create_task(front_end.models.load(other))
        await wait_until(lambda: len(front_end.models.entries) == 2)
        shown = front_end.get_model("other")
        assert isinstance(shown, ModelInfo)
        assert (shown.state, shown.ready, shown.generation) == (ModelState.LOADING, False, None)
        assert shown.manifest == read_any_manifest(other)
        with pytest.raises(Unavailable, match="model 'other' is being loaded; try again"):
            await collect(front_end.generation, ask("other"))
        loading.cancel()  # whoever asked goes away: it is loaded all the same
        Loader.may.set()
        await wait_until(lambda: front_end.get_model("other").ready)
        await collect(front_end.generation, ask("other"))

    with_front_end(test)


def test_who_reads_slowly_has_its_answer_to_the_end(other: Path) -> None:
    """Its sequences have ended, so the model may leave, though a part of the answer has not been fetched."""

    async def test(front_end: FrontEnd) -> None:
        await front_end.models.load(other)
        asked = pb.GenerateRequest(model="other", text="hello", logprobs=1, stopping=pb.Stopping(max_tokens=40))
        with working_for(CallContext.new()):
            parts = GenerationServicer(front_end.generation).Generate(asked, None)
            read = [await anext(parts)]
            entry = next(entry for entry in front_end.models.entries if entry.name == "other")
            hub = entry.serving.generation if entry.serving is not None else None
            assert hub is not None
            await wait_until(lambda: hub.gate.taken == 0)
            await front_end.models.unload("other", 1)
            read += [part async for part in parts]
        assert read[-1].finish.usage.completion_tokens == 40
        assert all(token.text for part in read for token in part.logprobs)
        assert sum(len(part.logprobs) for part in read) == 40

    with_front_end(test)


def test_a_call_that_names_no_model_goes_on_when_there_is_another_it_could_mean(other: Path) -> None:
    async def test(front_end: FrontEnd) -> None:
        asked = pb.GenerateRequest(text="Where is my parcel?", logprobs=1, stopping=pb.Stopping(max_tokens=20))
        with working_for(CallContext.new()):
            parts = GenerationServicer(front_end.generation).Generate(asked, None)
            await anext(parts)
            await front_end.models.load(other)
            read = [part async for part in parts]
        assert read[-1].HasField("finish")
        with pytest.raises(ModelNotFound, match="no model is named, and there is not just one"):
            await collect(front_end.generation, ask(""))

    with_front_end(test)
