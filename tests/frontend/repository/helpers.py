"""A front end over a folder of models, and what its tests ask of both."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import Manifest
from attendant.core.generation import GenerationCall, TextPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.settings import EncoderSettings, EngineSettings, RepositorySettings
from prometheus_client import CollectorRegistry

from tests.frontend.generation.helpers import wait_until

Test = Callable[[FrontEnd], Awaitable[None]]


OFTEN = 0.01
"""Seconds between two looks."""


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


ENDLESS = 190_000
"""Tokens that no test waits for."""


def ask(model: str, max_tokens: int = 3) -> GenerationCall:
    return GenerationCall(model, TextPrompt("hello"), max_tokens=max_tokens)
