"""The front end as a whole: what generates, encodes and hears starts, drains and stops together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from attendant.core.errors import ModelNotFound
from attendant.frontend.encoding.service import EncodingService
from attendant.frontend.generation.service import GenerationService
from attendant.frontend.speech.service import SpeechService
from attendant.metrics import Metrics
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo
from attendant.models.loaded import LoadedModel
from attendant.models.repository import ModelRepository
from attendant.settings import SpeechSettings
from attendant.tasks.media_threads import MediaThreads

MAX_MEDIA_JOBS = 2
"""Files that are decoded at once, of all models and calls: each may take hundreds of megabytes."""


class FrontEnd:
    """A server's models, whatever their tasks. Create it inside the running event loop.

    Args:
        on_death: called on the loop with the model's name and the exception when a thread that runs a model dies.
        speech: of models that write what they hear.

    Attributes:
        generation, encoding, speech: what skins talk to, one for each kind of calls.
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
        self._media = MediaThreads(MAX_MEDIA_JOBS)
        self.encoding = EncodingService(models, metrics, on_death, self._media)
        self.speech = SpeechService(models, self.generation, metrics, speech or SpeechSettings(), self._media)

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
        rooms = (self.generation, self.encoding, self.speech)
        await asyncio.gather(*(room.drain(timeout_s) for room in rooms))

    async def close(self) -> None:
        """Stop every model."""
        await asyncio.gather(self.generation.close(), self.encoding.close())
        self._media.close()

    def list_models(self) -> tuple[ModelInfo | FailedModel, ...]:
        """Every model, those last that cannot be served."""
        served = sorted(self._models, key=lambda model: model.generator is None)
        return (*map(self._info, served), *self._models.failed)

    def get_model(self, name: str) -> ModelInfo | FailedModel:
        """One model; an empty name means the only one. Raises ModelNotFound."""
        models = {info.name: info for info in self.list_models()}
        if not name and len(models) == 1:
            return next(iter(models.values()))
        if name not in models:
            raise ModelNotFound(name, tuple(sorted(models)))
        return models[name]

    def _info(self, model: LoadedModel) -> ModelInfo:
        name = model.name
        return ModelInfo(
            model.manifest,
            model.capabilities,
            self.generation.ready(name) and self.encoding.ready(name),
            self.generation.info(name),
            self.encoding.infos(name),
        )
