"""The routes that say whether the server takes calls, for load balancers, under the names that they ask for."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant import __version__
from attendant.frontend.front_end import FrontEnd
from attendant.http.answers import said

Serving = Callable[[], bool]


def health_routes(serving: Serving) -> list[Route]:
    """200 while ``serving()`` is true, else 503: before models are loaded, while the server drains, and after."""

    async def health(_: Request) -> Response:
        return _status(serving())

    return [Route("/healthz", health)]


def api_health_routes(serving: Serving, front_end: Callable[[], FrontEnd | None]) -> list[Route]:
    """The same where vLLM and SageMaker have it, and 503 too where an engine has died or hangs; and the version."""

    async def health(_: Request) -> Response:
        models = front_end()
        return _status(serving() and not (models is not None and models.ails))

    async def version(_: Request) -> Response:
        return said(200, {"version": __version__})

    return [Route("/health", health), Route("/ping", health, methods=["GET", "POST"]), Route("/version", version)]


def _status(now: bool) -> Response:
    return said(200 if now else 503, {"status": "serving" if now else "not serving"})
