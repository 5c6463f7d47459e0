"""What routes can do, and whether they take calls: it follows from the models that they lead to, as they are now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from attendant.bundle import Capability, EncoderManifest
from attendant.core.errors import Unavailable
from attendant.frontend.routes.fitting import answers, misfit, shared
from attendant.frontend.routes.graph import Route, Target
from attendant.models.failed import FailedModel
from attendant.models.info import DEAD, ModelInfo, ModelState, RouteInfo, RouteTarget
from attendant.settings.routes import CanaryRoute, FusionRoute, PipelineRoute, RankRoute

Known = ModelInfo | FailedModel
_CAUSES = {
    ModelState.READY: "",
    ModelState.LOADING: "is being loaded",
    ModelState.DRAINING: "is being unloaded",
    ModelState.FAILED: DEAD,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model, or a route, is doing.

    Attributes:
        capabilities: what it can do, its task first; of one that nobody knows, nothing.
        cause: why it takes no calls, in words that callers may read; empty if it does.
        looks: a model that it looks like to callers; None if none is known.
        missing: there is no such model.
        fault: what is wrong with it however long one waits, and the index of the target that is at fault.
    """

    capabilities: tuple[Capability, ...]
    state: ModelState
    cause: str = ""
    looks: ModelInfo | None = None
    missing: bool = False
    fault: tuple[int, str] | None = None

    @property
    def ready(self) -> bool:
        """Whether it takes calls."""
        return not self.cause


class Standings:
    """How everything that routes lead to is doing, at one moment.

    Args:
        models: what is known of the model, or the version, of a name; None: there is none.
    """

    def __init__(self, models: Callable[[str], Known | None]) -> None:
        self._find = models
        self._models: dict[str, Standing] = {}
        self._routes: dict[str, Standing] = {}

    def of(self, target: Target) -> Standing:
        """What a target is like."""
        if target.route is not None:
            return self.of_route(target.route)
        if target.model not in self._models:
            self._models[target.model] = _of_model(target.model, self._find(target.model))
        return self._models[target.model]

    def of_route(self, route: Route) -> Standing:
        """What a route is like."""
        if route.name not in self._routes:
            self._routes[route.name] = _of_route(route, [self.of(target) for target in route.targets])
        return self._routes[route.name]

    def info(self, route: Route) -> Known:
        """A route as callers see it: as a model."""
        standing = self.of_route(route)
        targets = tuple(self._shown(target) for target in route.targets)
        shown = RouteInfo(route.name, route.spec.kind, targets, standing.cause, route.made_of_several)
        if standing.looks is None:
            return FailedModel(route.name, Unavailable(standing.cause or "nothing is known of it"), route=shown)
        return replace(
            standing.looks,
            capabilities=standing.capabilities,
            state=standing.state,
            current=True,
            maker=None if route.made_of_several else standing.looks.maker,
            route=shown,
        )

    def _shown(self, target: Target) -> RouteTarget:
        step = target.label if target.role == "step" else ""
        return RouteTarget(target.model, target.role, target.weight, step, self.of(target).cause)


def _of_model(name: str, known: Known | None) -> Standing:
    if known is None:
        return Standing((), ModelState.FAILED, f"no model named {name!r} is loaded", missing=True)
    if isinstance(known, FailedModel):
        return Standing(known.capabilities, ModelState.FAILED, f"model {name!r} is not served: {known.cause}")
    why = _CAUSES[known.state]
    return Standing(known.capabilities, known.state, f"model {name!r} {why}" if why else "", known)


def _of_route(route: Route, parts: Sequence[Standing]) -> Standing:
    able, index = _abilities(route, parts), _looks(route, parts)
    fault = misfit(route, parts) or next(
        ((i, part.fault[1]) for i, part in enumerate(parts) if part.fault is not None), None
    )
    missing = any(part.missing for part in parts)
    looks = _as(parts[index].looks, able) if index is not None else None
    if fault is not None:
        return Standing(able, ModelState.FAILED, fault[1], looks, missing, fault)
    answering = [pair for pair in zip(route.targets, parts, strict=True) if pair[0].role != "shadow"]
    if _one_is_enough(route):
        enough = any(part.ready and target.weight > 0 for target, part in answering)
        blocking = None if enough else answering[0][1]
    else:
        blocking = next((part for _, part in answering if not part.ready), None)
    if blocking is None:
        return Standing(able, ModelState.READY, "", looks, missing)
    return Standing(able, blocking.state, blocking.cause or "all weights of what is left are 0", looks, missing)


def _one_is_enough(route: Route) -> bool:
    spec = route.spec
    return isinstance(spec, CanaryRoute) or (isinstance(spec, FusionRoute | RankRoute) and spec.on_failure == "rest")


def _abilities(route: Route, parts: Sequence[Standing]) -> tuple[Capability, ...]:
    known = [part.capabilities for part in parts if part.capabilities]
    match route.spec:
        case FusionRoute(task=task):
            return (task,) if known else ()
        case RankRoute():
            return ("rerank",) if known else ()
        case PipelineRoute(steps=steps):
            return answers(steps, parts[0].capabilities) if known else ()
        case CanaryRoute():
            return shared(known)
    return parts[0].capabilities


def _looks(route: Route, parts: Sequence[Standing]) -> int | None:
    """The target that a route looks like: the first that is known and ready, or else known; of a pipeline the last, or
    where it takes sound the first."""
    order = range(len(parts))
    if isinstance(route.spec, PipelineRoute):
        order = range(1) if route.spec.steps[0].do == "transcribe" else range(len(parts) - 1, len(parts))
    elif not (isinstance(route.spec, CanaryRoute) or route.fuses):
        order = range(1)
    ready = [i for i in order if parts[i].looks is not None and parts[i].ready]
    return next(iter([*ready, *(i for i in order if parts[i].looks is not None)]), None)


def _reranking(manifest: EncoderManifest) -> EncoderManifest:
    return manifest.model_copy(
        update={"task": "rerank", "labels": ("relevance",), "problem": "regression", "embedding": None}
    )


def _as(info: ModelInfo | None, able: Sequence[Capability]) -> ModelInfo | None:
    """A model's info, of what it can do only what is told."""
    if info is None:
        return None
    encodings = tuple(part for part in info.encodings if part.task in able)
    if "rerank" in able and not encodings:  # of vectors: what it takes is as a reranker takes it
        encodings = tuple(replace(part, manifest=_reranking(part.manifest)) for part in info.encodings[:1])
    generation = info.generation if {"generate", "speech"} & set(able) else None
    return replace(info, encodings=encodings, generation=generation)
