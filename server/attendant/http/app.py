"""Composes the app of all HTTP surfaces: routes, and what callers hear where there is none or where one fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from attendant.core.stages import Tracer
from attendant.http.answers import said
from attendant.http.calls import Calls
from attendant.http.health import health_routes
from attendant.http.metrics import metrics_routes
from attendant.http.page.routes import Page
from attendant.metrics import Metrics

logger = logging.getLogger("attendant.http")


def http_app(
    metrics: Metrics, serving: Callable[[], bool], page: Page | None = None, tracer: Tracer | None = None
) -> ASGIApp:
    """Everything that the HTTP port answers.

    Args:
        serving: whether the server takes calls, asked at each request.
        page: the live page; None for none.
        tracer: takes in how calls went; None: nobody does.
    """
    pages = page.routes() if page is not None else ()
    return app_of([*metrics_routes(metrics), *health_routes(serving), *pages], tracer)


def app_of(routes: Sequence[Route], tracer: Tracer | None = None) -> ASGIApp:
    """An app of these routes. A path without one answers 404 with the paths there are; a route that raises answers 500
    and nothing of the cause, which the log has."""
    paths = " and ".join(route.path for route in routes if not route.path.startswith("/page/"))

    def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "it is registered for no other"
        if error.status_code == 404:
            text = f"no such page: {request.url.path[:100]}; there are {paths}"
        elif error.status_code == 405:
            text = f"{request.method[:20]} is not allowed here; allowed: {(error.headers or {}).get('Allow', 'GET')}"
        else:
            text = error.detail
        return said(error.status_code, {"error": text}, error.headers)

    def fail(_: Request, __: Exception) -> Response:
        return said(500, {"error": "the server failed; its log says why"})

    app = Starlette(routes=routes, exception_handlers={HTTPException: refuse, Exception: fail})
    app.router.redirect_slashes = False  # a path has one spelling
    return _Guarded(Calls(app, tracer))


class _Guarded:
    """An app whose failures end in the log, after the caller has heard of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            logger.exception("%s %s failed", scope.get("method", ""), scope.get("path", "")[:100])
