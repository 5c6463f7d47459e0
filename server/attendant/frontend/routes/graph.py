"""Routes as they lead to each other, made of a routes file: without cycles, and not too deep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from attendant.frontend.routes.templates import PromptTemplate, TemplateWrong
from attendant.settings.routes import (
    AnyRoute,
    FusionRoute,
    PipelineRoute,
    RankRoute,
    RoutesFile,
    ShadowRoute,
    Step,
)
from attendant.settings.yaml_lines import Place

MAX_DEPTH = 8
"""Routes that lead to routes."""

Role = Literal["target", "shadow", "member", "step"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a route leads to.

    Attributes:
        model: as the file names it: a model, a version of one, or a route.
        route: None for a model.
        label: what it is called within the route: the model, or the name of a step.
    """

    model: str
    route: Route | None
    role: Role = "target"
    weight: float = 1.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A route, and what it leads to, in the order of the file."""

    name: str
    spec: AnyRoute
    targets: tuple[Target, ...]
    templates: tuple[PromptTemplate | None, ...] = ()

    @property
    def fuses(self) -> bool:
        """Whether an answer is made of several models', rather than taken from one."""
        return isinstance(self.spec, FusionRoute | RankRoute | PipelineRoute)

    @property
    def made_of_several(self) -> bool:
        """Whether it leads to an answer of several models'."""
        return self.fuses or any(each.route is not None and each.route.made_of_several for each in self.answering)

    @property
    def answering(self) -> tuple[Target, ...]:
        """Of its targets those whose answers callers get."""
        return tuple(target for target in self.targets if target.role != "shadow")

    def models(self) -> Iterator[str]:
        """Every model that it leads to in the end."""
        for target in self.targets:
            if target.route is None:
                yield target.model
            else:
                yield from target.route.models()


def compiled(file: RoutesFile) -> Mapping[str, Route]:
    """The routes of a file by name.

    Raises:
        ConfigurationError: routes that lead to themselves, or too far; a template that is wrong.
    """
    made: dict[str, Route] = {}

    def make(name: str, way: tuple[str, ...]) -> Route:
        if name in way:
            circle = " -> ".join((*way[way.index(name) :], name))
            raise file.error(("routes", name), f"leads to itself: {circle}")
        if len(way) >= MAX_DEPTH:
            raise file.error(("routes", way[0]), f"leads over {len(way) + 1} routes; allowed: at most {MAX_DEPTH}")
        if name not in made:
            spec = file.spec.routes[name]
            targets = tuple(target(name, spec, index, (*way, name)) for index in range(len(spec.targets)))
            made[name] = Route(name, spec, targets, _templates(file, name, spec))
        elif len(way) + _depth(made[name]) > MAX_DEPTH:
            raise file.error(("routes", way[0]), f"leads over more than {MAX_DEPTH} routes")
        return made[name]

    def target(name: str, spec: AnyRoute, index: int, way: tuple[str, ...]) -> Target:
        found = spec.targets[index]
        # A route that has a model's name takes its calls; within, the name means the model.
        leads_on = found.model in file.spec.routes and found.model != name
        route = make(found.model, way) if leads_on else None
        return Target(found.model, route, _role(spec, index), found.weight, _label(spec, index))

    for name in file.spec.routes:
        make(name, ())
    return made


def place_of(route: Route, index: int) -> Place:
    """Where the file names the model of a target."""
    match route.spec:
        case ShadowRoute():
            return ("routes", route.name, ("model", "shadow")[index])
        case PipelineRoute():
            return ("routes", route.name, "steps", index, "model")
        case FusionRoute() | RankRoute():
            return ("routes", route.name, "members", index, "model")
    many = "targets" in type(route.spec).model_fields
    return ("routes", route.name, "targets", index, "model") if many else ("routes", route.name, "model")


def _depth(route: Route) -> int:
    return 1 + max((_depth(target.route) for target in route.targets if target.route is not None), default=0)


def _role(spec: AnyRoute, index: int) -> Role:
    match spec:
        case ShadowRoute():
            return "shadow" if index else "target"
        case FusionRoute() | RankRoute():
            return "member"
        case PipelineRoute():
            return "step"
    return "target"


def _label(spec: AnyRoute, index: int) -> str:
    return spec.steps[index].name if isinstance(spec, PipelineRoute) else spec.targets[index].model


def _templates(file: RoutesFile, name: str, spec: AnyRoute) -> tuple[PromptTemplate | None, ...]:
    if not isinstance(spec, PipelineRoute):
        return ()
    return tuple(_template(file, name, index, spec.steps) for index in range(len(spec.steps)))


def _template(file: RoutesFile, name: str, index: int, steps: tuple[Step, ...]) -> PromptTemplate | None:
    if not steps[index].prompt:
        return None
    try:
        return PromptTemplate(steps[index].prompt, before=[step.name for step in steps[:index]])
    except TemplateWrong as error:
        raise file.error(("routes", name, "steps", index, "prompt"), str(error)) from None
