"""Versions of models that come and go by calls, one change at a time."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from attendant.bundle import MANIFEST_FILE
from attendant.core.errors import (
    ConfigurationError,
    Draining,
    ModelFailed,
    ModelNotFound,
    NotAllowed,
)
from attendant.core.repository import Repository, VersionState
from attendant.frontend.encoding.calls import ClassifyCall
from attendant.frontend.front_end import FrontEnd
from attendant.models.failed import FailedModel

from tests.frontend.encoding.helpers import items
from tests.frontend.generation.helpers import collect, wait_until
from tests.frontend.repository.helpers import (
    Loader,
    ask,
    break_graph,
    index,
    move,
    put,
    served,
    settled,
    with_repository,
)
from tests.synthetic_encoder import make_text_encoder


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


def test_a_named_bundle_whose_graph_was_bad_at_the_start_can_be_mended(bundle: Path, tmp_path: Path) -> None:
    good, bad = (Path(shutil.copytree(bundle, tmp_path / name)) for name in ("good", "bad"))
    manifest = json.loads((bad / MANIFEST_FILE).read_text())
    manifest["graphs"]["decoder"]["inputs"][0]["name"] = "strange"
    (bad / MANIFEST_FILE).write_text(json.dumps(manifest))

    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(ModelFailed, match=r"'bad' is not served: .*takes the input 'strange'"):
            await collect(front_end.generation, ask("bad"))
        shutil.copy(bundle / MANIFEST_FILE, bad)
        await front_end.repository.load("bad")
        await collect(front_end.generation, ask("bad"))

    with_repository(None, test, named=(good, bad))


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
        with pytest.raises(ModelNotFound, match=r"named 'demo@3'; it has 'demo@1', 'demo@2'$"):
            await repository.load("demo", "3")
        await repository.load("demo", "2")
        with pytest.raises(ModelNotFound, match=r"^no model named 'demo@1' is loaded; loaded models: 'demo@2'$"):
            await repository.unload("demo", "1")
        await repository.unload("demo")
        put(bundle, folder / "late", "1")
        for name in ("demo", "late"):
            with pytest.raises(ModelNotFound, match=rf"^no model named '{name}' is loaded; loaded models: none$"):
                await repository.unload(name)

    with_repository(folder, test, policy="specific:7", load="")
