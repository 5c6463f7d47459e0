"""A service over tiny encoders whose answers anyone can work out, and short ways to call it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from attendant.batching.client import BatchClient
from attendant.bundle import EncoderManifest, read_any_manifest
from attendant.frontend.encoding.calls import TextItem
from attendant.frontend.encoding.served import ServedEncoder
from attendant.frontend.encoding.service import EncodingService
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.served_model import ServedModel
from attendant.metrics import Metrics
from attendant.models.clients import batch_client
from attendant.models.encoders import EncoderPart, load_encoder
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles
from attendant.models.table import ModelTable
from attendant.settings import EncoderSettings
from PIL import Image
from tokenizers import Tokenizer

from tests.frontend.generation.helpers import wait_until
from tests.synthetic import byte_tokenizer

TOKENIZER: Tokenizer = byte_tokenizer()

client_of: Callable[[EncoderPart], BatchClient] = batch_client
"""How the services of tests reach their models."""


def load(bundle: Path, **settings: Any) -> EncoderPart:
    """Load a bundle that encodes."""
    manifest: Any = read_any_manifest(bundle)
    assert isinstance(manifest, EncoderManifest)
    return load_encoder(bundle, manifest, EncoderSettings(**{"threads": 1, "spinning": False} | settings), verify=False)


def with_encoders(
    models: Sequence[EncoderPart],
    test: Callable[[EncodingService], Awaitable[None]],
    metrics: Metrics | None = None,
) -> list[tuple[str, BaseException]]:
    """Run ``test`` against a started service of these models; returns the deaths of batch threads."""
    deaths: list[tuple[str, BaseException]] = []

    async def main() -> None:
        front_end = FrontEnd(metrics or Metrics(), lambda name, error: deaths.append((name, error)), batches=client_of)
        await front_end.start(LoadedBundles(tuple(LoadedModel.of(model) for model in models)))
        service = front_end.encoding
        try:
            await asyncio.wait_for(test(service), 300)
            await wait_until(lambda: num_active(service) == 0)
        finally:
            await front_end.close()

    asyncio.run(main())
    return deaths


def num_active(service: EncodingService) -> int:
    """Rows that wait or run."""
    return sum(encoder.hub.gate.taken for encoder in encoders(service))


def served_models(service: EncodingService) -> list[ServedModel]:
    """What takes the calls of each model."""
    return [entry.serving for entry in table(service).entries if entry.serving is not None]


def encoders(service: EncodingService) -> list[ServedEncoder]:
    """What the models are run by."""
    return [encoder for served in served_models(service) for encoder in served.encoders.values()]


def table(service: EncodingService) -> ModelTable[Any]:
    """The table that the service asks."""
    models = service._models
    assert isinstance(models, ModelTable)
    return models


async def drain(service: EncodingService, timeout_s: float) -> None:
    """Drain every model of the table that the service asks."""
    await table(service).drain(timeout_s)


def items(*texts: str) -> tuple[TextItem, ...]:
    """Inputs of plain texts."""
    return tuple(TextItem(text) for text in texts)


def ids(text: str) -> list[int]:
    """What the tiny models' tokenizer makes of a text."""
    found: list[int] = TOKENIZER.encode(text).ids
    return found


def png(colour: tuple[int, int, int]) -> bytes:
    """A small image of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(stream, "PNG")
    return stream.getvalue()
