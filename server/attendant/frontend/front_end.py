"""The front end as a whole: the table of models, and the services that find them there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from attendant.batching.client import BatchClient
from attendant.core.errors import ModelNotFound
from attendant.engine.client import EngineClient
from attendant.frontend.encoding.service import EncodingService
from attendant.frontend.explain.service import ExplainService
from attendant.frontend.generation.service import GenerationService
from attendant.frontend.served_model import OnDeath, ServedModel
from attendant.frontend.speech.service import SpeechService
from attendant.metrics import Metrics
from attendant.models.clients import batch_client, engine_clients
from attendant.models.encoders import EncoderPart
from attendant.models.failed import FailedModel
from attendant.models.generators import GeneratorPart
from attendant.models.info import ModelInfo, ModelState
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.models.table import Entry, ModelTable
from attendant.settings import ExplainSettings, SpeechSettings
from attendant.tasks.media_threads import MediaThreads

MAX_MEDIA_JOBS = 2
"""Files that are decoded at once, of all models and calls: each may take hundreds of megabytes."""


class FrontEnd:
    """A server's models, whatever they can do. Create it inside the running event loop.

    Args:
        on_death: called on the loop with the model's name and the exception when a thread that runs a model dies.
        speech: of models that write what they hear. explain: of calls that explain.
        loader: of models that come after the start; None: none do.
        on_change: told whenever a model came, went or failed, after the start.
        engines, batches: say how a model's engines, and its batches, are reached.

    Attributes:
        models: the table of models, which loads and unloads them while others serve.
        generation, encoding, speech, explain: what skins talk to, one for each kind of calls.
    """

    def __init__(
        self,
        metrics: Metrics,
        on_death: OnDeath,
        speech: SpeechSettings | None = None,
        *,
        explain: ExplainSettings | None = None,
        loader: ModelLoader | None = None,
        on_change: Callable[[], Awaitable[None]] | None = None,
        engines: Callable[[GeneratorPart], Sequence[EngineClient]] = engine_clients,
        batches: Callable[[EncoderPart], BatchClient] = batch_client,
    ) -> None:
        self._metrics = metrics
        self._on_change = on_change

        def serve(model: LoadedModel) -> ServedModel:
            return ServedModel(model, metrics, on_death, engines=engines, batches=batches)

        self.models = ModelTable(serve, loader, self._changed)
        self.generation = GenerationService(self.models, metrics)
        self._media = MediaThreads(MAX_MEDIA_JOBS)
        self.encoding = EncodingService(self.models, metrics, self._media)
        self.speech = SpeechService(self.models, self.generation.on, metrics, speech or SpeechSettings(), self._media)
        self.explain = ExplainService(
            self.models, self.generation, self.encoding, metrics, explain or ExplainSettings(), self._media
        )

    async def start(self, bundles: LoadedBundles, *, strict: bool = False) -> None:
        """Start every model. One that cannot be prepared is given up, unless that leaves none.

        Raises:
            AttendantError: what kept the first from being prepared, if ``strict`` or if none is left; the others are
                stopped.
        """
        await self.models.start(bundles, strict=strict)
        self._count_ready()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let running ones finish for ``timeout_s`` seconds, then fail the rest with Draining."""
        await self.models.drain(timeout_s)

    async def close(self) -> None:
        """Stop every model."""
        await self.models.close()
        self._media.close()

    def list_models(self) -> tuple[ModelInfo | FailedModel, ...]:
        """Every model: those that generate, those that do not, and last those that cannot be served."""
        entries = sorted(self.models.entries, key=lambda entry: "generate" not in entry.capabilities)
        infos = [_info(entry) for entry in entries if entry.failed is None]
        return (*infos, *(entry.failed for entry in self.models.entries if entry.failed is not None))

    def get_model(self, name: str) -> ModelInfo | FailedModel:
        """One model; an empty name means the only one. Raises ModelNotFound."""
        models = {info.name: info for info in self.list_models()}
        if not name and len(models) == 1:
            return next(iter(models.values()))
        if name not in models:
            raise ModelNotFound(name, tuple(sorted(models)))
        return models[name]

    def readiness(self) -> dict[str, bool]:
        """Whether each model takes calls, by name."""
        return {entry.name: entry.state is ModelState.READY for entry in self.models.entries}

    async def _changed(self) -> None:
        self._count_ready()
        if self._on_change is not None:
            await self._on_change()

    def _count_ready(self) -> None:
        self._metrics.models_ready(self.readiness())


def _info(entry: Entry[ServedModel]) -> ModelInfo:
    assert entry.manifest is not None, "it was read"
    served = entry.serving
    if served is None:
        return ModelInfo(entry.manifest, entry.capabilities, entry.state)
    parts = served.generation_info(), served.encoding_infos()
    return ModelInfo(entry.manifest, entry.capabilities, entry.state, *parts, served.maker)
