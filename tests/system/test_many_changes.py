"""Very many changes of the models of a server: no call fails, and nothing stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.models import cycles, switches
from tests.models.repositories import DECODER, ENCODER, make_repository, serving_repository


@pytest.mark.parametrize("model", [DECODER, ENCODER])
def test_no_call_fails_by_fifty_switches(model: str, tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "models")
    with serving_repository(folder, tmp_path / "log") as server:
        found = asyncio.run(switches.switch(server, folder, model, 50))
    assert found.before.failures == []
    assert found.during.failures == []
    assert len(found.during.seconds) > 500
    assert found.current == "51"


def test_memory_and_metrics_after_two_hundred_cycles_are_those_after_five(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "models")
    with serving_repository(folder, tmp_path / "log", "--repository.load", "") as server:
        found = asyncio.run(cycles.cycle(server, 200, {cycles.FIRST, 200}))
    (size, series), (last_size, last_series) = found[cycles.FIRST], found[200]
    assert last_size < 1.03 * size
    assert last_series == series
