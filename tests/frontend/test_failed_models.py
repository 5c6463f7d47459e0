"""A model whose device refuses it at the last moment: it is given up, and the others are served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from attendant.core.errors import BundleError, DeviceOutOfMemory, ModelFailed, ModelNotFound
from attendant.core.generation import GenerationCall, TextPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.failed import FailedModel
from attendant.models.generators import GeneratorPart
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.settings import EngineSettings
from prometheus_client import CollectorRegistry

from tests.frontend.generation.helpers import collect, load
from tests.synthetic import make_synthetic_bundle

LACKING = DeviceOutOfMemory(0, 10**9, 10**8, 8 * 10**9, "CUDA graphs")
ASK = GenerationCall("", TextPrompt("hello"), max_tokens=3)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[GeneratorPart, GeneratorPart]:
    folder = tmp_path_factory.mktemp("b")
    good, bad = (load(make_synthetic_bundle(folder / name, name=name, eos_bias=-50)) for name in ("good", "bad"))
    return good, bad


def refuse(model: GeneratorPart, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine fail as one does that finds no memory to capture its runs in."""

    def prepare() -> None:
        raise error

    monkeypatch.setattr(model.engines[0], "prepare", prepare)


def with_front_end(
    models: tuple[GeneratorPart, ...], test: Callable[[FrontEnd, Metrics], Awaitable[None]], *, strict: bool = False
) -> None:
    async def main() -> None:
        metrics = Metrics(CollectorRegistry())
        front_end = FrontEnd(metrics, lambda name, error: pytest.fail(f"{name}: {error}"))
        await front_end.start(LoadedBundles(tuple(LoadedModel.of(model) for model in models)), strict=strict)
        try:
            await test(front_end, metrics)
        finally:
            await front_end.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "cause"), [(LACKING, "GPU 0 is out of memory"), (KeyError("strange"), "KeyError: 'strange'")]
)
def test_the_others_are_served_and_the_cause_is_told(
    models: tuple[GeneratorPart, GeneratorPart], error: Exception, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(models[1], error, monkeypatch)

    async def test(front_end: FrontEnd, metrics: Metrics) -> None:
        served, failed = front_end.list_models()
        assert (served.name, served.ready, failed.name, failed.ready) == ("good", True, "bad", False)
        assert isinstance(failed, FailedModel)
        assert cause in failed.cause
        with pytest.raises(ModelFailed, match=cause):
            await collect(front_end.generation, GenerationCall("bad", TextPrompt("hello"), max_tokens=3))
        with pytest.raises(ModelNotFound, match=r"no model is named.*not served: 'bad'"):
            await collect(front_end.generation, ASK)
        await collect(front_end.generation, GenerationCall("good", TextPrompt("hello"), max_tokens=3))
        page = metrics.render()[0].decode()
        assert 'attendant_model_ready{model_name="good"} 1.0' in page
        assert 'attendant_model_ready{model_name="bad"} 0.0' in page

    with_front_end(models, test)


def test_one_that_is_given_up_at_the_start_holds_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [make_synthetic_bundle(tmp_path / name, name=name) for name in ("good", "bad")]
    loader = ModelLoader(EngineSettings(threads=1, spinning=False, max_num_seqs=4), verify=False, progress=print)
    bundles = loader.load_all(paths)
    assert set(loader.ledger.holdings("the CPU")) == {"good", "bad"}
    bad = bundles.models[1].generator
    assert bad is not None
    refuse(bad, LACKING, monkeypatch)

    async def main() -> None:
        front_end = FrontEnd(Metrics(CollectorRegistry()), print, loader=loader)
        await front_end.start(bundles)
        assert set(loader.ledger.holdings("the CPU")) == {"good"}
        await front_end.close()

    asyncio.run(main())


def test_strict_or_alone_it_ends_the_start(
    models: tuple[GeneratorPart, GeneratorPart], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = models
    refuse(bad, LACKING, monkeypatch)

    async def never(front_end: FrontEnd, metrics: Metrics) -> None:
        raise AssertionError("it started")

    for some, strict in (((bad,), False), ((good, bad), True)):
        with pytest.raises(DeviceOutOfMemory):
            with_front_end(some, never, strict=strict)
    refuse(bad, KeyError("strange"), monkeypatch)
    with pytest.raises(BundleError, match="KeyError"):
        with_front_end((bad,), never)
