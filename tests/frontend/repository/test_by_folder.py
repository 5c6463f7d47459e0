"""Versions of models that come and go with a folder. No call notices."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import sha256
from attendant.core.context import CallContext
from attendant.core.errors import (
    Draining,
    ModelNotFound,
)
from attendant.core.generation import Delta
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.generation.service import GenerationService
from attendant.metrics import Metrics
from attendant.models.lookup import GENERATE
from prometheus_client import CollectorRegistry

from tests.frontend.generation.helpers import collect, wait_until
from tests.frontend.repository.helpers import (
    ENDLESS,
    OFTEN,
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


def test_a_new_version_takes_the_calls_and_the_one_before_goes_on_with_its_own(endless: Path, folder: Path) -> None:
    put(endless, folder / "demo", "1")

    async def test(front_end: FrontEnd) -> None:
        running = front_end.generation.generate(ask("demo", ENDLESS))
        await anext(running)
        put(endless, folder / "demo", "2")
        await wait_until(lambda: "demo@2*" in served(front_end) and index(front_end)["demo@1"][0] == "draining")
        await collect(front_end.generation, ask("demo"))
        with pytest.raises(Draining, match="model 'demo@1' is being unloaded"):
            await collect(front_end.generation, ask("demo@1"))
        assert index(front_end)["demo@1"][0] == "draining"
        more = 0
        while more < 3000:
            part = await anext(running)
            assert isinstance(part, Delta)
            more += len(part.token_ids)
        await running.aclose()
        await wait_until(lambda: index(front_end)["demo@1"] == ("unavailable", "it is not loaded"))

    with_repository(folder, test, control="poll")


def test_the_parts_of_a_call_run_on_the_version_that_it_found(endless: Path, folder: Path) -> None:
    """As windows of a recording and variants of an attribution do, also while that version leaves."""
    put(endless, folder / "demo", "1")

    async def test(front_end: FrontEnd) -> None:
        service = GenerationService(front_end.models, Metrics(CollectorRegistry()))
        (entry,) = front_end.models.of("demo")
        found = front_end.models.find("demo", GENERATE)
        assert found.generation is not None
        outer = service.generate(ask("demo", ENDLESS))
        await anext(outer)
        put(endless, folder / "demo", "2")
        await front_end.repository.load("demo")
        await wait_until(lambda: entry.draining)
        assert front_end.models.find("demo", GENERATE) is not found
        for part in (ask("demo"), ask("demo", 5)):
            parts = service.on(found).generate_inner(InnerCall(part), CallContext.new())
            told = [each async for each in parts]
            assert sum(len(each.token_ids) for each in told if isinstance(each, Delta)) == part.max_tokens
        assert isinstance(await anext(outer), Delta)
        await outer.aclose()

    with_repository(folder, test)


def test_files_that_change_wait_also_when_somebody_asks_for_the_index(
    bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bundle, folder / "demo", "1")
    loader, sleep, poll_s, changes = Loader(), asyncio.sleep, 0.0123, list[list[str]]()

    async def test(front_end: FrontEnd) -> None:
        async def sleep_and_change(seconds: float) -> None:
            await sleep(seconds)
            if seconds == poll_s and len(changes) < 5:
                changes.append(list(loader.loaded))
                os.utime(folder / "demo" / "2" / "decoder.onnx", (len(changes), len(changes)))
                await front_end.repository.refresh()

        monkeypatch.setattr(asyncio, "sleep", sleep_and_change)
        put(bundle, folder / "demo", "2")
        await settled(front_end, "demo@2*")
        assert changes == [["demo@1"]] * 5, "it was not loaded between"

    with_repository(folder, test, control="poll", poll_s=poll_s, loader=loader)


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
        await wait_until(lambda: list(index(front_end)) == ["other@1*"])  # before that it may still drain
        assert served(front_end) == ["other@1*"]
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


def test_hashes_are_checked(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    assert sha256(folder / "demo" / "1" / "decoder.onnx") == sha256(bundle / "decoder.onnx")
    break_graph(folder / "demo" / "1")

    async def test(front_end: FrontEnd) -> None:
        assert served(front_end) == []
        assert "decoder.onnx" in index(front_end)["demo@1*"][1]

    with_repository(folder, test)
