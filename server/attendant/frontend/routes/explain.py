"""Calls that explain, on a route: they are of the model that it leads to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from attendant.core.context import CallContext
from attendant.frontend.encoding.service import EncodingService
from attendant.frontend.explain.service import ExplainService
from attendant.frontend.explain.subjects import Explains
from attendant.frontend.generation.service import GenerationService
from attendant.frontend.limits import CallLimits
from attendant.frontend.routes.routing import Routes
from attendant.metrics import Metrics
from attendant.metrics.explain import ExplainKind
from attendant.models.lookup import Wanted
from attendant.models.table import Finder
from attendant.settings import ExplainSettings
from attendant.tasks.job_threads import JobThreads

T = TypeVar("T")


class RoutedExplain(ExplainService):
    """Explains models, and what routes lead to if it is one model."""

    def __init__(
        self,
        models: Finder[Explains],
        generation: GenerationService,
        encoding: EncodingService,
        metrics: Metrics,
        settings: ExplainSettings,
        media: JobThreads,
        routes: Routes,
        limits: CallLimits,
    ) -> None:
        super().__init__(models, generation, encoding, metrics, settings, media, limits)
        self._routes = routes

    async def _run(
        self,
        kind: ExplainKind,
        wanted: Wanted,
        name: str,
        behaviour: Callable[[Explains, CallContext], Awaitable[T]],
        given: CallContext | None,
    ) -> T:
        route = self._routes.find(name)
        if route is None:
            return await super()._run(kind, wanted, name, behaviour, given)
        context = given or CallContext.new()
        model, hops = self._routes.one_model(route, context, wanted.field)
        self._routes.check(route, wanted)
        with self._routes.counted(hops):
            return await super()._run(kind, wanted, model, behaviour, context)
