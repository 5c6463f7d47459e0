"""Recordings, on routes: they go to the model that a route leads to, or through a pipeline."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Protocol

from attendant.core.context import CallContext
from attendant.frontend.limits import CallLimits
from attendant.frontend.routes.differences import Difference, of_texts
from attendant.frontend.routes.graph import Route, Target
from attendant.frontend.routes.routing import Resolved, Routes, step_of
from attendant.frontend.routes.shadows import Shadows
from attendant.frontend.speech.calls import RawSound, SoundData, SpeechCall, SpeechPart, SpeechResult
from attendant.frontend.speech.model import Generator
from attendant.frontend.speech.service import Hears, SpeechService, last_part, once
from attendant.metrics import Metrics
from attendant.models.lookup import SPEECH
from attendant.models.table import Finder
from attendant.settings import SpeechSettings
from attendant.tasks.job_threads import JobThreads

Sound = SoundData | AsyncIterator[RawSound]


class SpeechPipelines(Protocol):
    """What runs recordings through pipelines."""

    def hear(
        self, route: Route, call: SpeechCall, sound: Sound, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[SpeechPart, None]:
        """The last step's text as it comes, and one result."""


class RoutedSpeech(SpeechService):
    """Speech recognition by models, and by what routes lead to.

    Args:
        pipelines: asked when a call comes for one.
    """

    def __init__(  # noqa: PLR0913 - what it leans on, each by name
        self,
        models: Finder[Hears],
        generators: Callable[[Hears], Generator],
        metrics: Metrics,
        settings: SpeechSettings,
        media: JobThreads,
        routes: Routes,
        shadows: Shadows,
        pipelines: Callable[[], SpeechPipelines],
        limits: CallLimits,
    ) -> None:
        super().__init__(models, generators, metrics, settings, media, limits)
        self._routes = routes
        self._shadows = shadows
        self._pipelines = pipelines

    async def transcribe(
        self, call: SpeechCall, sound: SoundData | RawSound, context: CallContext | None = None
    ) -> SpeechResult:
        """See the base. A route's name is that of a model."""
        route = self._routes.find(call.model)
        if route is None:
            return await super().transcribe(call, sound, context)
        return await last_part(self._on_route(route, call, sound, context or CallContext.new(), inner=False))

    def stream(
        self, call: SpeechCall, sound: Sound, context: CallContext | None = None
    ) -> AsyncGenerator[SpeechPart, None]:
        """See the base. A route's name is that of a model."""
        route = self._routes.find(call.model)
        if route is None:
            return super().stream(call, sound, context)
        return self._on_route(route, call, sound, context or CallContext.new(), inner=False)

    def lead(
        self, target: Target, call: SpeechCall, sound: Sound | RawSound, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[SpeechPart, None]:
        """A recording for what a route leads to. ``inner``: it is a part of a call that was let in before."""
        if target.route is not None:
            return self._on_route(target.route, call, sound, context, inner=inner)
        return super().stream(replace(call, model=target.model), _pieces(sound), context)

    async def _on_route(
        self, route: Route, call: SpeechCall, sound: Sound | RawSound, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[SpeechPart, None]:
        self._routes.check(route, SPEECH)
        found = self._routes.resolve(route, context)
        began_ns = time.monotonic_ns()
        result: SpeechResult | None = None
        with self._routes.counted(found.hops):
            if found.leaf.route is None:
                answer = self.lead(found.leaf, call, sound, context, inner=inner)
            else:
                answer = self._pipelines().hear(found.leaf.route, call, _pieces(sound), context, inner=inner)
            async with aclosing(answer) as parts:
                async for part in parts:
                    if not isinstance(part, SpeechResult):
                        yield part
                        continue
                    result = _timed(part, route, found, context, began_ns)
                    yield result
        for hop in found.shadows:
            if result is None or not isinstance(sound, SoundData | RawSound):
                self._shadows.skip(hop)
            else:
                own = replace(call, receipt=False)
                self._shadows.offer(hop, context, partial(self._compare, hop.target, own, sound, result))

    async def _compare(
        self, target: Target, call: SpeechCall, sound: SoundData | RawSound, first: SpeechResult, own: CallContext
    ) -> Difference:
        second = await last_part(self.lead(target, call, sound, own, inner=False))
        return of_texts([first.text], [second.text])


def _pieces(sound: Sound | RawSound) -> Sound:
    return once(sound) if isinstance(sound, RawSound) else sound


def _timed(result: SpeechResult, route: Route, found: Resolved, context: CallContext, began_ns: int) -> SpeechResult:
    """The result, which tells what the route led to, unless what it led to has told more."""
    if result.timings.steps:
        return result
    return replace(result, timings=replace(result.timings, steps=(step_of(route, found.leaf, context, began_ns),)))
