"""Versions of models that come and go: by what a folder has, and by calls. No call notices."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import Manifest, sha256
from attendant.core.context import CallContext
from attendant.core.errors import (
    ConfigurationError,
    Draining,
    ModelFailed,
    ModelNotFound,
    NotAllowed,
)
from attendant.core.generation import Delta, GenerationCall, TextPrompt
from attendant.core.repository import Repository, VersionState
from attendant.frontend.encoding.calls import ClassifyCall
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.generation.service import GenerationService
from attendant.metrics import Metrics
from attendant.models.failed import FailedModel
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.models.lookup import GENERATE
from attendant.models.memory import processor_memory
from attendant.settings import EncoderSettings, EngineSettings, RepositorySettings
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import items
from tests.frontend.generation.helpers import collect, wait_until
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

Test = Callable[[FrontEnd], Awaitable[None]]
OFTEN = 0.01
"""Seconds between two looks."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "demo", name="demo", eos_bias=-50, context_length=4096)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(tmp_path / "models")


class Loader(ModelLoader):
    """Loads as any does, but not before it may, and knows what it was asked for."""

    def __init__(self, **settings: Any) -> None:
        chosen = EngineSettings(**{"threads": 1, "spinning": False, "max_num_seqs": 4} | settings)
        super().__init__(chosen, encoder=EncoderSettings(threads=1, spinning=False), verify=True, progress=print)
        self.may = threading.Event()
        self.may.set()
        self.loaded: list[str] = []

    def load(self, path: Path, manifest: Manifest, holder: str = "") -> LoadedModel:
        self.loaded.append(holder)
        assert self.may.wait(60)
        return super().load(path, manifest, holder)


def with_repository(
    folder: Path | None,
    test: Test,
    *,
    named: tuple[Path, ...] = (),
    metrics: Metrics | None = None,
    strict: bool = False,
    loader: Loader | None = None,
    **settings: object,
) -> None:
    async def main() -> None:
        used = loader or Loader()
        front_end = FrontEnd(
            metrics or Metrics(CollectorRegistry()),
            lambda name, error: pytest.fail(f"{name}: {error}"),
            loader=used,
            repository=RepositorySettings(**{"control": "explicit", "poll_s": OFTEN} | settings),  # type: ignore[arg-type]
            folder=folder,
        )
        beside = await front_end.repository.survey()
        bundles = used.load_all(named, beside=beside) if named else LoadedBundles(())
        await front_end.start(bundles, strict=strict)
        try:
            await asyncio.wait_for(test(front_end), 120)
        finally:
            await front_end.close()

    asyncio.run(main())


def put(bundle: Path, folder: Path, *versions: str) -> None:
    """Copy versions of a model as is said in the docs: under another name, then renamed."""
    for version in versions:
        shutil.copytree(bundle, folder / f".{version}")
        (folder / f".{version}").rename(folder / version)


def move(folder: Path, to: Path) -> None:
    """Rename a folder."""
    folder.rename(to)


def break_graph(version: Path) -> None:
    """Leave the sizes as they are: only its hash tells."""
    data = bytearray((version / "decoder.onnx").read_bytes())
    data[len(data) // 2] ^= 255
    (version / "decoder.onnx").write_bytes(data)


def index(front_end: FrontEnd) -> dict[str, tuple[str, str]]:
    """State and cause of each version; the current ones have a star."""
    return {
        f"{row.name}@{row.version}{'*' * row.current}": (row.state.value, row.cause)
        for row in front_end.repository.index()
    }


def served(front_end: FrontEnd) -> list[str]:
    """The versions that take calls; the current ones have a star."""
    return [name for name, (state, _) in index(front_end).items() if state == "ready"]


async def settled(front_end: FrontEnd, *versions: str) -> None:
    """Wait until these versions serve, and no others."""
    await wait_until(lambda: served(front_end) == list(versions))


def ask(model: str, max_tokens: int = 3) -> GenerationCall:
    return GenerationCall(model, TextPrompt("hello"), max_tokens=max_tokens)


def test_policies_say_which_versions_are_served_and_a_name_means_the_newest(bundle: Path, folder: Path) -> None:
    for name in ("one", "two", "every", "some"):
        put(bundle, folder / name, "1", "2", "3", "10")

    async def test(front_end: FrontEnd) -> None:
        assert served(front_end) == [
            *("every@1", "every@2", "every@3", "every@10*"),
            "one@10*",
            *("some@1", "some@3*"),
            *("two@3", "two@10*"),
        ]
        for model in ("every", "every@1", "two@3", "some@1"):
            await collect(front_end.generation, ask(model))
        with pytest.raises(
            ModelNotFound, match=r"no model named 'one@3' is loaded; loaded models: 'every@1', .*'one@10"
        ):
            await collect(front_end.generation, ask("one@3"))
        shown = {(info.name, info.version): info.current for info in front_end.list_models()}
        assert shown["every", "10"] is True
        assert shown["every", "3"] is False
        assert front_end.get_model("some").version == "3"
        assert front_end.get_model("some@1").version == "1"
        assert front_end.readiness()["some"] is front_end.readiness()["some@1"] is True

    with_repository(folder, test, policy="latest:1; two=latest:2; every=all; some=specific:1,3,7")


def test_a_new_version_takes_the_calls_and_the_one_before_finishes_its_own(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")

    async def test(front_end: FrontEnd) -> None:
        running = front_end.generation.generate(ask("demo", 3000))
        first = await anext(running)
        put(bundle, folder / "demo", "2")
        await wait_until(lambda: "demo@2*" in served(front_end) and index(front_end)["demo@1"][0] == "draining")
        await collect(front_end.generation, ask("demo"))
        with pytest.raises(Draining, match="model 'demo@1' is being unloaded"):
            await collect(front_end.generation, ask("demo@1"))
        parts = [first, *[part async for part in running]]
        assert sum(len(part.token_ids) for part in parts if isinstance(part, Delta)) == 3000
        await wait_until(lambda: index(front_end)["demo@1"] == ("unavailable", "it is not loaded"))

    with_repository(folder, test, control="poll")


def test_the_parts_of_a_call_run_on_the_version_that_it_found(bundle: Path, folder: Path) -> None:
    """As windows of a recording and variants of an attribution do, also while that version leaves."""
    put(bundle, folder / "demo", "1")

    async def test(front_end: FrontEnd) -> None:
        service = GenerationService(front_end.models, Metrics(CollectorRegistry()))
        (entry,) = front_end.models.of("demo")
        found = front_end.models.find("demo", GENERATE)
        assert found.generation is not None
        outer = service.generate(ask("demo", 4000))
        await anext(outer)
        put(bundle, folder / "demo", "2")
        await front_end.repository.load("demo")
        await wait_until(lambda: entry.draining)
        assert front_end.models.find("demo", GENERATE) is not found
        for part in (ask("demo"), ask("demo", 5)):
            parts = service.on(found).generate_inner(InnerCall(part), CallContext.new())
            told = [each async for each in parts]
            assert sum(len(each.token_ids) for each in told if isinstance(each, Delta)) == part.max_tokens
        await outer.aclose()

    with_repository(folder, test)


def test_one_that_is_broken_is_told_once_and_tried_again_when_its_files_change(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    loader = Loader()

    async def test(front_end: FrontEnd) -> None:
        shutil.copytree(bundle, folder / "demo" / ".2")
        break_graph(folder / "demo" / ".2")
        (folder / "demo" / ".2").rename(folder / "demo" / "2")
        await wait_until(lambda: index(front_end).get("demo@2", ("", ""))[0] == "failed")
        cause = index(front_end)["demo@2"][1]
        assert "decoder.onnx" in cause or "SHA-256" in cause
        assert str(folder) not in cause
        looks = loader.loaded.count("demo@2")
        await asyncio.sleep(5 * OFTEN)
        assert (loader.loaded.count("demo@2"), served(front_end)) == (looks, ["demo@1*"]) == (1, ["demo@1*"])
        await collect(front_end.generation, ask("demo"))
        shutil.copy(bundle / "decoder.onnx", folder / "demo" / "2" / "decoder.onnx")
        await settled(front_end, "demo@2*")
        await collect(front_end.generation, ask("demo@2"))

    with_repository(folder, test, control="poll", loader=loader)


def test_what_goes_from_the_folder_goes_from_the_server(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2")
    put(bundle, folder / "other", "1")

    async def test(front_end: FrontEnd) -> None:
        await settled(front_end, "demo@2*", "other@1*")
        shutil.rmtree(folder / "demo" / "2")
        await settled(front_end, "demo@1*", "other@1*")
        shutil.rmtree(folder / "demo")
        await settled(front_end, "other@1*")
        with pytest.raises(ModelNotFound, match="loaded models: 'other'"):
            await collect(front_end.generation, ask("demo"))
        move(folder, folder.with_name("away"))
        await asyncio.sleep(5 * OFTEN)
        assert served(front_end) == ["other@1*"], "a folder that cannot be read says nothing"
        move(folder.with_name("away"), folder)
        put(bundle, folder / "demo", "5")
        await settled(front_end, "demo@5*", "other@1*")

    with_repository(folder, test, control="poll")


def test_a_version_that_vanishes_while_it_is_loaded_changes_nothing(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    loader = Loader()

    async def test(front_end: FrontEnd) -> None:
        loader.may.clear()
        put(bundle, folder / "demo", "2")
        await wait_until(lambda: "demo@2" in loader.loaded)
        shutil.rmtree(folder / "demo" / "2")
        loader.may.set()
        await wait_until(lambda: "demo@2" not in index(front_end))
        assert served(front_end) == ["demo@1*"]
        assert [entry.version for entry in front_end.models.of("demo")] == ["1"]
        assert set(loader.ledger.holdings("the CPU")) == {"demo@1"}

    with_repository(folder, test, control="poll", loader=loader)


def test_a_folder_that_cannot_be_read_takes_nothing_away(
    bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bundle, folder / "demo", "1")
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == folder / "demo":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    async def test(front_end: FrontEnd) -> None:
        monkeypatch.setattr(os, "scandir", refuse)
        await wait_until(lambda: ("unavailable", "the folder cannot be read: Permission denied") in rows(front_end))
        await asyncio.sleep(5 * OFTEN)
        assert served(front_end) == ["demo@1*"]
        monkeypatch.undo()
        put(bundle, folder / "demo", "2")
        await settled(front_end, "demo@2*")

    def rows(front_end: FrontEnd) -> list[tuple[str, str]]:
        return list(index(front_end).values())

    with_repository(folder, test, control="poll")


def test_new_files_of_a_version_are_loaded_beside_the_old_ones(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    loader = Loader()

    async def test(front_end: FrontEnd) -> None:
        before = front_end.models.of("demo")[0].serving
        shutil.copy(bundle / "tokenizer.json", folder / "new")
        (folder / "new").rename(folder / "demo" / "1" / "tokenizer.json")
        await wait_until(lambda: before not in [entry.serving for entry in front_end.models.of("demo")])
        await settled(front_end, "demo@1*")
        await collect(front_end.generation, ask("demo@1"))
        assert loader.loaded == ["demo@1", "demo@1 (new files)"]
        break_graph(folder / "demo" / "1")
        await wait_until(lambda: bool(index(front_end)["demo@1*"][1]))
        await collect(front_end.generation, ask("demo@1"))
        assert served(front_end) == ["demo@1*"], "the files from before go on"

    with_repository(folder, test, control="poll", loader=loader)


def test_models_come_and_go_by_calls(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2", "3")
    make_text_encoder(folder / "moods")
    loader = Loader()

    async def test(front_end: FrontEnd) -> None:
        repository: Repository = front_end.repository
        assert index(front_end)["moods@1"] == ("unavailable", "it is not loaded")
        assert served(front_end) == ["demo@3*"]
        (row,) = await repository.load("moods")
        assert (row.name, row.version, row.state, row.current) == ("moods", "1", VersionState.READY, True)
        await front_end.encoding.classify(ClassifyCall("moods", items("good")))
        before = len(loader.loaded)
        assert [row.version for row in await repository.load("demo")] == ["3"]
        assert len(loader.loaded) == before, "what is loaded stays as it is"
        await repository.load("demo", "1")
        assert served(front_end) == ["demo@1", "demo@3*", "moods@1*"]
        await repository.unload("demo", "3")
        assert served(front_end) == ["demo@1*", "moods@1*"], "back to the one before"
        await repository.load("demo")
        await settled(front_end, "demo@3*", "moods@1*")
        await repository.unload("demo")
        await repository.unload("moods", "1", 0)
        assert served(front_end) == []
        for name, version in (("demo", ""), ("demo", "3"), ("nobody", "")):
            with pytest.raises(ModelNotFound):
                await repository.unload(name, version)
        with pytest.raises(ModelNotFound, match="the repository has no model named 'nobody'; it has 'demo', 'moods'"):
            await repository.load("nobody")
        with pytest.raises(ModelNotFound, match="named 'demo@9'; it has 'demo@1', 'demo@2', 'demo@3', 'moods@1'"):
            await repository.load("demo", "9")
        put(bundle, folder / "demo", "4")
        assert [row.version for row in await repository.load("demo")] == ["4"], "it looks again"

    with_repository(folder, test, load=("demo",), loader=loader)


@pytest.mark.parametrize("control", ["poll", "none"])
def test_calls_change_nothing_unless_it_is_said_so(bundle: Path, folder: Path, control: str) -> None:
    put(bundle, folder / "demo", "1")

    async def test(front_end: FrontEnd) -> None:
        for change in (front_end.repository.load, front_end.repository.unload):
            with pytest.raises(NotAllowed, match=f"repository.control is '{control}'; allowed with: 'explicit'"):
                await change("demo")
        assert served(front_end) == ["demo@1*"]

    with_repository(folder, test, control=control)


def test_a_bundle_that_was_named_can_go_and_come_again(bundle: Path, tmp_path: Path) -> None:
    named = Path(shutil.copytree(bundle, tmp_path / "anywhere"))

    async def test(front_end: FrontEnd) -> None:
        assert index(front_end) == {"demo@1*": ("ready", "")}
        await collect(front_end.generation, ask("demo@1"))
        await front_end.repository.unload("demo")
        assert index(front_end) == {"demo@1": ("unavailable", "it is not loaded")}
        await front_end.repository.load("demo")
        await collect(front_end.generation, ask("demo"))

    with_repository(None, test, named=(named,))


def test_one_that_was_asked_for_and_is_broken_says_why(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2")
    break_graph(folder / "demo" / "2")

    async def test(front_end: FrontEnd) -> None:
        assert served(front_end) == ["demo@1*"], "latest: the newest that can be loaded"
        with pytest.raises(ModelFailed, match=r"model 'demo@2' is not served: .*decoder.onnx") as caught:
            await front_end.repository.load("demo", "2")
        assert str(folder) not in str(caught.value)
        with pytest.raises(ModelFailed, match="'demo@2' is not served"):
            await collect(front_end.generation, ask("demo@2"))
        shown = [info for info in front_end.list_models() if isinstance(info, FailedModel)]
        assert [(info.name, info.version, info.current) for info in shown] == [("demo", "2", False)]
        assert [row.version for row in await front_end.repository.load("demo")] == ["1"]

    with_repository(folder, test)


def test_at_the_start_what_is_asked_for_must_be_there(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")

    async def never(front_end: FrontEnd) -> None:
        pytest.fail("it started")

    with pytest.raises(ConfigurationError, match=r"repository.load names 'other', which .* has not; it has: 'demo'"):
        with_repository(folder, never, load=("demo", "other"))
    with pytest.raises(ConfigurationError, match="away cannot be read"):
        with_repository(folder.with_name("away"), never)
    break_graph(folder / "demo" / "1")
    with pytest.raises(Exception, match=r"decoder\.onnx"):
        with_repository(folder, never, strict=True)


def test_an_empty_folder_is_served_and_watched(bundle: Path, folder: Path) -> None:
    folder.mkdir()

    async def test(front_end: FrontEnd) -> None:
        assert index(front_end) == {}
        with pytest.raises(ModelNotFound, match="loaded models: none"):
            await collect(front_end.generation, ask(""))
        put(bundle, folder / "demo", "1")
        await settled(front_end, "demo@1*")
        await collect(front_end.generation, ask(""))

    with_repository(folder, test, control="poll")


def test_calls_hear_that_the_folder_cannot_be_read_and_not_where_it_is(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")

    async def test(front_end: FrontEnd) -> None:
        move(folder, folder.with_name("away"))
        await front_end.repository.refresh()
        assert index(front_end) == {"demo@1*": ("ready", "")}, "as it was seen last"
        with pytest.raises(ModelFailed) as caught:
            await front_end.repository.load("demo")
        assert str(caught.value) == "model 'demo' is not served: the folder of models cannot be read"
        await collect(front_end.generation, ask("demo"))
        await front_end.repository.unload("demo")

    with_repository(folder, test)


def test_room_is_kept_for_a_version_that_comes_later(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2")
    put(bundle, folder / "other", "1")
    make_text_encoder(folder / "moods")

    async def shares(**settings: Any) -> int:
        told = RepositorySettings(**settings)
        front_end = FrontEnd(Metrics(CollectorRegistry()), print, repository=told, folder=folder)
        try:
            return await front_end.repository.survey()
        finally:
            await front_end.close()

    assert asyncio.run(shares()) == 3, "two that generate, and one that comes"
    assert asyncio.run(shares(policy="all")) == 4
    assert asyncio.run(shares(control="none")) == 2
    assert asyncio.run(shares(control="explicit", load=("demo@1",))) == 2
    assert asyncio.run(shares(control="explicit", load=())) == 1


def test_whoever_asked_may_go_and_who_asks_next_waits(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2")
    loader = Loader()

    async def test(front_end: FrontEnd) -> None:
        repository = front_end.repository
        loader.may.clear()
        gone = asyncio.create_task(repository.load("demo", "1"))
        await wait_until(lambda: loader.loaded == ["demo@1"])
        others = [
            asyncio.create_task(repository.load("demo", "1")),
            asyncio.create_task(repository.load("demo", "2")),
            asyncio.create_task(repository.unload("demo", "1")),
        ]
        await asyncio.sleep(0)
        gone.cancel()
        assert index(front_end)["demo@1*"][0] == "loading"
        loader.may.set()
        await asyncio.gather(*others)
        assert served(front_end) == ["demo@2*"]
        assert loader.loaded == ["demo@1", "demo@2"], "the second one found it loaded"

    with_repository(folder, test, load=(), loader=loader)


def test_an_end_while_a_version_is_loaded_does_not_wait_for_it(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    loader = Loader()

    async def test(front_end: FrontEnd) -> None:
        loader.may.clear()
        loading = asyncio.create_task(front_end.repository.load("demo"))
        await wait_until(lambda: loader.loaded == ["demo@1"])
        await front_end.drain(1)
        closing = asyncio.create_task(front_end.close())
        await asyncio.sleep(0)
        loader.may.set()
        await closing
        with pytest.raises(Draining, match="the server is shutting down and loads no models"):
            await loading
        assert loader.ledger.holdings("the CPU") == {}

    with_repository(folder, test, load=(), loader=loader)


def test_two_versions_are_told_as_one_model_and_nothing_of_the_one_that_left(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"attendant_{name}", {"model_name": "demo"})

    async def test(front_end: FrontEnd) -> None:
        calls = [asyncio.create_task(collect(front_end.generation, ask("demo@1", 4000))) for _ in range(2)]
        await wait_until(lambda: value("num_requests_running") == 2)
        put(bundle, folder / "demo", "2")
        await front_end.repository.load("demo", "2")
        series = metrics.render()[0].count(b"\n")
        calls.append(asyncio.create_task(collect(front_end.generation, ask("demo", 4000))))
        await wait_until(lambda: value("num_requests_running") == 3)
        assert list(metrics.counts()) == ["demo"]
        assert metrics.counts()["demo"].running == 3
        for call in calls[:2]:
            call.cancel()
        await front_end.repository.unload("demo", "1", 60)
        await wait_until(lambda: value("num_requests_running") == 1)
        calls[2].cancel()
        await front_end.repository.unload("demo", "2", 60)
        assert (value("num_requests_running"), value("kv_cache_usage_perc")) == (0, 0)
        assert value("model_ready") is None
        await front_end.repository.load("demo", "1")
        assert metrics.render()[0].count(b"\n") <= series
        assert "demo@" not in metrics.render()[0].decode()

    with_repository(folder, test, metrics=metrics)


def test_the_memory_of_two_versions_is_two_holdings(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2")
    loader = Loader(kv_memory=10**6, kv_memory_fraction=0.9)

    async def test(front_end: FrontEnd) -> None:
        await front_end.repository.load("demo", "1")
        held = loader.ledger.holdings("the CPU")
        assert set(held) == {"demo@1", "demo@2"}
        await front_end.repository.unload("demo", "2")
        assert set(loader.ledger.holdings("the CPU")) == {"demo@1"}

    with_repository(folder, test, loader=loader)


def test_a_version_that_does_not_fit_says_who_holds_what(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    whole = processor_memory(EngineSettings()).total
    loader = Loader(kv_memory=whole)

    async def test(front_end: FrontEnd) -> None:
        held = loader.ledger.holdings("the CPU")["demo@1"].granted
        put(bundle, folder / "demo", "2")
        told = f"needs {whole:,} bytes on the CPU; {whole - held:,} are left: 'demo@1' holds {held:,}"
        with pytest.raises(ModelFailed, match=f"model 'demo@2' is not served: model 'demo@2' {told}"):
            await front_end.repository.load("demo", "2")
        assert served(front_end) == ["demo@1*"]
        assert index(front_end)["demo@2"] == ("failed", f"model 'demo@2' {told}")
        assert set(loader.ledger.holdings("the CPU")) == {"demo@1"}
        await front_end.repository.unload("demo", "1")
        await front_end.repository.load("demo")
        assert served(front_end) == ["demo@2*"]

    with_repository(folder, test, loader=loader)


def test_hashes_are_checked(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    assert sha256(folder / "demo" / "1" / "decoder.onnx") == sha256(bundle / "decoder.onnx")
    break_graph(folder / "demo" / "1")

    async def test(front_end: FrontEnd) -> None:
        assert served(front_end) == []
        assert "decoder.onnx" in index(front_end)["demo@1*"][1]

    with_repository(folder, test)


def test_nothing_that_was_asked_for_ends_in_silence(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2")
    put(bundle, folder / "notes", "draft")
    (folder / "empty").mkdir()

    async def test(front_end: FrontEnd) -> None:
        repository = front_end.repository
        for name, cause in (
            ("empty", "has neither bundle.json nor folders of versions"),
            ("notes", "versions are numbers from 1"),
            ("demo", r"its policy says none of its versions, which are 1, 2$"),
        ):
            with pytest.raises(ModelFailed, match=f"model '{name}' is not served: .*{cause}"):
                await repository.load(name)
        await repository.load("demo", "2")
        with pytest.raises(ModelNotFound, match=r"^no model named 'demo@1' is loaded; loaded models: 'demo@2'$"):
            await repository.unload("demo", "1")
        await repository.unload("demo")
        with pytest.raises(ModelNotFound, match=r"^no model named 'demo' is loaded; loaded models: none$"):
            await repository.unload("demo")

    with_repository(folder, test, policy="specific:7", load="")
