"""Calls that generate, on routes: they go to the model that a route leads to, or through a pipeline."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Protocol

from attendant.core.chat import ChatPrompt
from attendant.core.context import CallContext, current_call
from attendant.core.estimate import Estimate
from attendant.core.generation import Finish, GenerationCall, GenerationPart, TextPrompt
from attendant.frontend.generation.given_templates import GivenTemplates
from attendant.frontend.generation.grammars import Grammars
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.generation.on_model import Generates
from attendant.frontend.generation.service import GenerationService, wanted_of
from attendant.frontend.limits import CallLimits
from attendant.frontend.routes.differences import Difference, Texts
from attendant.frontend.routes.graph import Route, Target
from attendant.frontend.routes.routing import Resolved, Routes, step_of
from attendant.frontend.routes.shadows import Shadows
from attendant.metrics import Metrics
from attendant.models.info import Tokenized
from attendant.models.table import Finder


class TextPipelines(Protocol):
    """What runs calls that generate on pipelines."""

    def generate(
        self, route: Route, call: GenerationCall, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[GenerationPart, None]:
        """The parts of the last step's answer."""


class RoutedGeneration(GenerationService):
    """Generation by models, and by what routes lead to.

    Args:
        pipelines: asked when a call comes for one.
    """

    def __init__(
        self,
        models: Finder[Generates],
        metrics: Metrics,
        routes: Routes,
        shadows: Shadows,
        pipelines: Callable[[], TextPipelines],
        grammars: Grammars,
        given: GivenTemplates,
        limits: CallLimits,
    ) -> None:
        super().__init__(models, metrics, grammars, given, limits)
        self._routes = routes
        self._shadows = shadows
        self._pipelines = pipelines

    def generate(
        self, call: GenerationCall, context: CallContext | None = None
    ) -> AsyncGenerator[GenerationPart, None]:
        """See the base. A route's name is that of a model."""
        route = self._routes.find(call.model)
        if route is None:
            return super().generate(call, context)
        return self._on_route(route, call, context or CallContext.new(), inner=False)

    def lead(
        self, target: Target, call: GenerationCall, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[GenerationPart, None]:
        """A call on what a route leads to. ``inner``: it is a part of one that was let in before."""
        if target.route is not None:
            return self._on_route(target.route, call, context, inner=inner)
        return self._on_model(replace(call, model=target.model), context, inner=inner)

    async def estimate(self, call: GenerationCall, context: CallContext | None = None) -> Estimate:
        """See the base. Of a route it is the model that it leads to."""
        route = self._routes.find(call.model)
        if route is not None:
            context = context or CallContext.new()
            model, _ = self._routes.one_model(route, context, "model")
            call = replace(call, model=model)
        return await super().estimate(call, context)

    async def tokenize(self, model: str, prompt: TextPrompt | ChatPrompt, *, as_prompt: bool = False) -> Tokenized:
        """See the base. Of a route it is the model that it leads to."""
        route = self._routes.find(model)
        if route is not None:
            model, _ = self._routes.one_model(route, current_call() or CallContext.new(), "model")
        return await super().tokenize(model, prompt, as_prompt=as_prompt)

    async def _on_model(
        self, call: GenerationCall, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[GenerationPart, None]:
        found = self._models.find(call.model, wanted_of(call)) if inner else None
        async with aclosing(self._parts(InnerCall(call), context, found)) as parts:
            async for part in parts:
                yield part

    async def _on_route(
        self, route: Route, call: GenerationCall, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[GenerationPart, None]:
        self._routes.check(route, wanted_of(call))
        found = self._routes.resolve(route, context)
        began_ns = time.monotonic_ns()
        heard = [(hop, Texts()) for hop in found.shadows]
        with self._routes.counted(found.hops):
            async with aclosing(self._answer(found, call, context, inner=inner)) as parts:
                async for part in parts:
                    for _, texts in heard:
                        texts.take(part)
                    yield _timed(part, route, found, context, began_ns)
        for hop, texts in heard:
            self._shadows.offer(hop, context, partial(self._compare, hop.target, call, texts))

    def _answer(
        self, found: Resolved, call: GenerationCall, context: CallContext, *, inner: bool
    ) -> AsyncGenerator[GenerationPart, None]:
        if found.leaf.route is None:
            return self.lead(found.leaf, call, context, inner=inner)
        return self._pipelines().generate(found.leaf.route, call, context, inner=inner)

    async def _compare(self, target: Target, call: GenerationCall, first: Texts, context: CallContext) -> Difference:
        second, own = Texts(), replace(call, receipt=False, whole=True)
        async with aclosing(self.lead(target, own, context, inner=False)) as parts:
            async for part in parts:
                second.take(part)
        return first.differences(second)


def _timed(part: GenerationPart, route: Route, found: Resolved, context: CallContext, began_ns: int) -> GenerationPart:
    """The part; the last one of a sequence tells what the route led to, unless what it led to has told more."""
    if not isinstance(part, Finish) or part.timings.steps:
        return part
    return replace(part, timings=replace(part.timings, steps=(step_of(route, found.leaf, context, began_ns),)))
