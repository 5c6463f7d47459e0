"""A front end with routes over tiny models, and short ways to call it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attendant.core.context import CallContext
from attendant.core.generation import Delta, Finish, GenerationCall, TextPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.loader import ModelLoader
from attendant.settings import EncoderSettings, EngineSettings
from attendant.settings.routes import RoutesFile
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.markdown import blocks

Test = Callable[[FrontEnd], Awaitable[None]]


def example() -> str:
    """The whole file that docs/routes.md shows."""
    return next(block.text for block in blocks("yaml") if block.page == "docs/routes.md")


def with_routes(
    bundles: Sequence[Path],
    routes: str,
    test: Test,
    metrics: Metrics | None = None,
    *,
    folder: Path | None = None,
    **settings: object,
) -> None:
    """Run ``test`` against a started front end of these bundles and routes. ``folder``: models may come from there."""

    async def main() -> None:
        chosen = EngineSettings(**{"threads": 1, "spinning": False, "max_num_seqs": 4} | settings)
        loader = ModelLoader(
            chosen, encoder=EncoderSettings(threads=1, spinning=False), verify=False, progress=lambda line: None
        )
        front_end = FrontEnd(
            metrics or Metrics(CollectorRegistry()),
            lambda name, error: pytest.fail(f"{name}: {error}"),
            loader=loader,
            folder=folder,
        )
        loaded = await asyncio.to_thread(loader.load_all, list(bundles))
        await front_end.start(loaded, routes=RoutesFile.parse(routes))
        try:
            await asyncio.wait_for(test(front_end), 300)
        finally:
            await front_end.close()

    asyncio.run(main())


def ask(model: str, text: str = "hello", max_tokens: int | None = 6, **fields: Any) -> GenerationCall:
    return GenerationCall(model, TextPrompt(text), max_tokens=max_tokens, **fields)


async def said(front_end: FrontEnd, call: GenerationCall, context: CallContext | None = None) -> tuple[str, Finish]:
    """The text of a call, and its end."""
    text, end = "", None
    async for part in front_end.generation.generate(call, context):
        if isinstance(part, Delta):
            text += part.text
        else:
            end = part
    assert end is not None
    return text, end


def counted(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Samples that are above 0 of a metric, by the values of their labels in the order of their names."""
    found = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            if sample.name == f"attendant_{name}" and sample.value:
                found[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found
