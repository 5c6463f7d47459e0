"""An input's result does not depend on what else is being served: batched equals isolated, for encoders."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest
from attendant.bundle import TOKENIZER_FILE, read_any_manifest
from attendant.core.encoding import Arrays, Row
from attendant.demo import demo_bundle
from attendant.frontend.encoding.hub import EncoderHub
from attendant.metrics import Metrics
from attendant.models.clients import batch_client
from attendant.models.encoders import EncoderPart, load_encoder
from attendant.settings import EncoderSettings
from prometheus_client import CollectorRegistry

NUM_CALLS = 120
LONGEST = 120
SEEDS = (1, 2, 3)


def load(bundle: Path, threads: int) -> EncoderPart:
    settings = EncoderSettings(threads=threads, spinning=False, max_batch_tokens=700, max_batch_size=24)
    return load_encoder(bundle, read_any_manifest(bundle), settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=[1, 2])
def int8(request: pytest.FixtureRequest) -> EncoderPart:
    """The sentiment demo, with one thread and with two."""
    return load(demo_bundle().parent / "sentiment", request.param)


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> EncoderPart:
    pytest.importorskip("torch", reason="the exporter is not installed")
    from attendant_export.drafts import Order
    from attendant_export.encoders.export import Encoder
    from attendant_export.pipeline import export
    from attendant_export.recipe import Recipe

    from tests.bundles import make_tokenizer
    from tests.export.encoder_measure import make_plan

    out = tmp_path_factory.mktemp("bundles") / "fp32"
    export(Encoder(make_plan("distilbert", "classify")), [Recipe()], Order(out, "fp32"))
    (out / TOKENIZER_FILE).write_text(make_tokenizer().to_str(), encoding="utf-8")  # the rows are made of ids
    return load(out, 1)


def rows_of(rng: np.random.Generator, call: int, count: int) -> list[Row]:
    lengths = np.exp(rng.uniform(np.log(2), np.log(LONGEST), count)).astype(int)
    ids = (rng.integers(5, 290, length) for length in lengths)
    return [Row(f"{call}-{i}", {"input_ids": row}, len(row), 0) for i, row in enumerate(ids)]


def served(model: EncoderPart, calls: list[list[Row]], seed: int) -> tuple[dict[str, Arrays], list[int]]:
    """Outputs of the rows that ended, by id, after random arrivals and cancels; and how many calls each
    batch had rows of."""
    chance = random.Random(seed)
    outputs: dict[str, Arrays] = {}
    mixtures: list[int] = []
    run = model.runner.run

    async def one(hub: EncoderHub, rows: list[Row]) -> None:
        await asyncio.sleep(chance.random() * 0.05)
        task = asyncio.ensure_future(hub.run(rows))
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random() * 0.01)
            task.cancel()
        try:
            outputs.update({result.id: result.outputs for result in await task})
        except asyncio.CancelledError:
            return

    async def main() -> None:
        hub = EncoderHub(
            model,
            batch_client(model),
            Metrics(CollectorRegistry()),
            lambda name, error: pytest.fail(f"{name}: {error}"),
        )
        await hub.start()
        await asyncio.gather(*(one(hub, rows) for rows in calls))
        assert hub.gate.taken == 0 or await _idle(hub)
        await hub.close()

    def counting(rows: list[Row]) -> object:
        mixtures.append(len({row.id.partition("-")[0] for row in rows}))
        return run(rows)

    model.runner.run = counting  # type: ignore[method-assign,assignment]
    try:
        asyncio.run(main())
    finally:
        model.runner.run = run  # type: ignore[method-assign]
    return outputs, mixtures


async def _idle(hub: EncoderHub) -> bool:
    """Rows of cancelled calls that ran already end with their batch."""
    while hub.gate.taken:
        await asyncio.sleep(0.01)
    return True


def check(model: EncoderPart, seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    calls = [rows_of(rng, call, int(rng.integers(1, 6))) for call in range(NUM_CALLS)]
    outputs, mixtures = served(model, calls, seed)
    assert len(outputs) > 0.7 * sum(map(len, calls))
    assert max(mixtures) > 1, "rows of different calls ran together"
    for rows in calls:
        for row in rows:
            if row.id in outputs:
                (alone,) = model.runner.run([row])
                assert alone.keys() == outputs[row.id].keys()
                for name, wanted in alone.items():
                    np.testing.assert_allclose(outputs[row.id][name], wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("seed", SEEDS)
def test_int8_answers_are_bit_for_bit_those_alone(int8: EncoderPart, seed: int) -> None:
    check(int8, seed, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_fp32_answers_are_those_alone(fp32: EncoderPart, seed: int) -> None:
    check(fp32, seed, 1e-6)
