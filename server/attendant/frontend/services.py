"""The services of a server as one: what generates and what encodes start, drain and stop together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from attendant.core.errors import ModelNotFound
from attendant.frontend.encoding.service import EncodingService
from attendant.frontend.generation.service import GenerationService
from attendant.frontend.speech.service import SpeechService
from attendant.metrics import Metrics
from attendant.models.failed import FailedModel
from attendant.models.info import EncoderInfo, ModelInfo
from attendant.models.repository import ModelRepository
from attendant.settings import SpeechSettings


class Services:
    """A server's models, whatever their tasks. Create it inside the running event loop.

    Args:
        on_death: called on the loop with the model's name and the exception when a thread that runs a model dies.
        speech: of models that write what they hear.
    """

    def __init__(
        self,
        models: ModelRepository,
        metrics: Metrics,
        on_death: Callable[[str, BaseException], None],
        speech: SpeechSettings | None = None,
    ) -> None:
        self._models = models
        self._metrics = metrics
        self.generation = GenerationService(models, metrics, on_death)
        self.encoding = EncodingService(models, metrics, on_death)
        self.speech = SpeechService(models, self.generation, metrics, speech or SpeechSettings())

    async def start(self, *, strict: bool = False) -> None:
        """Start every model. One that cannot be prepared is given up, unless that leaves none.

        Raises:
            AttendantError: what kept the first from being prepared, if ``strict`` or if none is left; the others are
                stopped.
        """
        await self.generation.start(strict=strict)
        try:
            self._models.check_some()
            await self.encoding.start()
        except BaseException:
            await self.close()
            raise
        for info in self.list_models():
            self._metrics.model_ready(info.name, ready=info.ready)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let running ones finish for ``timeout_s`` seconds, then fail the rest with Draining."""
        services = (self.generation, self.encoding, self.speech)
        await asyncio.gather(*(service.drain(timeout_s) for service in services))

    async def close(self) -> None:
        """Stop every model."""
        await asyncio.gather(self.generation.close(), self.encoding.close())

    def list_models(self) -> tuple[ModelInfo | EncoderInfo | FailedModel, ...]:
        """Every model, those last that cannot be served."""
        return (*self.generation.list_models(), *self.encoding.list_models(), *self._models.failed)

    def get_model(self, name: str) -> ModelInfo | EncoderInfo | FailedModel:
        """One model; an empty name means the only one. Raises ModelNotFound."""
        models = {info.name: info for info in self.list_models()}
        if not name and len(models) == 1:
            return next(iter(models.values()))
        if name not in models:
            raise ModelNotFound(name, tuple(sorted(models)))
        return models[name]
