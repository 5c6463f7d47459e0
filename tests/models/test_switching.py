"""Whatever the order in which callers and a switch get their turns: no call fails, none is left on a closed model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from attendant.bundle import Manifest
from attendant.core.repository import full_name
from attendant.frontend.admission import Gate
from attendant.models.generators import GeneratorPart
from attendant.models.loaded import LoadedModel
from attendant.models.loader import ModelLoader
from attendant.models.lookup import GENERATE
from attendant.models.table import ModelTable
from attendant.settings import EngineSettings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rpc.fake import manifest

NUM_SWITCHES = 3


class Served:
    """A model whose calls do nothing but come in, stay and leave, through the gate that every model has."""

    def __init__(self, model: LoadedModel) -> None:
        self.version = int(model.version)
        self.ready = True
        self.gate = Gate(model.name)
        self.calls = 0
        self.closed = False

    async def start(self) -> None:
        await asyncio.sleep(0)

    def refuse(self, who: str) -> None:
        self.gate.refuse(who)

    async def drain(self, timeout_s: float) -> None:
        assert await self.gate.drain(timeout_s)

    async def close(self) -> None:
        assert self.calls == 0, "somebody is inside"
        self.closed = True


class Loader(ModelLoader):
    """Gives models of nothing, at once."""

    def load(self, path: Path, manifest: Manifest, holder: str = "") -> LoadedModel:
        values: dict[str, Any] = {"context_length": 8, "max_running": 1, "max_requests": 1}
        return LoadedModel.of(GeneratorPart(manifest, None, (), **values))  # type: ignore[arg-type]


async def turns(number: int) -> None:
    """Let others have so many turns."""
    for _ in range(number):
        await asyncio.sleep(0)


async def call(table: ModelTable[Served], way: tuple[int, int, int, int]) -> int:
    """A call that needs so many turns to come, to prepare itself, and to be answered. Returns the version it had."""
    before, preparing, running, leaving = way
    await turns(before)
    served = table.find("m", GENERATE)
    with served.gate.coming():
        await turns(preparing)
        served.gate.take(inner=True)
    served.calls += 1
    await turns(running)
    assert not served.closed
    served.calls -= 1
    served.gate.give_back()
    await turns(leaving)
    return served.version


WAY = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(1, 9))


@settings(max_examples=5)  # each takes seconds: a version that left is looked for among all objects
@given(st.lists(WAY, min_size=1, max_size=6), st.lists(st.integers(0, 9), min_size=NUM_SWITCHES, max_size=NUM_SWITCHES))
def test_no_call_fails_by_a_switch(ways: list[tuple[int, int, int, int]], pauses: list[int]) -> None:
    async def main() -> None:
        loader = Loader(EngineSettings(), verify=False, progress=print)
        table: ModelTable[Served] = ModelTable(Served, loader)
        ended = False

        async def bring(version: int) -> None:
            shown = manifest(name="m", version=str(version))
            await table.bring(Path(), shown, full_name("m", str(version)))

        async def call_on(way: tuple[int, int, int, int]) -> list[int]:
            found = []
            while not ended:
                found.append(await call(table, way))
            return found

        await bring(1)
        callers = [asyncio.create_task(call_on(way)) for way in ways]
        for version, pause in enumerate(pauses, 2):
            await turns(pause)
            old = table.of("m")
            await bring(version)
            assert table.find("m", GENERATE).version == version
            await turns(pause)
            await table.take_out(old, 60)
            assert [entry.version for entry in table.of("m")] == [str(version)]
        ended = True
        for found in await asyncio.gather(*callers):
            assert found == sorted(found), "who has seen the new one never gets the old one"
        await table.drain(60)
        await table.close()

    asyncio.run(asyncio.wait_for(main(), 120))
