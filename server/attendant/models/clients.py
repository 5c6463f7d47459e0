"""How the parts of loaded models are reached: in this process, on a thread each, or in one of their own."""

from __future__ import annotations

from attendant.batching.client import BatchClient, ThreadBatchClient
from attendant.engine.client import EngineClient, ThreadEngineClient
from attendant.models.encoders import EncoderPart
from attendant.models.generators import GeneratorPart


def engine_clients(model: GeneratorPart) -> tuple[EngineClient, ...]:
    """A client for each engine of a model that generates. They are not started. The first computes jobs."""
    if model.process is not None:
        return model.process.clients()
    return tuple(
        ThreadEngineClient(f"{model.name}-{i}", engine, None if i else model.attention)
        for i, engine in enumerate(model.engines)
    )


def batch_client(model: EncoderPart) -> BatchClient:
    """A client for a model that encodes. It is not started."""
    return ThreadBatchClient(model.name, model.runner, model.limits, model.probe, model.attention)
