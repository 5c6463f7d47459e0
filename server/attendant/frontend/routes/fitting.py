"""Whether what a route leads to can do what the route needs of it, and which calls the route then answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attendant.bundle import Capability
from attendant.frontend.routes.graph import Route
from attendant.models.info import EncodingInfo, ModelInfo
from attendant.settings.routes import CanaryRoute, FusionRoute, PipelineRoute, RankRoute, ShadowRoute, Step

NEEDS: dict[str, tuple[Capability, ...]] = {
    "transcribe": ("speech", "transcribe"),
    "translate": ("translate",),
    "generate": ("continue", "translate"),
    "classify": ("classify",),
    "embed": ("embed",),
}
"""What a step needs of its model: any of these."""


class Part(Protocol):
    """What a route leads to, as far as it is known."""

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What it can do; nothing if nobody knows."""

    @property
    def looks(self) -> ModelInfo | None:
        """What else is known of it."""


def shared(of: Sequence[tuple[Capability, ...]]) -> tuple[Capability, ...]:
    """What all can do, in the order of the first."""
    return tuple(each for each in (of[0] if of else ()) if all(each in others for others in of))


def answers(steps: Sequence[Step], first: tuple[Capability, ...]) -> tuple[Capability, ...]:
    """The calls that a pipeline answers, by what its first step takes and its last one gives.

    Args:
        first: what the model of the first step can do.
    """
    if steps[0].do == "transcribe":
        return ("speech",) if "speech" in first else ("transcribe",)
    last = steps[-1].do
    if last == "classify" or last == "embed":
        return (last,)
    return ("generate", "translate" if steps[0].do == "translate" else "continue")


def misfit(route: Route, parts: Sequence[Part]) -> tuple[int, str] | None:
    """What is wrong, and with which target; None if nothing is, as far as is known."""
    match route.spec:
        case CanaryRoute() | ShadowRoute():
            return _apart(route, parts)
        case FusionRoute(task=task):
            return _unable(route, parts, (task,)) or _unlike(route, parts, task, alone=route.spec.kind == "vote")
        case RankRoute():
            return _unable(route, parts, ("rerank", "embed"))
        case PipelineRoute(steps=steps):
            wrong = (_unable(route, parts, NEEDS[step.do], index) for index, step in enumerate(steps))
            return next((found for found in wrong if found is not None), None)
    return None


def _apart(route: Route, parts: Sequence[Part]) -> tuple[int, str] | None:
    """What they look at does not make two models alike."""
    tasks = [(i, tuple(each for each in part.capabilities if each != "attention")) for i, part in enumerate(parts)]
    known = [(i, able) for i, able in tasks if able]
    for end in range(2, len(known) + 1):
        if not shared([able for _, able in known[:end]]):
            (first, able), (index, other) = known[0], known[end - 1]
            one, two = route.targets[first].model, route.targets[index].model
            return index, f"{two!r} is for task {other[0]}, and {one!r} for {able[0]}; allowed: models of one task"
    return None


def _unable(
    route: Route, parts: Sequence[Part], needs: tuple[Capability, ...], only: int | None = None
) -> tuple[int, str] | None:
    for index, part in enumerate(parts):
        able = part.capabilities
        if (only is None or index == only) and able and not set(needs) & set(able):
            named = f"{route.targets[index].model!r} is for task {able[0]}"
            return index, f"{named}; needed here: {' or '.join(needs)}"
    return None


def _unlike(route: Route, parts: Sequence[Part], task: Capability, *, alone: bool) -> tuple[int, str] | None:
    """Members whose answers cannot be put together. ``alone``: their labels have to exclude each other."""
    first: EncodingInfo | None = None
    for index, part in enumerate(parts):
        info = next((found for found in part.looks.encodings if found.task == task), None) if part.looks else None
        if info is None:
            continue
        name = route.targets[index].model
        if alone and info.manifest.problem != "single_label":
            return (
                index,
                f"labels of {name!r} do not exclude each other; allowed in a vote: models of problem single_label",
            )
        if first is None:
            first = info
            continue
        if task != "rerank" and (wrong := _difference(first, info)):
            return index, f"{name!r} has {wrong}; allowed: members that are alike in this"
    return None


def _difference(first: EncodingInfo, other: EncodingInfo) -> str:
    one, two = first.manifest, other.manifest
    if set(one.labels) != set(two.labels):
        return f"labels {', '.join(two.labels)}, others have {', '.join(one.labels)}"
    if one.problem != two.problem:
        return f"problem {two.problem}, others have {one.problem}"
    if one.embedding is not None and two.embedding is not None:
        dimensions = (two.embedding.dimensions, one.embedding.dimensions)
        if dimensions[0] != dimensions[1]:
            return f"vectors of {dimensions[0]} numbers, others have {dimensions[1]}"
    return ""
