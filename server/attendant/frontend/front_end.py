"""The front end as a whole: the table of models, and the services that find them there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from attendant.batching.client import BatchClient
from attendant.core.caller import current_caller
from attendant.core.errors import ModelNotFound
from attendant.core.repository import ModelVersion, full_name, split_name
from attendant.engine.client import EngineClient
from attendant.frontend.generation.given_templates import GivenTemplates
from attendant.frontend.generation.recent import LoadNow
from attendant.frontend.limits import CallLimits
from attendant.frontend.loads import load_of
from attendant.frontend.routes.services import RoutedServices
from attendant.frontend.served_model import OnDeath, ServedModel
from attendant.frontend.vigil import Vigil
from attendant.metrics import Metrics
from attendant.metrics.triton import ModelFigures
from attendant.models.clients import batch_client, engine_clients
from attendant.models.encoders import EncoderPart
from attendant.models.entry import Entry
from attendant.models.failed import FailedModel
from attendant.models.generators import GeneratorPart
from attendant.models.info import ModelInfo, ModelState
from attendant.models.ledger import MemoryLedger
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.models.lookup import named
from attendant.models.repository import ModelRepository
from attendant.models.table import ModelTable
from attendant.settings import (
    AdmissionSettings,
    ChatSettings,
    ExplainSettings,
    GrammarSettings,
    LifecycleSettings,
    LimitsSettings,
    RepositorySettings,
    SpeechSettings,
)
from attendant.settings.routes import RoutesFile


class FrontEnd:
    """A server's models, whatever they can do. Create it inside the running event loop.

    Args:
        on_death: called on the loop with the model's name and the exception when a model died, or hangs, for good.
        speech: of models that write what they hear. explain: of calls that explain.
        grammar: of structured output. chat: of conversations. admission: who is let in. limits: of what calls carry.
        loader: of models that come after the start; None: none do.
        on_change: told whenever a model came, went or failed, after the start.
        repository, folder: of models by version, which may come and go.
        drain_timeout_s: seconds that calls to a version that leaves may go on.
        lifecycle: of models whose engines hang or die.
        engines, batches: say how a model's engines, and its batches, are reached.

    Attributes:
        models: the table of models, which loads and unloads them while others serve.
        repository: which versions there are, and how they come and go by calls.
        generation, encoding, speech, explain, tokenizer: what skins talk to, one for each kind of calls, on models and
            on routes.
        routes: names that callers use as models, and what answers them.
        changes: how often models or routes have changed: what was found stays as it is while this does.
        words, loads: what gateways ask for, who make tokens themselves and choose among servers.
    """

    def __init__(  # noqa: PLR0913 - what a server is made of, each by name
        self,
        metrics: Metrics,
        on_death: OnDeath,
        speech: SpeechSettings | None = None,
        *,
        explain: ExplainSettings | None = None,
        grammar: GrammarSettings | None = None,
        chat: ChatSettings | None = None,
        admission: AdmissionSettings | None = None,
        limits: LimitsSettings | None = None,
        loader: ModelLoader | None = None,
        on_change: Callable[[], Awaitable[None]] | None = None,
        repository: RepositorySettings | None = None,
        folder: Path | None = None,
        drain_timeout_s: float = 30.0,
        lifecycle: LifecycleSettings | None = None,
        engines: Callable[[GeneratorPart], Sequence[EngineClient]] = engine_clients,
        batches: Callable[[EncoderPart], BatchClient] = batch_client,
    ) -> None:
        self._metrics = metrics
        self._on_change = on_change
        self._models_come = False
        self.changes = 0

        def serve(model: LoadedModel) -> ServedModel:
            return ServedModel(model, metrics, self._vigil.on_death, admission, engines=engines, batches=batches)

        self.models = ModelTable(serve, loader, self._changed)
        self._vigil = Vigil(self.models, lifecycle or LifecycleSettings(), metrics, on_death)
        ledger = loader.ledger if loader is not None else MemoryLedger()
        self.repository = ModelRepository(
            self.models, repository or RepositorySettings(), drain_timeout_s, ledger, folder
        )
        self._given = GivenTemplates(chat or ChatSettings())
        self._services = RoutedServices(
            self.models,
            metrics,
            speech or SpeechSettings(),
            explain or ExplainSettings(),
            grammar or GrammarSettings(),
            self._given,
            CallLimits(limits),
        )
        self.generation, self.encoding = self._services.generation, self._services.encoding
        self.speech, self.explain = self._services.speech, self._services.explain
        self.tokenizer, self.routes = self._services.tokenizer, self._services.routes
        self.words, self.loads = self._services.words, self._services.loads
        self._models_come = folder is not None

    async def start(self, bundles: LoadedBundles, *, strict: bool = False, routes: RoutesFile | None = None) -> None:
        """Start every model. One that cannot be prepared is given up, unless that leaves none.

        Args:
            routes: that there are from the start. A model that they name and that is not there may come later, if there
                is a folder of models.

        Raises:
            AttendantError: what kept the first from being prepared, if ``strict`` or if none is left; or what is wrong
                with the routes. All that was started is stopped.
        """
        await self.models.start(bundles, strict=strict)
        try:
            await self.repository.start(bundles.paths, strict=strict)
            if routes is not None:
                self.routes.put(routes, self._known, models_come=self._models_come)
        except BaseException:
            await self.close()
            raise
        self._vigil.start()
        self._count_ready()

    async def put_routes(self, file: RoutesFile) -> None:
        """Have these routes from now on, and no others; calls that run end as they began.

        Raises:
            ConfigurationError: the file does not fit itself or the models; the routes stay as they were.
        """
        self.routes.put(file, self._known, models_come=self._models_come)
        self.changes += 1
        if self._on_change is not None:
            await self._on_change()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let running ones finish for ``timeout_s`` seconds, then fail the rest with Draining."""
        self.models.refuse()  # at once, before those that drain get their first turn
        self.routes.gate.refuse()
        await asyncio.gather(self.models.drain(timeout_s), self._services.drain(timeout_s))

    async def close(self) -> None:
        """Stop every model."""
        await self._services.close_shadows()
        await self._vigil.close()
        await self.models.close()
        await self.repository.close()
        self._services.close_media()
        await self._given.close()

    def busy(self) -> list[LoadNow]:
        """How busy each model is that serves."""
        return [load_of(entry.serving) for entry in self.models.entries if entry.serving is not None]

    def list_models(self) -> tuple[ModelInfo | FailedModel, ...]:
        """Every version of every model: those that generate, those that do not, those that cannot be served. Then every
        route. Of all these, what the caller may use."""
        entries = sorted(self.models.entries, key=lambda entry: "generate" not in entry.capabilities)
        models = [_info(entry) for entry in sorted(entries, key=lambda entry: entry.failed is not None)]
        return tuple([each for each in (*models, *self.routes.infos()) if _may_be_used(each)])

    def index(self) -> tuple[ModelVersion, ...]:
        """Every version that the server or its repository has, of the models that the caller may use."""
        return tuple([each for each in self.repository.index() if _may_be_used(each)])

    def get_model(self, name: str) -> ModelInfo | FailedModel:
        """A route, or one model; with ``name@version`` that version, and else the current one. An empty name means the
        only model.

        Raises:
            ModelNotFound: with the models and routes that exist, whether they are served or not; with the versions, if
                one was named.
            NotPermitted: the caller may not use it.
        """
        current_caller().check_model(name)
        return self.routes.info(name) or self._get_model(name)

    def served_model(self, name: str) -> ModelInfo:
        """The same. Raises ModelFailed, too, where it cannot be served."""
        info = self.get_model(name)
        if isinstance(info, FailedModel):
            raise info.refusal()
        return info

    def _known(self, name: str) -> ModelInfo | FailedModel | None:
        try:
            return self._get_model(name)
        except ModelNotFound:
            return None

    def _get_model(self, name: str) -> ModelInfo | FailedModel:
        entries, may_use = self.models.entries, current_caller().may_use
        found = [entry for entry in entries if entry.current and may_use(entry.full_name)]
        if name:
            wanted = named(entries, name)
            found = [wanted] if wanted is not None else []
        if len(found) == 1:
            return _info(found[0])
        with_versions = bool(split_name(name)[1])
        known = {entry.full_name if with_versions else entry.name for entry in entries}
        raise ModelNotFound(name, tuple(sorted(filter(may_use, {*known, *self.routes.names}))))

    def figures(self) -> Mapping[str, ModelFigures]:
        """What each model has done, by name, all its versions together."""
        return self._metrics.figures()

    @property
    def well(self) -> bool:
        """Whether calls may be sent here: no model hangs, and what is started anew is not all that there is."""
        entries = self.models.entries
        if self.hangs:
            return False
        return not any(entry.restarting for entry in entries) or any(e.state is ModelState.READY for e in entries)

    @property
    def hangs(self) -> bool:
        """Whether a model is at something that does not end."""
        return any(entry.hangs for entry in self.models.entries)

    @property
    def ails(self) -> bool:
        """Whether an engine has died or hangs, of whatever model."""
        there = [entry for entry in self.models.entries if entry.failed is None]
        return any(entry.restarting or entry.state is ModelState.FAILED for entry in there)

    def remaining(self) -> dict[str, int]:
        """What is not over, by model."""
        counted = {e.name: e.serving.num_inside for e in self.models.entries if e.serving is not None}
        return {name: count for name, count in counted.items() if count}

    def readiness(self) -> dict[str, bool]:
        """Whether calls to each name are taken, ``name`` and ``name@version`` alike, and routes'."""
        told: dict[str, bool] = {}
        for entry in self.models.entries:
            ready = entry.state is ModelState.READY
            told[entry.full_name] = ready or told.get(entry.full_name, False)
            if entry.current:
                told[entry.name] = ready
        return told | self.routes.readiness()

    async def _changed(self) -> None:
        self._count_ready()
        if self._on_change is not None:
            await self._on_change()

    def _count_ready(self) -> None:
        self.changes += 1
        current = [entry for entry in self.models.entries if entry.current]
        self._metrics.models_ready({entry.name: entry.state is ModelState.READY for entry in current})
        self.routes.models_changed()


def _may_be_used(model: ModelInfo | FailedModel | ModelVersion) -> bool:
    """Whether the caller may use it."""
    return current_caller().may_use(full_name(model.name, model.version))


def _info(entry: Entry[ServedModel]) -> ModelInfo | FailedModel:
    if (failure := entry.failure) is not None:
        return failure
    assert entry.manifest is not None, "it was read"
    served = entry.serving
    if served is None:
        return ModelInfo(entry.manifest, entry.capabilities, entry.state, current=entry.current)
    parts = served.generation_info(), served.encoding_infos()
    return ModelInfo(entry.manifest, entry.capabilities, entry.state, *parts, served.maker, entry.current)
