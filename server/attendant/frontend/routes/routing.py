"""The routes of a server: found by name, refused, resolved to what answers, counted. Replaced as a whole, or not."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from attendant.bundle import Capability
from attendant.core.caller import current_caller
from attendant.core.context import CallContext, current_call
from attendant.core.errors import AttendantError, InvalidRequest, ModelFailed, Unavailable
from attendant.core.request import StepTime
from attendant.frontend.admission import Gate
from attendant.frontend.routes.choice import by_chance, by_key
from attendant.frontend.routes.graph import Route, Target, compiled, place_of
from attendant.frontend.routes.standing import Known, Standing, Standings
from attendant.metrics import SUCCESS, error_name
from attendant.metrics.routes import RouteMetrics
from attendant.models.info import ModelState
from attendant.models.lookup import Wanted
from attendant.settings.routes import CanaryRoute, RoutesFile, ShadowRoute

ROUTE_KEY = "x-route-key"
"""Metadata of a request by which canaries that are sticky know it again."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A step on the way from a name to what answers."""

    route: Route
    target: Target


@dataclass(frozen=True, slots=True)
class Resolved:
    """What answers a call, and how it was come to.

    Attributes:
        leaf: a model, or a route that fuses.
        hops: from the name of the call on.
        shadows: that get the call, too.
    """

    leaf: Target
    hops: tuple[Hop, ...] = ()
    shadows: tuple[Hop, ...] = ()


class Routes:
    """The routes of one server; none at first. All of it belongs to one event loop, in which it is made.

    Attributes:
        gate: has a place for each call that runs on an ensemble: its parts may begin while the server drains.
    """

    def __init__(self, metrics: RouteMetrics) -> None:
        self.metrics = metrics
        self.gate = Gate("routes", what="calls of ensembles")
        self._routes: Mapping[str, Route] = {}
        self._find_model: Callable[[str], Known | None] = lambda name: None
        self._standings = Standings(self._find_model)
        self._draw = random.Random()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all routes."""
        return tuple(self._routes)

    def put(self, file: RoutesFile, models: Callable[[str], Known | None], *, models_come: bool) -> None:
        """Have the routes of ``file`` from now on; calls that run end as they began.

        Args:
            models: what is known of a model by name.
            models_come: one that is not there may come later.

        Raises:
            ConfigurationError: the file is wrong, or does not fit the models; the routes stay as they were.
        """
        routes = compiled(file)
        standings = Standings(models)
        for route in routes.values():
            _check(file, route, standings, models_come=models_come)
        self._routes, self._find_model = routes, models
        self._draw = random.Random(file.spec.seed)
        for route in routes.values():
            for target in route.targets:
                add = self.metrics.add_shadow if target.role == "shadow" else self.metrics.add
                add(route.name, target.label)
        self.models_changed()

    def models_changed(self) -> None:
        """Models came, went or failed: find out anew how the routes are doing."""
        self._standings = Standings(self._find_model)
        self.metrics.ready(self.readiness().items())

    def find(self, name: str) -> Route | None:
        """The route that takes the calls of ``name``; None: it is no route. Whoever takes a call in asks this first,
        and once. Raises NotPermitted: its caller may not use what has this name."""
        if (call := current_call()) is not None and call.tally is not None:
            call.tally.asks(name, call.priority)
        current_caller().check_model(name)
        return self._routes.get(name)

    def info(self, name: str) -> Known | None:
        """A route as callers see it; None: there is none of this name."""
        route = self._routes.get(name)
        return None if route is None else self._standings.info(route)

    def readiness(self) -> dict[str, bool]:
        """Whether each route takes calls, by name."""
        return {name: self._standings.of_route(route).ready for name, route in self._routes.items()}

    def infos(self) -> tuple[Known, ...]:
        """All routes as callers see them: as models."""
        return tuple(self._standings.info(route) for route in self._routes.values())

    def standing(self, target: Target) -> Standing:
        """How a target is doing."""
        return self._standings.of(target)

    def capabilities(self, route: Route) -> tuple[Capability, ...]:
        """What a route can do."""
        return self._standings.of_route(route).capabilities

    def check(self, route: Route, wanted: Wanted) -> None:
        """See that a route takes a call.

        Raises:
            InvalidRequest: it is for something else.
            ModelFailed, Unavailable: what it leads to takes no calls.
        """
        standing = self._standings.of_route(route)
        try:
            if standing.capabilities and not wanted.fits(standing.capabilities):
                raise InvalidRequest(wanted.field, self._other(route, standing, wanted))
            if not standing.ready:
                raise _refusal(route, standing)
        except AttendantError as error:
            self.metrics.ended(route.name, "", error_name(type(error)))
            raise

    def resolve(self, route: Route, context: CallContext) -> Resolved:
        """Follow a route that takes calls to what answers: along aliases, shadows, and canaries, which choose."""
        hops: list[Hop] = []
        shadows: list[Hop] = []
        target = Target(route.name, route)
        while target.route is not None and not target.route.fuses:
            at = target.route
            target = self._chosen(at, context)
            hops.append(Hop(at, target))
            if isinstance(at.spec, ShadowRoute) and self._draw.random() < at.spec.share:
                shadows.append(Hop(at, at.targets[1]))
        return Resolved(target, tuple(hops), tuple(shadows))

    def one_model(self, route: Route, context: CallContext, field: str) -> tuple[str, tuple[Hop, ...]]:
        """The model that a route leads to, and the way there.

        Raises:
            InvalidRequest: several models answer there; it names ``field``.
        """
        found = self.resolve(route, context)
        if (ensemble := found.leaf.route) is not None:
            said = f"is {route.name!r}, whose answers several models make ({ensemble.spec.kind})"
            raise InvalidRequest(field, f"{said}; allowed: a model, or a route that leads to one")
        return found.leaf.model, found.hops

    @contextmanager
    def counted(self, hops: Sequence[Hop]) -> Iterator[None]:
        """Around a call on what these lead to: counts how it ended, and how long it took."""
        began_ns, outcome = time.monotonic_ns(), "error"
        try:
            yield
            outcome = SUCCESS
        except AttendantError as error:
            outcome = error_name(type(error))
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        finally:
            took_s = (time.monotonic_ns() - began_ns) / 1e9 if outcome == SUCCESS else None
            for hop in hops:
                self.metrics.ended(hop.route.name, hop.target.label, outcome, took_s)

    def _chosen(self, route: Route, context: CallContext) -> Target:
        if not isinstance(route.spec, CanaryRoute):
            return route.targets[0]
        if (before := context.chosen.get(route.name)) is not None:
            known = next((target for target in route.targets if target.model == before), None)
            if known is not None:
                return known
        able = [target for target in route.targets if target.weight and self._standings.of(target).ready]
        able = able or [target for target in route.targets if target.weight]
        key = route_key(route.spec, context)
        target = by_chance(able, self._draw) if key is None else by_key(able, route.name, key)
        context.chosen[route.name] = target.model
        return target

    def _other(self, route: Route, standing: Standing, wanted: Wanted) -> str:
        seen = filter(current_caller().may_use, self._routes)
        fitting = [repr(name) for name in seen if wanted.fits(self.capabilities(self._routes[name]))]
        listed = ", ".join(fitting) or "no route of this server"
        return wanted.other.format(name=repr(route.name), task=standing.capabilities[0], fitting=listed)


def step_of(route: Route, leaf: Target, context: CallContext, began_ns: int) -> StepTime:
    """What ``leaf``, to which a route led a call, has taken until now; it began at ``began_ns``, monotonic."""
    return StepTime(route.name, leaf.model, began_ns - context.arrival_ns, time.monotonic_ns() - began_ns)


def route_key(spec: CanaryRoute, context: CallContext) -> str | None:
    """By what a call is known again; None: by nothing."""
    if spec.sticky is False:
        return None
    names = (ROUTE_KEY,) if spec.sticky is True else (ROUTE_KEY, spec.sticky)
    return next((context.metadata[name] for name in names if context.metadata.get(name)), None)


def _refusal(route: Route, standing: Standing) -> AttendantError:
    if standing.state is ModelState.FAILED and not standing.missing:
        return ModelFailed(route.name, standing.cause)
    return Unavailable(f"route {route.name!r} takes no calls now: {standing.cause}")


def _check(file: RoutesFile, route: Route, standings: Standings, *, models_come: bool) -> None:
    """Raises ConfigurationError if a route can never take calls."""
    standing = standings.of_route(route)
    if standing.fault is not None:
        index, what = standing.fault
        raise file.error(place_of(route, index), what)
    if models_come:
        return
    for index, target in enumerate(route.targets):
        if target.route is None and standings.of(target).missing:
            raise file.error(place_of(route, index), f"{standings.of(target).cause}; allowed: a model or another route")
