"""The table of models for calls that mean one model, by its name or by that of a route that leads to one."""

from __future__ import annotations

from typing import TypeVar

from attendant.core.context import CallContext, current_call
from attendant.frontend.routes.routing import Routes
from attendant.models.lookup import Wanted
from attendant.models.table import Finder

F = TypeVar("F")


class OneModel(Finder[F]):
    """Finds what a call's model or route leads to."""

    def __init__(self, models: Finder[F], routes: Routes) -> None:
        self._models = models
        self._routes = routes

    def find(self, name: str, wanted: Wanted) -> F:
        """See :meth:`attendant.models.table.ModelTable.find`. Raises InvalidRequest, too: a route leads to several."""
        route = self._routes.find(name)
        if route is not None:
            name, _ = self._routes.one_model(route, current_call() or CallContext.new(), wanted.field)
        return self._models.find(name, wanted)
