"""The services of a server with routes: what skins talk to, and how it all ends."""

from __future__ import annotations

from typing import Any

from attendant.frontend.generation.given_templates import GivenTemplates
from attendant.frontend.generation.grammars import Grammars
from attendant.frontend.limits import CallLimits
from attendant.frontend.loads import LoadService
from attendant.frontend.routes.encoding import RoutedEncoding
from attendant.frontend.routes.explain import RoutedExplain
from attendant.frontend.routes.generation import RoutedGeneration
from attendant.frontend.routes.one_model import OneModel
from attendant.frontend.routes.pipelines import Pipelines
from attendant.frontend.routes.routing import Routes
from attendant.frontend.routes.shadows import Shadows
from attendant.frontend.routes.speech import RoutedSpeech
from attendant.frontend.tokenizer import TokenizerService
from attendant.frontend.words import WordsService
from attendant.metrics import Metrics
from attendant.models.table import Finder
from attendant.settings import ExplainSettings, GrammarSettings, SpeechSettings
from attendant.tasks.job_threads import JobThreads

MAX_MEDIA_JOBS = 2
"""Files that are decoded at once, of all models and calls: each may take hundreds of megabytes."""


class RoutedServices:
    """The services over one table of models, which know of each other. Create it inside the running event loop."""

    def __init__(
        self,
        models: Finder[Any],
        metrics: Metrics,
        speech: SpeechSettings,
        explain: ExplainSettings,
        grammar: GrammarSettings,
        given: GivenTemplates,
        limits: CallLimits,
    ) -> None:
        self._media = JobThreads(MAX_MEDIA_JOBS)
        self.routes = Routes(metrics.routes)
        self.shadows = Shadows(metrics.routes)

        def pipelines() -> Pipelines:
            return self._pipelines

        one_model = OneModel(models, self.routes)
        self.tokenizer, self.words = TokenizerService(one_model, given, limits), WordsService(one_model)
        self.loads = LoadService(one_model)
        self._grammars = Grammars(grammar, metrics.grammars)
        self.generation = RoutedGeneration(
            models, metrics, self.routes, self.shadows, pipelines, self._grammars, given, limits
        )
        self.encoding = RoutedEncoding(models, metrics, self._media, self.routes, self.shadows, pipelines, limits)
        self.speech = RoutedSpeech(
            models, self.generation.on, metrics, speech, self._media, self.routes, self.shadows, pipelines, limits
        )
        self._pipelines = Pipelines(self.routes, self.generation, self.encoding, self.speech)
        self.explain = RoutedExplain(
            models, self.generation, self.encoding, metrics, explain, self._media, self.routes, limits
        )

    async def drain(self, timeout_s: float) -> None:
        """Let calls on ensembles finish for so many seconds, and fail the rest with Draining."""
        await self.routes.gate.drain(timeout_s)

    async def close_shadows(self) -> None:
        """End what nobody waits for."""
        await self.shadows.close()

    def close_media(self) -> None:
        """Decode no more files, and compile no more grammars."""
        self._media.close()
        self._grammars.close()
