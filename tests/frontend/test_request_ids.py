"""A caller's id in what engines and batches log, and what they call the parts of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from attendant.core.context import CallContext
from attendant.core.encoding import Arrays, Row
from attendant.core.errors import StepFailed
from attendant.core.generation import GenerationCall, TokenPrompt
from attendant.frontend.encoding.calls import ClassifyCall
from attendant.frontend.encoding.service import EncodingService
from attendant.frontend.generation.service import GenerationService

from tests.frontend.encoding import helpers as encoders
from tests.frontend.generation.helpers import call, collect, with_service
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

MINE = CallContext.new("mine")


def test_an_engine_logs_the_id_of_a_call_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = make_synthetic_bundle(tmp_path / "m", eos_bias=-50, poison_token=3)

    async def test(service: GenerationService) -> None:
        with pytest.raises(StepFailed, match=r"of request mine#\d+$"):
            await collect(service, GenerationCall("", TokenPrompt((3, 6, 9)), max_tokens=4), MINE)

    with_service(bundle, test)
    assert any("request mine#" in record.getMessage() for record in caplog.records)


def test_a_batch_thread_logs_the_id_of_a_call_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = encoders.load(make_text_encoder(tmp_path / "moods"))

    class Refusing:
        def run(self, rows: Sequence[Row]) -> Sequence[Arrays]:
            if any(row.id.startswith("mine#") for row in rows):
                raise RuntimeError("the device raised")
            return model.runner.run(rows)

    async def test(service: EncodingService) -> None:
        with pytest.raises(StepFailed, match=r"of row mine#\d+$"):
            await service.classify(ClassifyCall("", encoders.items("hello")), MINE)

    encoders.with_encoders([replace(model, runner=Refusing())], test)  # type: ignore[arg-type]
    assert any("row mine#" in record.getMessage() for record in caplog.records)


def test_calls_of_one_id_run_side_by_side(tmp_path: Path) -> None:
    bundle = make_synthetic_bundle(tmp_path / "m", eos_bias=-50)

    async def test(service: GenerationService) -> None:
        alone = [await collect(service, call(text, n=2)) for text in ("one", "another", "third")]
        together = await asyncio.gather(
            *(collect(service, call(text, n=2), MINE) for text in ("one", "another", "third"))
        )
        assert [texts for texts, _ in together] == [texts for texts, _ in alone]

    with_service(bundle, test)
