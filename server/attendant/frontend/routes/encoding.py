"""Calls on models that encode, on routes: they go to the model that a route leads to, or to the members of an
ensemble, whose answers become one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

from attendant.bundle import EncoderTask
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding import media, text
from attendant.frontend.encoding.calls import (
    ClassifyCall,
    ClassifyImageCall,
    EmbedCall,
    Encoded,
    LogitsCall,
    RerankCall,
    TextItem,
    added_up,
)
from attendant.frontend.encoding.limits import check_encoding
from attendant.frontend.encoding.service import Behaviour, Encodes, EncodingService
from attendant.frontend.limits import CallLimits
from attendant.frontend.routes import fusion
from attendant.frontend.routes.differences import Difference, of_results
from attendant.frontend.routes.graph import Route, Target
from attendant.frontend.routes.members import Said, run_members, usage_of
from attendant.frontend.routes.routing import Resolved, Routes, step_of
from attendant.frontend.routes.shadows import Shadows
from attendant.metrics import Metrics
from attendant.models.lookup import encoding
from attendant.models.table import Finder
from attendant.settings.routes import FusionRoute, RankRoute
from attendant.tasks.classification import ranked_documents
from attendant.tasks.job_threads import JobThreads
from attendant.tasks.vectors import check_top_k

C = TypeVar("C", bound=Any)
T = TypeVar("T")


class EncodingPipelines(Protocol):
    """What runs calls on models that encode on pipelines."""

    async def encode(
        self, route: Route, task: EncoderTask, call: Any, context: CallContext, *, inner: bool
    ) -> Encoded[Any]:
        """The answer of the last step."""


class RoutedEncoding(EncodingService):
    """Encoding by models, and by what routes lead to.

    Args:
        pipelines: asked when a call comes for one.
    """

    def __init__(
        self,
        models: Finder[Encodes],
        metrics: Metrics,
        media: JobThreads,
        routes: Routes,
        shadows: Shadows,
        pipelines: Callable[[], EncodingPipelines],
        limits: CallLimits,
    ) -> None:
        super().__init__(models, metrics, media, limits)
        self._routes = routes
        self._shadows = shadows
        self._pipelines = pipelines

    async def _run(
        self,
        task: EncoderTask,
        behaviour: Behaviour[C, T],
        call: C,
        given: CallContext | None,
        *,
        inner: bool = False,
    ) -> Encoded[T]:
        route = self._routes.find(call.model)
        if route is None:
            return await super()._run(task, behaviour, call, given, inner=inner)
        check_encoding(self._limits, call)
        return await self.lead(
            Target(route.name, route), task, behaviour, call, given or CallContext.new(), inner=inner
        )

    async def lead(
        self,
        target: Target,
        task: EncoderTask,
        behaviour: Behaviour[C, T],
        call: C,
        context: CallContext,
        *,
        inner: bool,
    ) -> Encoded[T]:
        """A call on what a route leads to. ``inner``: it is a part of one that was let in before."""
        route = target.route
        if route is None:
            return await super()._run(task, behaviour, replace(call, model=target.model), context, inner=inner)
        self._routes.check(route, encoding(task))
        found = self._routes.resolve(route, context)
        began_ns = time.monotonic_ns()
        with self._routes.counted(found.hops):
            if found.leaf.route is None:
                encoded = await self.lead(found.leaf, task, behaviour, call, context, inner=inner)
            else:
                encoded = await self._ensemble(found.leaf.route, task, behaviour, call, context, inner)
        for hop in found.shadows:
            compare = partial(self._compare, hop.target, task, behaviour, replace(call, receipt=False), encoded)
            self._shadows.offer(hop, context, compare)
        return _timed(encoded, route, found, context, began_ns)

    async def _compare(
        self,
        target: Target,
        task: EncoderTask,
        behaviour: Behaviour[C, T],
        call: C,
        first: Encoded[T],
        own: CallContext,
    ) -> Difference:
        second = await self.lead(target, task, behaviour, call, own, inner=False)
        return of_results(first.results, second.results)

    async def _ensemble(
        self, route: Route, task: EncoderTask, behaviour: Behaviour[C, T], call: C, context: CallContext, inner: bool
    ) -> Encoded[T]:
        """The answer of several models. It has no receipt: that tells of one."""
        if isinstance(call, LogitsCall):
            raise InvalidRequest("inputs", f"are tokens; allowed with {route.name!r}, of several models: texts")
        if not isinstance(route.spec, FusionRoute | RankRoute):
            return await self._pipelines().encode(route, task, call, context, inner=inner)
        async with self._routes.gate.call(inner=inner):
            if isinstance(route.spec, RankRoute):
                return await self._fused(route, route.spec, call, context)
            return await self._mean(route, route.spec, task, behaviour, call, context)

    async def _mean(
        self,
        route: Route,
        spec: FusionRoute,
        task: EncoderTask,
        behaviour: Behaviour[Any, Any],
        call: Any,
        context: CallContext,
    ) -> Encoded[Any]:
        _check(route, spec, call)
        asked = replace(call, receipt=False)
        if isinstance(call, ClassifyCall | ClassifyImageCall | RerankCall):
            asked = replace(asked, top_k=None)

        def ask(index: int, target: Target) -> Awaitable[Encoded[Any]]:
            return self.lead(target, task, behaviour, asked, context, inner=True)

        said = await run_members(self._routes, route, spec.on_failure, ask)
        return Encoded(_put_together(spec, call, said), usage_of(said, context))

    async def _fused(self, route: Route, spec: RankRoute, call: RerankCall, context: CallContext) -> Encoded[Any]:
        check_top_k(call.top_k)
        if call.raw_scores:
            raise InvalidRequest("raw_scores", f"is true; allowed with {route.name!r}, which fuses ranks: false")

        async def ask(index: int, target: Target) -> Encoded[Any]:
            if "rerank" in self._routes.standing(target).capabilities:
                asked = replace(call, receipt=False, top_k=None, return_documents=False)
                ranked = await self.lead(target, "rerank", text.rerank, asked, context, inner=True)
                return Encoded([fusion.ranks_of(ranked.results)], ranked.usage)
            member = spec.members[index]
            query = _vectors(call, (call.query,), member.query_prompt)
            documents = _vectors(call, call.documents, member.document_prompt, call.max_document_tokens)
            asked_first = await self.lead(target, "embed", text.embed, query, context, inner=True)
            found = await self.lead(target, "embed", text.embed, documents, context, inner=True)
            ranks = fusion.ranks_by_cosine(asked_first.results[0], found.results)
            usage = added_up((asked_first.usage, found.usage), found.usage.total_ns, found.usage.steps)
            return Encoded([ranks], usage)

        said = await run_members(self._routes, route, spec.on_failure, ask)
        ranks = [each.answer.results[0] for each in said]
        scores = fusion.fused_ranks(ranks, [each.target.weight for each in said], spec.k)
        texts = call.documents if call.return_documents else ()
        return Encoded(ranked_documents(scores, texts, call.top_k), usage_of(said, context))


def _check(route: Route, spec: FusionRoute, call: Any) -> None:
    if hasattr(call, "top_k"):
        check_top_k(call.top_k)
    if isinstance(call, EmbedCall):
        fusion.check_no_tokens(call.per_token, route.name)
    if spec.kind == "vote" and call.raw_scores:
        raise InvalidRequest("raw_scores", f"is true; allowed with {route.name!r}, which counts votes: false")


def _put_together(spec: FusionRoute, call: Any, said: Sequence[Said]) -> Sequence[Any]:
    answers, weights = [each.answer.results for each in said], [each.target.weight for each in said]
    if isinstance(call, EmbedCall):
        return fusion.mean_vectors(answers, weights, call.normalize)
    if isinstance(call, RerankCall):
        scores = fusion.mean_ranks(answers, weights)
        return ranked_documents(scores, call.documents if call.return_documents else (), call.top_k)
    together = fusion.voted_labels if spec.kind == "vote" else fusion.mean_labels
    return together(answers, weights, call.top_k)


def _vectors(call: RerankCall, texts: Sequence[str], prompt: str, most: int | None = None) -> EmbedCall:
    """What a model that embeds is asked for a reranking."""
    if not texts:
        raise InvalidRequest("documents", "is empty; allowed: at least one")
    items = tuple(TextItem(each) for each in texts)
    return EmbedCall(
        model="",
        inputs=items,
        truncate=call.truncate,
        truncate_left=call.truncate_left,
        prompt=prompt,
        max_tokens=most,
        patient=call.patient,
    )


def _timed(encoded: Encoded[T], route: Route, found: Resolved, context: CallContext, began_ns: int) -> Encoded[T]:
    """The answer, which tells what the route led to, unless what it led to has told more."""
    if encoded.usage.steps:
        return encoded
    return replace(encoded, usage=replace(encoded.usage, steps=(step_of(route, found.leaf, context, began_ns),)))


BEHAVIOURS: dict[EncoderTask, Behaviour[Any, Any]] = {
    "classify": text.classify,
    "embed": text.embed,
    "transcribe": media.transcribe_all,
}
"""Of calls that are steps of pipelines."""
