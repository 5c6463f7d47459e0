"""Composes the app of all HTTP surfaces: routes, and what callers hear where there is none or where one fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from attendant.core.errors import AttendantError
from attendant.core.exhausted import of_exhaustion
from attendant.core.stages import Tracer
from attendant.core.tally import CallLog
from attendant.frontend.front_end import FrontEnd
from attendant.http.access import Known
from attendant.http.api.answers import error_answer, note_failure
from attendant.http.api.door import Door, Limits
from attendant.http.api.openinference.routes import openinference_routes
from attendant.http.api.routes import api_routes, dialect_of
from attendant.http.calls import ABANDONED, REQUEST_ID, TRACE_ID, Calls
from attendant.http.docs.routes import docs_routes
from attendant.http.errors import PLAIN
from attendant.http.health import api_health_routes, health_routes
from attendant.http.loading import loaded
from attendant.http.metrics import metrics_routes
from attendant.http.page.routes import Page
from attendant.metrics import Metrics
from attendant.rpc.openinference.servicer import InferenceServicer
from attendant.security.door import Door as SecurityDoor

logger = logging.getLogger("attendant.http")


def http_app(  # noqa: PLR0913 - all that the port stands on, each by name
    metrics: Metrics,
    serving: Callable[[], bool],
    page: Page | None = None,
    tracer: Tracer | None = None,
    front_end: Callable[[], FrontEnd | None] | None = None,
    limits: Limits | None = None,
    inference: Callable[[], InferenceServicer | None] | None = None,
    door: SecurityDoor | None = None,
    log: CallLog | None = None,
) -> ASGIApp:
    """Everything that the HTTP port answers.

    Args:
        serving: whether the server takes calls, asked at each request.
        page: the live page; None for none.
        tracer: takes in how calls went; None: nobody does.
        front_end: what others' APIs talk to, None as long as models are being loaded; without it there are no APIs.
        limits: of calls; None for the default ones.
        inference: the gRPC half of the Open Inference Protocol; without it there is no other half.
        door: says who makes a call, and whether it may; None: everyone may.
        log: writes a line of each call; None: nobody does.
    """
    pages = page.routes() if page is not None else ()
    apis: list[Route] = []
    if front_end is not None:
        apis = [*api_health_routes(serving, front_end), *api_routes(loaded(front_end))]
    if inference is not None:
        apis += openinference_routes(loaded(inference))
    if apis:
        apis += docs_routes(tuple(apis))
    return app_of([*metrics_routes(metrics), *health_routes(serving), *pages, *apis], tracer, limits, door, log)


def app_of(
    routes: Sequence[Route],
    tracer: Tracer | None = None,
    limits: Limits | None = None,
    door: SecurityDoor | None = None,
    log: CallLog | None = None,
) -> ASGIApp:
    """An app of these routes. A path without one answers 404 with the paths there are; a route that raises answers 500
    and nothing of the cause, which the log has. Where an API is, callers hear both in its dialect."""
    limits = limits or Limits()
    own = " and ".join(route.path for route in routes if not _is_detail(route.path))

    def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "it is registered for no other"
        path = request.url.path
        if error.status_code == 404:
            there = f"; there are {own}" if dialect_of(path) is None else ""
            text = f"no such page: {path[:100]}{there}"
        elif error.status_code == 405:
            text = f"{request.method[:20]} is not allowed here; allowed: {(error.headers or {}).get('Allow', 'GET')}"
        else:
            text = error.detail
        return _told(path, error.status_code, text, error.headers)

    def fail(request: Request, error: Exception) -> Response:
        if (exhausted := of_exhaustion(error)) is not None:
            return _refusal(request.url.path, exhausted)
        note_failure(type(error))
        return _told(request.url.path, 500, "the server failed; its log says why")

    def end(request: Request, error: Exception) -> Response:
        assert isinstance(error, AttendantError), "it is registered for no other"
        return _refusal(request.url.path, error)

    def leave(_: Request, __: Exception) -> Response:
        return Response(status_code=ABANDONED)  # nobody reads it

    handlers = {HTTPException: refuse, AttendantError: end, ClientDisconnect: leave, Exception: fail}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False  # a path has one spelling
    calls: ASGIApp = Calls(Door(app, limits), tracer, _refusal, log)
    return _Guarded(_open_to(calls if door is None else Known(calls, door, log), limits.origins))


def _open_to(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """``app``, and what browsers have to hear before scripts of pages from ``origins`` may use it."""
    if not origins:
        return app
    heard = (REQUEST_ID, TRACE_ID, "retry-after")
    return CORSMiddleware(app, origins, ("*",), ("*",), expose_headers=heard)


def _is_detail(path: str) -> bool:
    return path.startswith(("/page/", "/docs/")) or dialect_of(path) is not None


def _told(path: str, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return error_answer(dialect_of(path) or PLAIN, AttendantError(text), status, headers)


def _refusal(path: str, error: AttendantError) -> Response:
    """The answer to a request that is wrong before it is a call."""
    return error_answer((dialect_of(path) or PLAIN).of_requests(), error)


class _Guarded:
    """An app whose failures end in the log, after the caller has heard of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            logger.exception("%s %s failed", scope.get("method", ""), scope.get("path", "")[:100])
